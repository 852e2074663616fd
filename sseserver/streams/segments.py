"""
Segments: entries that stand in a row, as the SQLite store writes them: those of one stream together, not one by one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from struct import pack, unpack
from typing import NamedTuple, cast

#: What the file has of a segment: kinds, ends, data.
Columns = tuple[bytes, bytes, bytes]


class Segment(NamedTuple):
    """
    Entries of one stream, one behind the other.

    Attributes:
        first: Number of the first one.
        kinds: The kind of each.
        ends: Where the data of each ends, in bytes from some byte of the stream: the same one for all its segments.
        data: The data of all.
    """

    first: int
    kinds: bytes | bytearray
    ends: array[int]
    data: bytes | bytearray

    @property
    def last(self) -> int:
        """Number of the last entry."""
        return self.first + len(self.kinds) - 1

    @property
    def entries(self) -> list[bytes]:
        """The data of each entry."""
        begin = self._begin
        return [bytes(self.data[start - begin : end - begin]) for start, end in pairwise((begin, *self.ends))]

    @property
    def _begin(self) -> int:
        """Where the data begins, counted like the ends."""
        return self.ends[-1] - len(self.data) if self.ends else 0

    def startingAt(self, first: int) -> Segment:
        """Give what there is from a number on."""
        count = max(0, first - self.first)
        if not count:
            return self
        cut = self.ends[count - 1] - self._begin if count <= len(self.ends) else len(self.data)
        return Segment(first, self.kinds[count:], self.ends[count:], self.data[cut:])

    def columns(self) -> Columns:
        """Give what the file has of it."""
        return bytes(self.kinds), packed(self.ends), bytes(self.data)


def joined(segments: Iterable[Segment], first: int) -> Segment:
    """
    Make one segment of those of a stream that follow one another.

    Args:
        first: The number of its first entry, should there be none.
    """
    known = list(segments)
    ends = array("Q")
    for segment in known:
        ends.extend(segment.ends)
    return Segment(
        known[0].first if known else first,
        b"".join(segment.kinds for segment in known),
        ends,
        b"".join(segment.data for segment in known),
    )


def fromColumns(first: int, kinds: bytes, ends: bytes, data: bytes) -> Segment:
    """Make what the file has into a segment."""
    return Segment(first, kinds, array("Q", unpacked(ends)), data)


def packed(numbers: Iterable[int]) -> bytes:
    """Write numbers for the file: eight bytes each, the lowest first, on any machine."""
    known = tuple(numbers)
    return pack(f"<{len(known)}Q", *known)


def unpacked(numbers: bytes) -> tuple[int, ...]:
    """Read numbers from the file."""
    return cast("tuple[int, ...]", unpack(f"<{len(numbers) // 8}Q", numbers))


@dataclass(frozen=True, slots=True)
class Gathered:
    """
    Segments of any streams, to be written, and read again, as one row.

    Attributes:
        heads: Four numbers for each segment: of the stream, of its first entry, how many entries, how many bytes.
    """

    heads: list[int] = field(default_factory=list)
    kinds: bytearray = field(default_factory=bytearray)
    ends: array[int] = field(default_factory=lambda: array("Q"))
    data: bytearray = field(default_factory=bytearray)

    @property
    def size(self) -> int:
        """The bytes that it takes in the file."""
        return 8 * len(self.heads) + len(self.kinds) + 8 * len(self.ends) + len(self.data)

    def add(self, stream: int, segment: Segment) -> None:
        """Add a segment."""
        first, kinds, ends, data = segment
        self.heads.extend((stream, first, len(kinds), len(data)))
        self.kinds.extend(kinds)
        self.ends.extend(ends)
        self.data.extend(data)

    def columns(self) -> tuple[bytes, bytearray, bytes, bytearray]:
        """Give what the file has of it."""
        return packed(self.heads), self.kinds, packed(self.ends), self.data


def scattered(heads: bytes, kinds: bytes, ends: bytes, data: bytes) -> Iterator[tuple[int, Segment]]:
    """Give the segments that were gathered, each with the number of its stream."""
    numbers, allEnds = unpacked(heads), array("Q", unpacked(ends))
    start = begin = 0
    for index in range(0, len(numbers), 4):
        stream, first, count, size = numbers[index : index + 4]
        end = start + count
        yield stream, Segment(first, kinds[start:end], allEnds[start:end], data[begin : begin + size])
        start, begin = end, begin + size
