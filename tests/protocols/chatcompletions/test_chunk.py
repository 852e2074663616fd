"""
Tests for `sseserver.protocols.chatcompletions.chunk`.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.protocols.chatcompletions import FINISH_REASONS, ChunkReader, ChunkWriter, ErrorChunk, writeError


def chunk(**choice: Any) -> bytes:
    """Write a chunk with one choice."""
    return json.dumps({"choices": [choice]}).encode("ascii")


class ReadTests(SynchronousTestCase):
    """`ChunkReader`."""

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
            self.assertEqual(ChunkReader().read(data), (text, None), data)
        two = {"choices": [{"index": 1, "delta": {"content": "x"}}, {"delta": {"content": "y"}}]}
        self.assertEqual(ChunkReader().read(json.dumps(two).encode()), ("y", None))

    def test_finishReason(self) -> None:
        """The end names the choices that have a finish reason, and the reason of the first; an empty one is none."""
        for data, read in (
            (chunk(delta={"content": "a"}, finish_reason="stop"), ("a", ("stop", {0}))),
            (chunk(delta={}, finish_reason="own"), ("", ("own", {0}))),
            (chunk(delta={"content": "a"}, finish_reason=""), ("a", None)),
            (chunk(delta={"content": "a"}, finish_reason=1), ("a", None)),
            (chunk(index=1, finish_reason="stop"), ("", (None, {1}))),
        ):
            self.assertEqual(ChunkReader().read(data), read, data)

    def test_faulty(self) -> None:
        """Faults of upstreams are accepted: `NaN`, and halves of characters, which become U+FFFD."""
        data = b'{"choices":[{"delta":{"content":"a"},"logprobs":NaN}]}'
        self.assertEqual(ChunkReader().read(data), ("a", None))
        data = b'{"choices":[{"delta":{"content":"a\\ude00b"}}]}'
        self.assertEqual(ChunkReader().read(data), ("a\ufffdb", None))

    def test_F41_halves(self) -> None:
        """F41: the first half of a character waits for the text that follows, or for the end of the choice."""
        for pieces, texts in (
            (("ok \\ud83d", "", "\\ude00!"), ["ok ", "", "\U0001f600!"]),
            (("\\ud83d", "\\ud83d", "\\ude00"), ["", "\ufffd", "\U0001f600"]),
            (("\\ud83d", "a"), ["", "\ufffda"]),
        ):
            reader = ChunkReader()
            read = [reader.read(b'{"choices":[{"delta":{"content":"%b"}}]}' % piece.encode()) for piece in pieces]
            self.assertEqual([found and found[0] for found in read], texts)
        reader = ChunkReader()
        reader.read(b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}')
        self.assertEqual(reader.read(chunk(delta={}, finish_reason="stop")), ("\ufffd", ("stop", {0})))

    def test_error(self) -> None:
        """An error in either shape is raised, with what it says."""
        vllm = {"message": "No.", "type": "T", "param": None, "code": 400}
        for data, error, code in (
            (b'{"error":{"message":"No."}}', {"message": "No."}, None),
            (b'{"error":"No.","code":429}', "No.", 429),
            (b'{"object":"error","message":"No.","type":"T","code":400}', vllm, None),
            (b'[{"error":{"message":"No."}}]', {"message": "No."}, None),
        ):
            told = self.assertRaises(ErrorChunk, ChunkReader().read, data)
            self.assertEqual((told.error, told.errorCode), (error, code))

    def test_F25_errorBesideChoices(self) -> None:
        """F25: an error beside the choices or in one of them is raised, and so is the finish reason `error`."""
        no = {"message": "No."}
        for data in (
            json.dumps({"choices": [{"delta": {"content": "a"}, "finish_reason": None}], "error": no}).encode(),
            json.dumps({"choices": [{"delta": {"content": "a"}, "finish_reason": "error"}], "error": no}).encode(),
            chunk(delta={"content": "a"}, error=no),
            chunk(index=1, delta={}, error=no),
        ):
            self.assertEqual(self.assertRaises(ErrorChunk, ChunkReader().read, data).error, no, data)
        self.assertRaises(ErrorChunk, ChunkReader().read, chunk(delta={}, finish_reason="error"))
        self.assertEqual(ChunkReader().read(chunk(delta={"content": "a"}, error=None)), ("a", None))

    def test_F29_unusualFrames(self) -> None:
        """F29: JSON other than objects is skipped, and members of other types are left out."""
        for data in (b"null", b"[]", b"[1]", b'"text"', b"7"):
            self.assertIsNone(ChunkReader().read(data), data)
        for data in (
            b'{"choices":1}',
            b'{"choices":[1]}',
            b'{"choices":[{"index":"0"}]}',
            chunk(delta=1),
            chunk(delta=[]),
            chunk(delta={"content": 1}),
            chunk(delta={"content": ["text"]}),
            chunk(index=1, delta={"content": 1}),
        ):
            self.assertEqual(ChunkReader().read(data), ("", None), data)
        self.assertEqual(ChunkReader().read(chunk(index=None, delta={"content": "a"})), ("a", None))

    def test_malformed(self) -> None:
        """Data that is not JSON is refused."""
        for data in (b"", b"{}x", b"[" * 100_000):
            refused = self.assertRaises(SourceError, ChunkReader().read, data)
            self.assertEqual((refused.status, refused.code), (502, "malformed"), data[:80])


#: Chunks around a text in JSON: usual ones, some whose other members look like the text, and others.
FRAMES = (
    b'{"id":"a","choices":[{"index":0,"delta":{"content":%b},"logprobs":null,"finish_reason":null}]}',
    b'{"choices":[{"delta":{"content":%b}}],"created":1}',
    b'{"choices":[{"delta":{"content":%b}}],"created":2}',
    b'{"choices":[{"delta":{"content":%b,"name":"stop"}}],"x":[",",":","stop"]}',
    b'{"choices":[{"delta":{"content":"stop","name":%b}}]}',
    b'{"choices":[{"delta":{"content":%b,"content":"stop"}}]}',
    b'{"choices":[{"delta":{"content":"stop"},"finish_reason":%b}]}',
    b'{"choices":[{"delta":{"content":"stop"}}],"error":%b}',
    b'{"choices":[{"index":1,"delta":{"content":%b}}]}',
)

#: Texts in JSON, escaped, with halves of characters, and such as are not JSON.
TEXTS = (
    *(b'"stop"', b'","', b'":"', b'"a"', b'"word "', b'""', b'"\xc3\xa9"', b'"\\n"', b'"\\"}"', b"null"),
    *(b'"a","name":"b"', b'"\\ud83d"', b'"\\ude00"', b'"\xff"', b'"a\nb"', b'"\xed\xa0\xbd"'),
    b'"%b"' % (b"long " * 500),
)


class LearningTests(SynchronousTestCase):
    """A `ChunkReader` that has learned how the chunks of an answer look."""

    def read(self, reader: ChunkReader, data: bytes) -> object:
        """Return what a reader returns or raises."""
        try:
            return reader.read(data)
        except (ErrorChunk, SourceError) as error:
            return type(error), str(error)

    @given(st.lists(st.tuples(st.sampled_from(FRAMES), st.sampled_from(TEXTS)), max_size=12))
    @example([(FRAMES[0], text) for text in TEXTS])
    @example([(FRAMES[3], b'","'), (FRAMES[3], b'":"'), (FRAMES[3], b'"stop"'), (FRAMES[3], b'"a"')])
    @example([(FRAMES[0], b'"a"'), (FRAMES[0], b'"b"'), (FRAMES[1], b'"c"'), (FRAMES[2], b'"d"'), (FRAMES[2], b'"e"')])
    @example([(FRAMES[4], b'"stop"'), (FRAMES[4], b'"stop"'), (FRAMES[4], b'"a"')])
    @example([(FRAMES[0], b'"a"'), (FRAMES[0], b'"b"'), (FRAMES[4], b'"stop"'), (FRAMES[4], b'"a"')])
    @example([(FRAMES[0], text) for text in (b'"a"', b'"b"', b'"\\ud83d"', b'"a"')])
    def test_same(self, chunks: list[tuple[bytes, bytes]]) -> None:
        """It reads each chunk as one that learns nothing, because of the space behind each chunk."""
        learned, other = ChunkReader(), ChunkReader()
        for frame, text in chunks:
            data = frame % text
            self.assertEqual(self.read(learned, data), self.read(other, data + b" " * 3000), (chunks, data))

    def test_otherAnswers(self) -> None:
        """A chunk of another look behind learned ones is read, and an error in it is raised."""
        reader = ChunkReader()
        for text in ("a", "b", "c"):
            self.assertEqual(reader.read(chunk(index=0, delta={"content": text})), (text, None))
        self.assertEqual(
            reader.read(chunk(index=0, delta={"content": "d"}, finish_reason="stop")), ("d", ("stop", {0}))
        )
        self.assertEqual(reader.read(chunk(index=1, delta={"content": "e"})), ("", None))
        self.assertRaises(ErrorChunk, reader.read, b'{"error":"No."}')
        self.assertRaises(SourceError, reader.read, chunk(index=0, delta={"content": "f"})[:-1])
        # Head and end share the quote.
        self.assertRaises(SourceError, reader.read, chunk(index=0, delta={"content": ""}).replace(b'""', b'"'))


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
        end = None if finish is None else (finish, {0})
        self.assertEqual(ChunkReader().read(writer.write({"content": text}, finish)), (text, end))

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
        told = self.assertRaises(ErrorChunk, ChunkReader().read, writeError("It broke.", "timeout"))
        self.assertEqual((told.error["message"], told.error["code"]), ("It broke.", "timeout"))
