"""
Tests for `sseserver.streams.segments`.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.streams.segments import joinSegments, makeSegment
from sseserver.values import Entry, Kind

data = st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=4)), max_size=6)


class SegmentTests(SynchronousTestCase):
    """Ranges of entries."""

    @given(st.integers(1, 50), data)
    def test_entries(self, first: int, some: list[tuple[Kind, bytes]]) -> None:
        """
        A segment gives the entries that it was made of.
        """
        entries = [Entry(number, *each) for number, each in enumerate(some, first)]
        segment = makeSegment(first, entries)
        self.assertEqual(list(segment), entries)
        self.assertEqual((segment.last, segment.entries), (first + len(some) - 1, [each for _, each in some]))

    def test_hole(self) -> None:
        """
        A segment has no hole.
        """
        for number in (1, 3):
            entries = [Entry(2, Kind.TOKEN, b"a"), Entry(number + 1, Kind.TOKEN, b"b")]
            self.assertRaises(ValueError, makeSegment, 2, entries)

    @given(data, st.integers(0, 9), st.integers(0, 9))
    def test_select(self, some: list[tuple[Kind, bytes]], first: int, last: int) -> None:
        """
        A selection has the entries of a range, as far as they are there.
        """
        entries = [Entry(number, *each) for number, each in enumerate(some, 3)]
        selected = makeSegment(3, entries).select(first, last)
        self.assertEqual(list(selected), [entry for entry in entries if first <= entry.number <= last])

    @given(data, st.integers(0, 6))
    def test_join(self, some: list[tuple[Kind, bytes]], cut: int) -> None:
        """
        The parts of a segment make the segment again; no segments make an empty one.
        """
        whole = makeSegment(3, [Entry(number, *each) for number, each in enumerate(some, 3)])
        parts = [whole.select(3, 2 + cut), whole.select(3 + cut, 100)]
        self.assertEqual(list(joinSegments([part for part in parts if part.kinds], 3)), list(whole))
        self.assertEqual((joinSegments([], 5).first, joinSegments([], 5).last), (5, 4))
