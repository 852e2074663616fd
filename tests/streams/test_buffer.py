"""
Tests for `sseserver.streams.buffer`.
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from time import perf_counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from sseserver.streams.buffer import ENTRY_COST, LARGE, LOOSE, EntryBuffer, joinText
from sseserver.streams.entries import countTokens, readText
from sseserver.streams.segments import PackedSegments, Segment
from sseserver.values import Kind, NewEntry, PackedEntries

# A terminal entry is an entry like any other here: others may follow it.
KINDS = st.sampled_from([Kind.TOKEN, Kind.TOKEN, Kind.TOKEN, Kind.EVENT, Kind.SILENT_CHUNK, Kind.DONE])

DATA = st.binary(max_size=6) | st.sampled_from([b"\r", b"x" * LARGE, b"x" * (LARGE + 1)])


class BufferMachine(RuleBasedStateMachine):
    """
    A buffer beside two lists that must hold the same. Some reads change where the buffer keeps its entries, so they
    come in any order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.buffer = EntryBuffer()
        self.first = 1
        self.kinds: list[Kind] = []
        self.data: list[bytes] = []
        # The kinds and the data of what was trimmed.
        self.trimmed: list[tuple[Kind, bytes]] = []

    def cost(self, start: int, end: int | None = None) -> int:
        """Return the bytes of a range of entries, costs included."""
        return sum(len(data) + ENTRY_COST for data in self.data[start:end])

    @rule(kind=KINDS, data=DATA)
    def add(self, kind: Kind, data: bytes) -> None:
        """Add an entry."""
        self.buffer.add(kind, data)
        self.kinds.append(kind)
        self.data.append(data)

    @rule(count=st.integers(1, 2 * LOOSE), data=DATA)
    def addMany(self, count: int, data: bytes) -> None:
        """Add many entries of one kind."""
        for number in range(count):
            self.add(Kind.TOKEN, data + b"%d" % number)

    @rule(entries=st.lists(st.builds(NewEntry, KINDS, DATA), min_size=1, max_size=5))
    def extend(self, entries: list[NewEntry]) -> None:
        """Add packed entries."""
        last = self.buffer.extend(PackedEntries(entries))
        self.kinds += [entry.kind for entry in entries]
        self.data += [entry.data for entry in entries]
        assert last == self.first + len(self.kinds) - 1

    @precondition(lambda self: self.kinds)
    @rule(data=st.data())
    def cut(self, data: st.DataObject) -> None:
        """Drop the newest entries."""
        kept = data.draw(st.integers(0, len(self.kinds)))
        assert self.buffer.cut(self.first + kept - 1) == self.cost(kept)
        del self.kinds[kept:]
        del self.data[kept:]

    @rule(excess=st.integers(0, 200), most=st.integers(0, 50))
    def shed(self, excess: int, most: int) -> None:
        """Drop the oldest entries: as few as make room, and not all."""
        most = min(most, len(self.kinds) - 1)
        cost = self.buffer.shed(excess, most)
        gone = self.buffer.first - self.first
        assert gone == 0 if most <= 0 else 1 <= gone <= most
        assert cost == self.cost(0, gone)
        assert cost >= excess or gone == max(most, 0)
        assert gone <= 1 or self.cost(0, gone - 1) < excess
        self.trimmed += zip(self.kinds[:gone], self.data[:gone], strict=True)
        del self.kinds[:gone]
        del self.data[:gone]
        self.first += gone

    @rule()
    def restored(self) -> None:
        """Load what a store kept into a new buffer."""
        segment = self.buffer.segment(self.first, self.buffer.appended)
        self.buffer = EntryBuffer(segment, self.buffer.tokensBefore, self.buffer.trimmedCR)

    @precondition(lambda self: self.kinds)
    @rule(data=st.data())
    def row(self, data: st.DataObject) -> None:
        """Read a range in one of the ways."""
        start = data.draw(st.integers(0, len(self.kinds) - 1))
        end = data.draw(st.integers(start, len(self.kinds) - 1))
        first, last = self.first + start, self.first + end
        some = slice(start, end + 1)
        buffer, text = self.buffer, b"".join(map(readText, self.kinds[some], self.data[some]))
        read = data.draw(st.sampled_from(["measure", "span", "text", "part", "segment", "copy", "fit"]))
        if read == "measure":
            assert buffer.measure(first, last) == self.cost(start, end + 1)
        elif read == "span":
            data, bounds = buffer.span(first, last), buffer.bounds(first, last)
            assert [data[begin:end] for begin, end in pairwise(bounds)] == self.data[some]
            assert data == b"".join(self.data[some])
        elif read == "text":
            assert joinText(buffer, first, last) == text
        elif read == "part":
            begin, size = data.draw(st.integers(0, 8)), data.draw(st.integers(1, 8))
            assert (
                buffer.part(first, begin, size) == readText(self.kinds[start], self.data[start])[begin : begin + size]
            )
        elif read in {"segment", "copy"}:
            if read == "copy":
                rows = PackedSegments()
                rows.kinds, rows.data, rows.ends = bytearray(b"x"), bytearray(b"x"), array("Q", [1])
                size = buffer.copyTo(rows, first, last)
                assert size == len(rows.data) - 1
                segment = Segment(first, rows.kinds[1:], rows.ends[1:], rows.data[1:])
                assert segment.ends == buffer.segment(first, last).ends
            else:
                segment = buffer.segment(first, last)
            assert (segment.first, segment.last) == (first, last)
            assert (list(segment.kinds), segment.entries) == (self.kinds[some], self.data[some])
        else:
            most = data.draw(st.integers(1, 100))
            fits = buffer.fit(first, last, most)
            assert first <= fits <= last
            assert fits == first or sum(map(len, self.data[start : fits - self.first])) < most
            assert fits == last or sum(map(len, self.data[start : fits - self.first + 1])) >= most

    @rule()
    def whole(self) -> None:
        """Read all entries."""
        assert (self.buffer.entries, list(self.buffer.kinds)) == (self.data, self.kinds)

    @invariant()
    def counts(self) -> None:
        """Numbers and size agree; to read them moves no entry."""
        buffer = self.buffer
        assert (buffer.first, buffer.appended) == (self.first, self.first + len(self.kinds) - 1)
        assert buffer.size == self.cost(0)

    @invariant()
    def newest(self) -> None:
        """Each entry is right when it is read alone, from the newest to the oldest; to read it moves none of them."""
        for index in reversed(range(len(self.kinds))):
            number = self.first + index
            assert (self.buffer.kind(number), self.buffer.entry(number)) == (self.kinds[index], self.data[index])

    def teardown(self) -> None:
        """The count of tokens and `trimmedCR` include the entries that were dropped."""
        assert self.buffer.tokens == countTokens(bytes(kind for kind, _ in self.trimmed)) + countTokens(
            bytes(self.kinds)
        )
        texts = [data for kind, data in self.trimmed if kind == Kind.TOKEN]
        assert self.buffer.trimmedCR == (bool(texts) and texts[-1].endswith(b"\r"))


class BufferTests(SynchronousTestCase):
    """The entries that a log keeps."""

    def test_likeLists(self) -> None:
        """
        Whatever is added, cut, shed and read, in any order: it is what two
        lists have.
        """
        case = BufferMachine.TestCase()
        case.runTest()

    @given(st.integers(1, 3 * LOOSE))
    def test_newestIsWhatCame(self, count: int) -> None:
        """
        The newest entry is given as it came, without a copy: what viewers
        share who follow. Those before it do not stay as they came for long.
        """
        buffer = EntryBuffer()
        for number in range(1, count + 1):
            data = b"word%d" % number
            buffer.add(Kind.TOKEN, data)
            self.assertIs(buffer.entry(number), data)
        for number in range(1, count - LOOSE + 1):
            self.assertIsNot(buffer.entry(number), buffer.entry(number))

    def test_largeOnesAreNotCopiedTwice(self) -> None:
        """
        Of large entries one is loose at most, so that they are never there
        twice.
        """
        buffer = EntryBuffer()
        for number in range(1, 4):
            data = b"%d" % number * (LARGE + 1)
            buffer.add(Kind.EVENT, data)
            self.assertIs(buffer.entry(number), data)
            if number > 1:
                self.assertIsNot(buffer.entry(number - 1), buffer.entry(number - 1))


class EndedTextTests(SynchronousTestCase):
    """The text of a stream that has ended."""

    def test_F49_readAsOnePiece(self) -> None:
        """F49: the terminal entry does not make a long text slow: its tokens are read as one piece."""
        buffer = EntryBuffer()
        count = 200_000
        for _ in range(count):
            buffer.add(Kind.TOKEN, b"x")
        self.assertEqual(joinText(buffer, 1, count), b"x" * count)
        start = perf_counter()
        joinText(buffer, 1, count)
        opened = perf_counter() - start
        buffer.add(Kind.DONE, b"{}")
        start = perf_counter()
        text = joinText(buffer, 1, count + 1)
        ended = perf_counter() - start
        self.assertEqual(text, b"x" * count)
        # Entry by entry it takes 100 times as long.
        self.assertLess(ended, 20 * opened + 0.005)
