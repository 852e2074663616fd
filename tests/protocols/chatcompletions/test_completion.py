"""
Tests for `sseserver.protocols.chatcompletions.completion`. `tests/apis/chat/test_answer.py` has more, through a stream
log.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import AnswerTooLong, SourceError
from sseserver.protocols.chatcompletions import CompletionBuilder, build


class BuilderTests(SynchronousTestCase):
    """`CompletionBuilder`."""

    def build(self, builder: CompletionBuilder, reason: str = "stop", usage: Any = None) -> dict[str, Any]:
        """Build the completion."""
        completion: dict[str, Any] = build(builder.build("chatcmpl-1", 1, reason, usage))
        return completion

    def test_texts(self) -> None:
        """
        Texts are joined in the first choice.
        """
        builder = CompletionBuilder("model", 100)
        builder.addText(b"One ")
        builder.addText(b"two")
        completion = self.build(builder, "length", {"total_tokens": 2})
        [choice] = completion["choices"]
        self.assertEqual((choice["message"]["content"], choice["finish_reason"]), ("One two", "length"))
        self.assertEqual((completion["id"], completion["created"], completion["model"]), ("chatcmpl-1", 1, "model"))
        self.assertEqual(completion["usage"], {"total_tokens": 2})

    def test_chunksKnowBetter(self) -> None:
        """
        Model, usage and finish reason of chunks replace those of the stream.
        """
        builder = CompletionBuilder("model", 1000)
        builder.addChunk(b'{"choices":[{"delta":{"content":"a"},"finish_reason":"length"}],"model":"gpt"}')
        builder.addChunk(b'{"choices":[],"usage":{"total_tokens":9}}')
        completion = self.build(builder, "stop", {"total_tokens": 1})
        self.assertEqual((completion["model"], completion["usage"]), ("gpt", {"total_tokens": 9}))
        self.assertEqual(completion["choices"][0]["finish_reason"], "length")

    def test_unknownReason(self) -> None:
        """
        A reason that is not one of OpenAI's becomes `stop`.
        """
        self.assertEqual(self.build(CompletionBuilder("m", 1), "enough")["choices"][0]["finish_reason"], "stop")

    def test_limits(self) -> None:
        """
        An answer over the limit is refused, and so is a choice whose number is out of range.
        """
        builder = CompletionBuilder("model", 3)
        builder.addText(b"abc")
        self.assertIn("3 bytes", str(self.assertRaises(AnswerTooLong, builder.addText, b"d")))
        builder = CompletionBuilder("model", 1000)
        builder.addChunk(b'{"choices":[{"index":127}]}')
        for index in (-1, 128):
            self.assertRaises(SourceError, builder.addChunk, b'{"choices":[{"index":%d}]}' % index)
