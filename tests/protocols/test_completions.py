"""
Tests for `sseserver.protocols.completions`.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.protocols.chatcompletions import CompletionBuilder, build
from sseserver.protocols.completions import TextWriter, convertWhole, readLegacy
from sseserver.values import Prompt
from tests.served import ScriptedSource


class RequestTests(SynchronousTestCase):
    """Requests for legacy completions."""

    def setUp(self) -> None:
        """Make a source of one model."""
        self.source = ScriptedSource(takesPrompt=True)

    def refuse(self, **members: Any) -> InvalidMember:
        """Return the error about a request."""
        return self.assertRaises(InvalidMember, readLegacy, members, self.source)

    def test_prompt(self) -> None:
        """The prompt becomes the one message; other members pass unchanged, those without a counterpart do not."""
        body = {"prompt": "Say", "seed": 7, "max_tokens": 3, "best_of": 1, "echo": False, "suffix": None, "new": [1]}
        for prompt in ("Say", ["Say"]):
            read = readLegacy({**body, "prompt": prompt, "stream": True}, self.source)
            options = {"seed": 7, "max_tokens": 3, "new": [1]}
            self.assertEqual(read, (Prompt("Say", [{"role": "user", "content": "Say"}], options), True))
        whole = readLegacy(body, self.source)
        self.assertFalse(whole.stream)
        self.assertEqual(whole.prompt.options["stream_options"], {"include_usage": True})

    def test_refused(self) -> None:
        """Whatever a chat completion cannot have is refused with the name of the member."""
        for members, param, word in (
            ({}, "prompt", "prompt"),
            ({"prompt": 1}, "prompt", "prompt"),
            ({"prompt": ""}, "prompt", "empty"),
            ({"prompt": []}, "prompt", "one text"),
            ({"prompt": ["a", "b"]}, "prompt", "one text"),
            ({"prompt": [1, 2]}, "prompt", "tokens"),
            ({"prompt": [[1, 2]]}, "prompt", "tokens"),
            ({"prompt": "a", "echo": True}, "echo", "echo"),
            ({"prompt": "a", "suffix": "b"}, "suffix", "suffix"),
            ({"prompt": "a", "best_of": 2}, "best_of", "best_of"),
            ({"prompt": "a", "logprobs": 0}, "logprobs", "logprobs"),
            ({"prompt": "a", "n": 2}, "n", "1"),
            ({"prompt": "a", "temperature": "hot"}, "temperature", "temperature"),
        ):
            error = self.refuse(**members)
            self.assertEqual(error.param, param, members)
            self.assertIn(word, str(error))
        self.assertRaises(ModelNotFound, readLegacy, {"prompt": "a", "model": "none"}, self.source)


class ChunkTests(SynchronousTestCase):
    """Chunks of legacy completions."""

    def setUp(self) -> None:
        """Make a writer."""
        self.writer = TextWriter("chatcmpl-x", 5, "parrot")

    def convert(self, *choices: dict[str, Any], text: str = "", **members: Any) -> Any:
        """Convert a chunk, and decode the result."""
        converted = self.writer.convert(json.dumps({"choices": choices, **members}).encode(), text)
        return None if converted is None else json.loads(converted)

    def test_text(self) -> None:
        """A text stands between what stays the same, and a chunk without text has the reason."""
        before, behind = self.writer.split()
        choice = {"text": "a", "index": 0, "logprobs": None, "finish_reason": None}
        members = {"id": "cmpl-x", "object": "text_completion", "created": 5, "model": "parrot"}
        self.assertEqual(json.loads(b'%b"a"%b' % (before, behind)), {**members, "choices": [choice]})
        last = json.loads(self.writer.write({}, "length"))
        self.assertEqual(last["choices"], [{**choice, "text": "", "finish_reason": "length"}])
        used = TextWriter("chatcmpl-x", 5, "parrot", withUsage=True)
        self.assertIsNone(json.loads(used.write({"content": "a"}))["usage"])
        self.assertEqual(json.loads(used.writeUsage({"total_tokens": 3}))["choices"], [])

    def test_convert(self) -> None:
        """Text, end, usage and labels of a chunk are kept; the text of its first choice is the given one."""
        first = {"index": 0, "delta": {"content": "\ud83d"}, "finish_reason": None}
        second = {"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}
        told = self.convert(first, second, text="a", id="chatcmpl-up", model="m", created=7, usage=None)
        self.assertEqual((told["id"], told["model"], told["created"], told["usage"]), ("cmpl-up", "m", 7, None))
        self.assertEqual(
            [(one["index"], one["text"], one["finish_reason"]) for one in told["choices"]],
            [(0, "a", None), (1, "b", "stop")],
        )
        told = self.convert(usage={"total_tokens": 3})
        self.assertEqual((told["choices"], told["usage"]), ([], {"total_tokens": 3}))
        told = self.convert({"delta": {}, "finish_reason": "tool_calls"})
        self.assertEqual(told["choices"][0]["finish_reason"], "stop")
        told = self.convert({"delta": {"content": "a"}, "finish_reason": []}, text="a")
        self.assertEqual(told["choices"][0]["finish_reason"], "stop")

    def test_nothing(self) -> None:
        """A chunk with a role, reasoning or a tool call alone becomes nothing."""
        self.assertIsNone(self.convert({"index": 0, "delta": {"role": "assistant", "content": ""}}))
        self.assertIsNone(self.convert({"index": 0, "delta": {"reasoning": "Hm"}}, {"index": 1, "delta": 5}))
        self.assertIsNone(self.writer.convert(b'{"choices": 5}', ""))
        self.assertIsNone(self.writer.convert(b'{"choices": [5]}', ""))


class WholeTests(SynchronousTestCase):
    """Legacy completions in one piece."""

    def test_convert(self) -> None:
        """The texts of all choices, their reasons and the usage are those of the chat completion."""
        builder = CompletionBuilder("parrot", 1000)
        choices = [
            {"index": 0, "delta": {"content": "a"}},
            {"index": 1, "delta": {"tool_calls": []}, "finish_reason": "length"},
        ]
        builder.addChunk(json.dumps({"choices": choices, "system_fingerprint": "f"}).encode())
        builder.addText(b"b")
        whole = build(convertWhole(builder.build("chatcmpl-x", 5, "stop", {"total_tokens": 2})))
        self.assertEqual(
            whole,
            {
                "id": "cmpl-x",
                "object": "text_completion",
                "created": 5,
                "model": "parrot",
                "system_fingerprint": "f",
                "usage": {"total_tokens": 2},
                "choices": [
                    {"text": "ab", "index": 0, "logprobs": None, "finish_reason": "stop"},
                    {"text": "", "index": 1, "logprobs": None, "finish_reason": "length"},
                ],
            },
        )
