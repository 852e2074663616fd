"""
Tests for `sseserver.stores.sqlite.rows`.
"""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.sqlite.rows import FreshEntries, SegmentRow, StreamSegment, packNumbers, unpackNumbers
from sseserver.streams.buffer import EntryBuffer
from sseserver.streams.segments import Segment

numbers = st.integers(0, 2**64 - 1)
segments = st.builds(
    lambda first, begin, data: Segment(
        first,
        bytes(len(data)),
        array("Q", [begin + sum(map(len, data[: index + 1])) for index in range(len(data))]),
        b"".join(data),
    ),
    st.integers(1, 2**40),
    st.integers(0, 2**40),
    st.lists(st.binary(max_size=5), min_size=1, max_size=5),
)


class RowTests(SynchronousTestCase):
    """Entries are packed into rows, and unpacked."""

    @given(st.lists(numbers))
    def test_numbers(self, some: list[int]) -> None:
        """
        Numbers are packed into eight bytes each, the lowest first.
        """
        packed = packNumbers(some)
        self.assertEqual(list(unpackNumbers(packed)), some)
        self.assertEqual(packed, b"".join(number.to_bytes(8, "little") for number in some))

    @given(segments)
    def test_segment(self, segment: Segment) -> None:
        """
        The row of a segment gives the same segment.
        """
        row = SegmentRow.pack(7, segment)
        self.assertEqual((row.stream, row.first, row.last), (7, segment.first, segment.last))
        self.assertEqual(row.unpack(), segment)

    @given(st.lists(st.tuples(st.integers(1, 2**60), segments), max_size=5))
    def test_fresh(self, added: list[tuple[int, Segment]]) -> None:
        """
        A row of fresh entries gives the segments that were added, in their order; `size` is that of its columns.
        """
        fresh = FreshEntries()
        for stream, segment in added:
            fresh.add(stream, EntryBuffer(segment, 0), segment.first, segment.last)
        row = fresh.pack(3)
        self.assertEqual(list(row.unpack()), [StreamSegment(*each) for each in added])
        self.assertEqual((row.place, fresh.size), (3, sum(map(len, row[1:]))))
