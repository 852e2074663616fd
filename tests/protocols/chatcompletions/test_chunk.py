"""
Tests for `sseserver.protocols.chatcompletions.chunk`.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.protocols.chatcompletions import FINISH_REASONS, ChunkWriter, ErrorChunk, readChunk, writeError


def chunk(**choice: Any) -> bytes:
    """Write a chunk with one choice."""
    return json.dumps({"choices": [choice]}).encode("ascii")


class ReadTests(SynchronousTestCase):
    """`readChunk`."""

    def test_text(self) -> None:
        """
        The text of the first choice is read, from a string or from parts; other choices are checked and skipped.
        """
        parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}]
        for data, text in (
            (chunk(index=0, delta={"content": "One "}), "One "),
            (chunk(delta={"content": "\u00e9\r\n"}), "\u00e9\r\n"),
            (chunk(delta={"content": parts}), "ab"),
            (chunk(delta={"role": "assistant"}), ""),
            (chunk(delta=None), ""),
            (chunk(), ""),
            (chunk(index=1, delta={"content": "x"}), ""),
            (b'{"choices":[],"usage":{}}', ""),
            (b"{}", ""),
        ):
            self.assertEqual(readChunk(data), (text, None), data)
        two = {"choices": [{"index": 1, "delta": {"content": "x"}}, {"delta": {"content": "y"}}]}
        self.assertEqual(readChunk(json.dumps(two).encode()), ("y", None))

    def test_finishReason(self) -> None:
        """
        The finish reason is that of the first choice; an empty one is none.
        """
        self.assertEqual(readChunk(chunk(delta={"content": "a"}, finish_reason="stop")), ("a", "stop"))
        self.assertEqual(readChunk(chunk(delta={}, finish_reason="own")), ("", "own"))
        self.assertEqual(readChunk(chunk(delta={"content": "a"}, finish_reason="")), ("a", None))
        self.assertEqual(readChunk(chunk(index=1, finish_reason="stop")), ("", None))

    def test_faulty(self) -> None:
        """
        Faults of upstreams are accepted: `NaN`, and halves of characters, which become U+FFFD.
        """
        self.assertEqual(readChunk(b'{"choices":[{"delta":{"content":"a"},"logprobs":NaN}]}'), ("a", None))
        self.assertEqual(readChunk(b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}'), ("a\ufffd", None))

    def test_error(self) -> None:
        """
        An error in either shape is raised, with what it says.
        """
        for data, error, code in (
            (b'{"error":{"message":"No."}}', {"message": "No."}, None),
            (b'{"error":"No.","code":429}', "No.", 429),
            (b'{"object":"error","message":"No.","code":400}', "No.", 400),
        ):
            told = self.assertRaises(ErrorChunk, readChunk, data)
            self.assertEqual((told.error, told.errorCode), (error, code))

    def test_malformed(self) -> None:
        """
        A chunk with members of other types is refused, in each of its choices.
        """
        for data in (
            b"",
            b"[]",
            b"{}x",
            b'{"choices":1}',
            b'{"choices":[1]}',
            b'{"choices":[{"index":"0"}]}',
            chunk(delta=1),
            chunk(delta="text"),
            chunk(delta={"content": 1}),
            chunk(delta={"content": ["text"]}),
            chunk(delta={"content": "a"}, finish_reason=1),
            chunk(index=1, delta={"content": 1}),
            b"[" * 100_000,
        ):
            refused = self.assertRaises(SourceError, readChunk, data)
            self.assertEqual((refused.status, refused.code), (502, "malformed"), data[:80])


class WriterTests(SynchronousTestCase):
    """`ChunkWriter`: one schema for writing and reading."""

    def setUp(self) -> None:
        """Make a writer."""
        self.writer = ChunkWriter("chatcmpl-1", 1_700_000_000, 'a "model"')

    @given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from([None, *sorted(FINISH_REASONS)]))
    def test_readBack(self, text: str, finish: str | None) -> None:
        """
        A chunk is read as it was written.
        """
        writer = ChunkWriter("id", 1, "model")
        self.assertEqual(readChunk(writer.write({"content": text}, finish)), (text, finish))

    def test_members(self) -> None:
        """
        A chunk has the members of OpenAI's API, in one line.
        """
        data = self.writer.write({"content": "a"}, "stop")
        self.assertEqual(
            json.loads(data),
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1_700_000_000,
                "model": 'a "model"',
                "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}],
            },
        )
        self.assertNotIn(b"\n", data)
        usage = json.loads(self.writer.writeUsage({"total_tokens": 1}))
        self.assertEqual((usage["choices"], usage["usage"]), ([], {"total_tokens": 1}))

    def test_split(self) -> None:
        """
        A content between the two halves makes a chunk, whatever the name of the model.
        """
        for model in ("m", "", '""', 'a"":""'):
            writer = ChunkWriter("id", 1, model)
            before, behind = writer.split()
            self.assertEqual(before + b'"a"' + behind, writer.write({"content": "a"}))

    def test_error(self) -> None:
        """
        An error is read as an error.
        """
        told = self.assertRaises(ErrorChunk, readChunk, writeError("It broke.", "timeout"))
        self.assertEqual((told.error["message"], told.error["code"]), ("It broke.", "timeout"))
