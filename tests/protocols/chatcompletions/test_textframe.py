"""Tests of `sseserver.protocols.chatcompletions.textframe`."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.chatcompletions import DeltaReader, TextDelta, TextFrame


def makeEntry(text: str, ascii: bool = False, **members: object) -> bytes:
    """Return the data of an entry with a chunk."""
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}], **members}
    return json.dumps(chunk, ensure_ascii=ascii).encode() + b"\n" + text.encode()


class FrameTests(SynchronousTestCase):
    """Texts of chunks that look the same."""

    def test_found(self) -> None:
        """Once a chunk is learned, the texts of others that differ in nothing else are found."""
        frame = TextFrame()
        self.assertIsNone(frame.find(makeEntry("a")))
        frame.learn(makeEntry("a"))
        for text in ("b", "longer", " ", "é", "\u2028", "x" * 5000):
            self.assertEqual(frame.find(makeEntry(text)), text.encode())

    def test_notFound(self) -> None:
        """A chunk with escapes, with other members, or without text is read."""
        frame = TextFrame()
        frame.learn(makeEntry("a"))
        for data in (
            makeEntry('"'),
            makeEntry("\n"),
            makeEntry("\\"),
            makeEntry("é", ascii=True),
            makeEntry(""),
            makeEntry("b", model="m"),
            makeEntry("b").replace(b'"delta"', b'"finish_reason": "stop", "delta"'),
            b"",
            b"{}\n",
        ):
            self.assertIsNone(frame.find(data), data)

    def test_padded(self) -> None:
        """Chunks that all look different are not learned for ever, nor are large ones."""
        frame = TextFrame()
        for number in range(20):
            frame.learn(makeEntry("a", padding="x" * number))
        self.assertIsNone(frame.find(makeEntry("b", padding="x" * 19)))
        self.assertEqual(frame.find(makeEntry("b", padding="x" * 7)), b"b")
        frame = TextFrame()
        frame.learn(makeEntry("a", padding="x" * 5000))
        self.assertIsNone(frame.find(makeEntry("b", padding="x" * 5000)))

    def test_elsewhere(self) -> None:
        """A member that was the same text once is not taken for the text."""
        frame = TextFrame()
        frame.learn(makeEntry("a", padding="a"))
        self.assertIsNone(frame.find(makeEntry("a", padding="b")))

    @given(st.lists(st.tuples(st.text('ab"\\é,:{}', max_size=4), st.text('ab"', max_size=2)), max_size=6))
    def test_same(self, chunks: list[tuple[str, str]]) -> None:
        """A text that is found is all that the chunk adds, also if the text stands elsewhere in it."""
        frame, reader = TextFrame(), DeltaReader()
        for text, padding in chunks:
            data = makeEntry(text, padding=padding)
            deltas = reader.read(data.partition(b"\n")[0])
            found = frame.find(data)
            if found is not None:
                self.assertEqual(deltas, [TextDelta(found.decode())])
            if len(deltas) == 1:
                frame.learn(data)
