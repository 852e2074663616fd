"""Tests of `sseserver.protocols.chatcompletions.textframe`."""

from __future__ import annotations

import json
from itertools import accumulate

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

    @given(st.lists(st.tuples(st.text('ab"é', max_size=4), st.sampled_from(["", "", "", "x"])), max_size=60))
    def test_together(self, chunks: list[tuple[str, str]]) -> None:
        """The texts of many chunks are found together, up to the first one that is not found by itself."""
        frame = TextFrame()
        self.assertEqual(frame.findAll(b"a", [0, 1]), [])
        frame.learn(makeEntry("a", padding=""))
        entries = [makeEntry(text, padding=padding) for text, padding in chunks]
        found = [frame.find(entry) for entry in entries]
        at, bounds = 0, [0, *accumulate(map(len, entries))]
        while at < len(entries):
            start = bounds[at]
            texts = frame.findAll(b"".join(entries[at:]), [bound - start for bound in bounds[at:]])
            self.assertEqual(texts, found[at : at + len(texts)])
            self.assertNotIn(None, texts)
            if not texts:
                self.assertIsNone(found[at])
            at += len(texts) or 1

    def test_largerSteps(self) -> None:
        """As long as all chunks have the frame, ever more of them are looked at together."""
        frame = TextFrame()
        frame.learn(makeEntry("a"))
        entries = [makeEntry("b")] * 1000
        data, bounds = b"".join(entries), [0, *accumulate(map(len, entries))]
        counts = [len(frame.findAll(data, bounds)) for _ in range(8)]
        self.assertEqual(counts, [8, 16, 32, 64, 128, 256, 512, 512])
        self.assertEqual(len(frame.findAll(makeEntry("b") + makeEntry('"'), [*bounds[:2], bounds[1] + 44])), 1)
        self.assertEqual(len(frame.findAll(data, bounds)), 8)
