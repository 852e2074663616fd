"""
Tests for `sseserver.formats.parts`.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.formats import parts
from sseserver.formats.parts import PartTranslator
from sseserver.protocols.answerparts import AnswerParts
from sseserver.protocols.chatcompletions import DeltaReader
from sseserver.protocols.uimessages import MessageWriter
from sseserver.streams.entries import packChunk
from sseserver.values import Kind


def chunkOf(text: str, ascii: bool = True, **members: Any) -> tuple[Kind, bytes]:
    """Return the entry of a chunk with text."""
    chunk = {"id": "1", "choices": [{"index": 0, "delta": {"content": text, **members}}]}
    return packChunk(json.dumps(chunk, ensure_ascii=ascii).encode(), text)


class TranslatorTests(SynchronousTestCase):
    """The entries of a log as the events of a protocol."""

    def setUp(self) -> None:
        self.decoded: list[bytes] = []
        decoded, read = self.decoded, DeltaReader.read

        class Watched(DeltaReader):
            def read(self, data: bytes) -> Any:
                decoded.append(data)
                return read(self, data)

        self.patch(parts, "DeltaReader", Watched)
        self.translator = PartTranslator(AnswerParts(MessageWriter("msg-1")))

    def write(self, kind: Kind, data: bytes) -> list[Any]:
        """Translate an entry; return the text of its deltas, or the types of other parts."""
        told = [json.loads(event[6:].partition(b"\n")[0]) for event in self.translator.translate(kind, data)]
        return [part["delta"] if part["type"] == "text-delta" else part["type"] for part in told]

    def test_kinds(self) -> None:
        """Each kind of entry has its events."""
        self.assertEqual(self.write(Kind.TOKEN, "é".encode())[-1], "é")
        self.assertEqual(self.write(*chunkOf("b")), ["b"])
        self.assertEqual(self.write(*packChunk(b'{"choices":[{"delta":{"reasoning":"r"}}]}', ""))[1], "reasoning-start")
        done = self.write(Kind.DONE, b'{"reason":"stop"}')
        self.assertEqual(done, ["reasoning-end", "finish-step", "finish"])
        self.assertEqual(self.write(Kind.FAILED, b'{"reason":"source","message":"No."}'), ["error"])
        self.assertEqual(self.write(Kind.CANCELLED, b'{"reason":"asked"}'), ["abort"])

    def test_learns(self) -> None:
        """A chunk that differs from one with nothing but text in its text alone is not decoded."""
        texts = ("a", "b", "é", "c\\", '"', "d", "a", "content", "}}]}")
        for ascii in (True, False):
            told = [self.write(*chunkOf(text, ascii))[-1] for text in texts]
            self.assertEqual(told, list(texts))
        # The first one, and those whose text has escapes; `é` has one in ASCII.
        self.assertEqual(len(self.decoded), 1 + 3 + 2)

    def test_otherChunks(self) -> None:
        """Additions of a chunk beside its text are never lost."""
        self.write(*chunkOf("a"))
        self.assertEqual(self.write(*chunkOf("a", reasoning="r"))[1], "reasoning-start")
        self.assertEqual(self.write(*chunkOf("a", reasoning="a"))[1], "reasoning-start")
        # The text also stands elsewhere.
        self.write(*packChunk(b'{"choices":[{"delta":{"content":"x"}}],"model":"x"}', "x"))
        self.assertEqual(self.write(*packChunk(b'{"choices":[{"delta":{"content":"y"}}],"model":"x"}', "y")), ["y"])
        self.assertEqual(self.write(*packChunk(b'{"choices":[{"delta":{"content":"x"}}],"model":"y"}', "x")), ["x"])

    def test_largeChunks(self) -> None:
        """The head and the end of a large chunk are not kept."""
        large = "x" * 3000
        for _ in range(2):
            self.write(*packChunk(json.dumps({"choices": [{"delta": {"content": "a"}}], "z": large}).encode(), "a"))
        self.assertEqual(len(self.decoded), 2)

    def test_fork(self) -> None:
        """A fork knows what the chunks look like, and goes on for itself."""
        self.write(*chunkOf("a"))
        other = self.translator.fork()
        self.write(Kind.DONE, b"{}")
        self.translator = other
        self.assertEqual(self.write(*chunkOf("b")), ["b"])
        self.assertEqual(len(self.decoded), 1)
        self.assertTrue(other.skip(b"ab", 2))
