"""Tests of `sseserver.protocols.messages.message`."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.protocols.chatcompletions import CompletionBuilder, build
from sseserver.protocols.messages import makeMessage


class MessageTests(SynchronousTestCase):
    """Messages in one piece."""

    def make(self, *deltas: dict[str, Any], finish: str = "stop", **members: Any) -> dict[str, Any]:
        """Make the message of chunks with these deltas."""
        builder = CompletionBuilder("m", 1 << 20)
        for delta in deltas:
            builder.addChunk(json.dumps({"choices": [{"index": 0, "delta": delta}], **members}).encode())
        message: dict[str, Any] = build(makeMessage(builder.build("id", 1, finish, None), "msg_1"))
        return message

    def test_text(self) -> None:
        """Reasoning and text are blocks."""
        message = self.make({"reasoning": "H"}, {"reasoning": "m"}, {"content": "a"}, {"content": "b"}, model="u")
        self.assertEqual(
            message["content"],
            [{"type": "thinking", "thinking": "Hm", "signature": ""}, {"type": "text", "text": "ab"}],
        )
        told = {name: message[name] for name in ("id", "type", "role", "model", "stop_reason", "stop_sequence")}
        expected = {"id": "msg_1", "type": "message", "role": "assistant", "model": "u"}
        self.assertEqual(told, {**expected, "stop_reason": "end_turn", "stop_sequence": None})

    def test_calls(self) -> None:
        """Tool calls are blocks with their arguments; they are the reason to stop."""
        call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"x"'}}
        more = {"index": 0, "function": {"arguments": ":1}"}}
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        message = self.make({"tool_calls": [call]}, {"tool_calls": [more]}, usage=usage)
        self.assertEqual(message["content"], [{"type": "tool_use", "id": "c", "name": "f", "input": {"x": 1}}])
        self.assertEqual((message["stop_reason"], message["usage"]["input_tokens"]), ("tool_use", 3))
        empty = self.make({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]})
        self.assertEqual(empty["content"][0]["input"], {})

    def test_malformed(self) -> None:
        """Arguments that are no JSON object cannot be in a message."""
        for arguments in ("{", "1"):
            call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": arguments}}
            self.assertRaises(SourceError, self.make, {"tool_calls": [call]})

    def test_noCalls(self) -> None:
        """Values that are no tool calls are left out."""
        for calls in ("x", {"type": []}, [None, "x", 5], 5, [[]]):
            message = self.make({"content": "a", "tool_calls": calls})
            self.assertEqual(message["content"], [{"type": "text", "text": "a"}], calls)

    def test_refusal(self) -> None:
        """A refusal is text, and a reason to stop. No text at all is no block."""
        message = self.make({"refusal": "No."})
        self.assertEqual((message["content"][0]["text"], message["stop_reason"]), ("No.", "refusal"))
        self.assertEqual(self.make({"role": "assistant"})["content"], [])
