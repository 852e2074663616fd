"""
Segments: ranges of entries with their data in one piece.

`EntryBuffer` gives them to stores, and is filled from one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from sseserver.values import Entry, Kind


@dataclass(slots=True)
class Segment:
    """
    Entries of one stream that follow one another. Iterating gives each as an `Entry`.

    A segment is never changed. It is not frozen because a store makes one for each stream in each group it writes.

    Attributes:
        first: Number of the first entry.
        kinds: The kind of each entry, a byte each.
        ends: End of each entry's data, in bytes from a fixed origin, the same for all segments of the stream.
        data: The data of all entries.
    """

    first: int
    kinds: bytes | bytearray
    ends: array[int]
    data: bytes | bytearray

    def __iter__(self) -> Iterator[Entry]:
        """Yield each entry."""
        return map(Entry, range(self.first, self.last + 1), map(Kind, self.kinds), self.entries)

    @property
    def last(self) -> int:
        """Number of the last entry; `first - 1` if there is none."""
        return self.first + len(self.kinds) - 1

    @property
    def entries(self) -> list[bytes]:
        """The data of each entry."""
        begin = self._begin
        return [bytes(self.data[start - begin : end - begin]) for start, end in pairwise((begin, *self.ends))]

    @property
    def _begin(self) -> int:
        """Begin of the data, counted like `ends`."""
        return self.ends[-1] - len(self.data) if self.ends else 0

    def select(self, first: int, last: int) -> Segment:
        """
        Return a range of entries, as far as they are in this segment.

        Args:
            first: Number of the first entry.
            last: Number of the last entry, which is included.
        """
        count = len(self.kinds)
        start = min(max(first - self.first, 0), count)
        end = max(start, min(last + 1 - self.first, count))
        if end - start == count:
            return self
        begin = self._begin
        bytesBefore = self.ends[start - 1] - begin if start else 0
        bytesUpTo = self.ends[end - 1] - begin if end else 0
        return Segment(
            max(first, self.first), self.kinds[start:end], self.ends[start:end], self.data[bytesBefore:bytesUpTo]
        )


class PackedSegments:
    """
    Segments of many streams, one behind the other.

    Attributes:
        kinds: The kinds of all entries.
        ends: The ends of all entries, those of each segment from the origin of its stream.
        data: The data of all entries.
    """

    __slots__ = ("data", "ends", "kinds")

    def __init__(self) -> None:
        self.kinds = bytearray()
        self.ends = array("Q")
        self.data = bytearray()


def makeSegment(first: int, entries: Iterable[Entry]) -> Segment:
    """
    Make a segment of entries.

    Args:
        first: Number of the first entry.
        entries: The entries, by number.

    Raises:
        ValueError: The numbers have a hole, or do not begin with `first`.
    """
    known = list(entries)
    for number, entry in enumerate(known, first):
        if entry.number != number:
            raise ValueError(f"Entry {number} is missing: entry {entry.number} stands in its place.")
    data = [entry.data for entry in known]
    return Segment(
        first, bytes([entry.kind for entry in known]), array("Q", accumulate(map(len, data))), b"".join(data)
    )


def joinSegments(segments: Iterable[Segment], first: int) -> Segment:
    """
    Join segments of one stream that follow one another.

    Args:
        segments: The segments, by number.
        first: Number of the first entry of the result if there are no segments.
    """
    # Byte arrays, since an `EntryBuffer` takes them over. Nothing is held twice but the newest segment.
    kinds, ends, data = bytearray(), array("Q"), bytearray()
    for segment in segments:
        if not kinds:
            first = segment.first
        kinds += segment.kinds
        ends.extend(segment.ends)
        data += segment.data
    return Segment(first, kinds, ends, data)
