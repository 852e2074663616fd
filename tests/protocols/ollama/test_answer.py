"""Tests of `sseserver.protocols.ollama.answer`; those of the translator show more."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.protocols.chatcompletions import CompletionBuilder, build
from sseserver.protocols.ollama import CHAT, GENERATE, AnswerWriter, describeModel, writeStamp


class AnswerTests(SynchronousTestCase):
    """Answers in one piece, and models."""

    def make(self, endpoint: str, *deltas: dict[str, Any], **members: Any) -> dict[str, Any]:
        """Make the answer of chunks with these deltas."""
        builder = CompletionBuilder("m", 1 << 20)
        for delta in deltas:
            builder.addChunk(json.dumps({"choices": [{"index": 0, "delta": delta}], **members}).encode())
        whole: dict[str, Any] = build(AnswerWriter(endpoint, "m", 0).makeWhole(builder.build("id", 1, "stop", None)))
        return whole

    def test_whole(self) -> None:
        """The text is a member of a message, or stands by itself."""
        deltas = ({"reasoning": "r"}, {"content": "a"}, {"content": "b"})
        chat = self.make(CHAT, *deltas, usage={"prompt_tokens": 1, "completion_tokens": 2})
        self.assertEqual(chat["message"], {"role": "assistant", "content": "ab", "thinking": "r"})
        self.assertEqual((chat["done"], chat["prompt_eval_count"], chat["eval_count"]), (True, 1, 2))
        generated = self.make(GENERATE, *deltas)
        self.assertEqual((generated["response"], generated["thinking"]), ("ab", "r"))

    def test_calls(self) -> None:
        """Tool calls have their arguments as objects."""
        call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"x":1}'}}
        message = self.make(CHAT, {"tool_calls": [call]})["message"]
        self.assertEqual(message["tool_calls"], [{"id": "c", "function": {"name": "f", "arguments": {"x": 1}}}])
        broken = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "["}}
        self.assertRaises(SourceError, self.make, CHAT, {"tool_calls": [broken]})

    def test_noCalls(self) -> None:
        """Values that are no tool calls are left out."""
        for calls in ("x", {"type": []}, [None, "x", 5], 5, [[]]):
            message = self.make(CHAT, {"content": "a", "tool_calls": calls})["message"]
            self.assertEqual(message, {"role": "assistant", "content": "a"}, calls)

    def test_loaded(self) -> None:
        """A client that has no prompt is told that the model is loaded."""
        self.assertEqual(AnswerWriter(GENERATE, "m", 0).makeLoaded()["done_reason"], "load")

    def test_models(self) -> None:
        """A model has a name and a time."""
        described = describeModel("m", 0.25)
        self.assertEqual((described["model"], described["modified_at"]), ("m", "1970-01-01T00:00:00.250000Z"))
        self.assertEqual(writeStamp(0), "1970-01-01T00:00:00.000000Z")
