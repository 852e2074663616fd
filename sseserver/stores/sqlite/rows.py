"""
Shapes of the rows of the SQLite file: their columns, and how entries are packed into them. Nothing is written here.

`database` reads and writes these rows; `journal` decides which.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from sys import byteorder
from typing import NamedTuple

from sseserver.streams.buffer import EntryBuffer
from sseserver.streams.segments import PackedSegments, Segment


class StreamRow(NamedTuple):
    """A new row of the table `streams`. `number` is the file's own name for the stream."""

    number: int
    name: str
    epoch: str
    published: bool
    created: float
    question: str = ""


class EndedRow(NamedTuple):
    """An update of the table `streams`: a stream ended, at a time in seconds since 1970."""

    ended: float
    number: int


class TrimmedRow(NamedTuple):
    """
    An update of the table `streams`: entries before `first` are no longer kept.

    Attributes:
        stream: Number of the stream.
        first: See above.
        tokens: Number of tokens among these entries.
        cr: Whether their text ends with CR.
    """

    stream: int
    first: int
    tokens: int
    cr: bool = False


class KeyRow(NamedTuple):
    """A row of the table `keys`: one use of an idempotency key."""

    stream: int
    key: str
    digest: bytes
    first: int
    last: int


class SegmentRow(NamedTuple):
    """A row of the table `segments`: filed entries of one stream."""

    stream: int
    first: int
    last: int
    kinds: bytes
    ends: bytes
    data: bytes

    @classmethod
    def pack(cls, stream: int, segment: Segment) -> SegmentRow:
        """
        Make the row of a segment.

        Args:
            stream: Number of the stream in the file.
            segment: Some of its entries.
        """
        kinds, ends, data = bytes(segment.kinds), packNumbers(segment.ends), bytes(segment.data)
        return cls(stream, segment.first, segment.last, kinds, ends, data)

    def unpack(self) -> Segment:
        """Make the segment of a row."""
        return Segment(self.first, self.kinds, unpackNumbers(self.ends), self.data)


class FreshRow(NamedTuple):
    """
    A row of the table `fresh`: entries of many streams, written together.

    Attributes:
        place: Orders the rows; see `journal`.
        heads: Four numbers for each segment: stream, number of the first entry, count of entries, bytes of data.
        kinds: The kinds of all entries.
        ends: The ends of all entries.
        data: The data of all entries.
    """

    place: int
    heads: bytes
    kinds: bytes | bytearray
    ends: bytes
    data: bytes | bytearray

    def unpack(self) -> Iterator[StreamSegment]:
        """Yield the segments, in the order in which they were added."""
        numbers, ends = unpackNumbers(self.heads), unpackNumbers(self.ends)
        start = begin = 0
        for index in range(0, len(numbers), 4):
            stream, first, count, size = tuple(numbers[index : index + 4])
            end = start + count
            segment = Segment(first, self.kinds[start:end], ends[start:end], self.data[begin : begin + size])
            yield StreamSegment(stream, segment)
            start, begin = end, begin + size


class StreamSegment(NamedTuple):
    """A segment, and the number of its stream."""

    stream: int
    segment: Segment


class FreshEntries(PackedSegments):
    """
    Segments of many streams that are to be written as one `FreshRow`.

    Attributes:
        heads: See `FreshRow`.
    """

    __slots__ = ("heads",)

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[int] = []

    @property
    def size(self) -> int:
        """Bytes that they take in the file."""
        return 8 * len(self.heads) + len(self.kinds) + 8 * len(self.ends) + len(self.data)

    def add(self, stream: int, buffer: EntryBuffer, first: int, last: int) -> None:
        """
        Add a segment of a stream.

        Args:
            stream: Number of the stream in the file.
            buffer: Has the entries.
            first: Number of the first entry.
            last: Number of the last entry, which is included.
        """
        size = buffer.copyTo(self, first, last)
        heads = self.heads
        heads.append(stream)
        heads.append(first)
        heads.append(last + 1 - first)
        heads.append(size)

    def pack(self, place: int) -> FreshRow:
        """Make the row."""
        return FreshRow(place, packNumbers(self.heads), self.kinds, packNumbers(self.ends), self.data)


@dataclass(slots=True)
class Transaction:
    """
    The rows of one transaction.

    Attributes:
        deleted: Numbers of streams whose rows are all deleted.
        trimmed: Streams whose oldest entries are deleted.
        created: New streams.
        fresh: Entries for the table `fresh`.
        place: Place of their row.
        filed: Entries for the table `segments`.
        mark: Rows of the table `fresh` before this place are deleted.
        keys: Uses of idempotency keys.
        ended: Streams whose terminal entry is among the entries.
    """

    deleted: list[int] = field(default_factory=list)
    trimmed: list[TrimmedRow] = field(default_factory=list)
    created: list[StreamRow] = field(default_factory=list)
    fresh: FreshEntries = field(default_factory=FreshEntries)
    place: int = 0
    filed: list[StreamSegment] = field(default_factory=list)
    mark: int = 0
    keys: list[KeyRow] = field(default_factory=list)
    ended: list[EndedRow] = field(default_factory=list)


def packNumbers(numbers: Iterable[int]) -> bytes:
    """
    Pack numbers into eight bytes each, the lowest byte first on any machine.

    An array of a million numbers takes a millisecond; to make an object of each would hold all threads for thirty.
    """
    known = array("Q", numbers)
    _swap(known)
    return known.tobytes()


def unpackNumbers(packed: bytes) -> array[int]:
    """Unpack numbers that `packNumbers` packed."""
    numbers = array("Q")
    numbers.frombytes(packed)
    _swap(numbers)
    return numbers


def _swap(numbers: array[int]) -> None:
    """Exchange the order of bytes of this machine with that of the file, if they differ."""
    if byteorder == "big":
        numbers.byteswap()
