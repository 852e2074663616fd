"""
EntryBuffer: the entries that a stream log keeps in memory.

Every `StreamLog` has one, and decides which entries are dropped (`StreamLog._trim`). Formats read entries from it;
stores take segments of it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from sys import byteorder

from zope.interface import classImplements

from sseserver.interfaces import IEntryBuffer
from sseserver.streams.entries import areTokens, countTokens, findLastText, readText
from sseserver.streams.segments import PackedSegments, Segment
from sseserver.values import Kind, PackedEntries

#: Bytes. Memory of an entry beside its data: its end (8), its kind (1), and room to grow (up to an eighth of both and
#: of the data).
ENTRY_COST = 12

#: Entries. The loose list is packed when it has this many.
LOOSE = 32

#: Bytes. A loose entry is packed with those before it when the next one is larger than this.
LARGE = 1024

_TOKEN = Kind.TOKEN

# Looked up for each token.
_COST = ENTRY_COST
_LOOSE = LOOSE
_LARGE = LARGE


class EntryBuffer:
    """
    The entries of one stream, from the oldest that is kept to the newest.

    The data of all entries stands in one byte buffer, so that any number of tokens can be read as one piece. New
    entries of one kind are kept in a list first; they are *packed*, which is moved into the byte buffer, when the list
    is full, when an entry of another kind follows, or when a range is read. Appending a token and reading it again
    then touches one list instead of three buffers, none of which is in the processor's cache when there are thousands
    of streams.

    Args:
        segment: The entries that a store kept; `None` for a new stream. Its arrays become those of the buffer: nobody
            else uses them.
        tokensBefore: Number of tokens among the entries before them.
        trimmedCR: Whether the text of the entries before them ends with CR.

    Attributes:
        first: Number of the oldest entry kept.
        size: Bytes kept, `ENTRY_COST` for each entry included.
        tokensBefore: Number of tokens that were dropped.
        trimmedCR: Whether the last token that was dropped ends with CR.
    """

    __slots__ = (
        "_base",
        "_data",
        "_ends",
        "_kinds",
        "_loose",
        "_looseKind",
        "_packed",
        "first",
        "size",
        "tokensBefore",
        "trimmedCR",
    )

    def __init__(self, segment: Segment | None = None, tokensBefore: int = 0, trimmedCR: bool = False) -> None:
        self.first = 1
        self.size = 0
        self.tokensBefore = tokensBefore
        self.trimmedCR = trimmedCR
        # Data and kinds (a byte each) of the packed entries.
        self._data = bytearray()
        self._kinds = bytearray()
        # Ends of the data of the packed entries, and begin of that of the first one: in bytes from the start of the
        # stream.
        self._ends = array("Q")
        self._base = 0
        # Number of the last packed entry; the loose entries after it, all of one kind.
        self._packed = 0
        self._loose: list[bytes] = []
        self._looseKind = 0
        if segment is not None:
            data, kinds = segment.data, segment.kinds
            self.first, self._ends, self._packed = segment.first, segment.ends, segment.last
            self._data = data if isinstance(data, bytearray) else bytearray(data)
            self._kinds = kinds if isinstance(kinds, bytearray) else bytearray(kinds)
            self._base = (self._ends[-1] if self._kinds else 0) - len(self._data)
            self.size = len(self._data) + ENTRY_COST * len(self._kinds)

    @property
    def kinds(self) -> bytearray:
        """See `IEntryBuffer.kinds`."""
        self._pack()
        return self._kinds

    @property
    def tokens(self) -> int:
        """See `IEntryBuffer.tokens`. Counted on demand: keeping a count would cost every token."""
        return self.tokensBefore + countTokens(self.kinds)

    @property
    def appended(self) -> int:
        """See `IEntryBuffer.appended`."""
        return self._packed + len(self._loose)

    @property
    def entries(self) -> list[bytes]:
        """See `IEntryBuffer.entries`."""
        return self.segment(self.first, self.appended).entries

    def kind(self, number: int) -> int:
        """See `IEntryBuffer.kind`."""
        return self._looseKind if number > self._packed else self._kinds[number - self.first]

    def entry(self, number: int) -> bytes:
        """See `IEntryBuffer.entry`."""
        if number > self._packed:
            return self._loose[number - self._packed - 1]
        index = number - self.first
        start = self._ends[index - 1] if index else self._base
        return bytes(self._data[start - self._base : self._ends[index] - self._base])

    def span(self, first: int, last: int) -> bytes:
        """See `IEntryBuffer.span`."""
        self._pack()
        start = self._start(first) - self._base
        return bytes(memoryview(self._data)[start : self._ends[last - self.first] - self._base])

    def bounds(self, first: int, last: int) -> list[int]:
        """See `IEntryBuffer.bounds`."""
        self._pack()
        start = self._start(first)
        return [0, *[end - start for end in self._ends[first - self.first : last + 1 - self.first]]]

    def part(self, number: int, start: int, size: int) -> bytes:
        """See `IEntryBuffer.part`."""
        kind = self.kind(number)
        if kind != _TOKEN:
            return readText(kind, self.entry(number))[start : start + size]
        self._pack()
        begin = self._start(number) - self._base + start
        end = min(begin + size, self._ends[number - self.first] - self._base)
        return bytes(memoryview(self._data)[begin:end])

    def fit(self, first: int, last: int, maxBytes: int) -> int:
        """See `IEntryBuffer.fit`."""
        self._pack()
        # Not `bisect_left`, which makes an integer object of each end that it looks at.
        ends = self._ends
        low, high = first - self.first, last - self.first
        until = (ends[low - 1] if low else self._base) + maxBytes
        while low < high:
            middle = (low + high) // 2
            if ends[middle] < until:
                low = middle + 1
            else:
                high = middle
        return self.first + low

    def segment(self, first: int, last: int) -> Segment:
        """
        Return a copy of a range of entries.

        Args:
            first: Number of the first entry.
            last: Number of the last entry, which is included.
        """
        self._pack()
        start, end = first - self.first, last + 1 - self.first
        base, ends = self._base, self._ends[start:end]
        begin = self._ends[start - 1] - base if start else 0
        return Segment(first, self._kinds[start:end], ends, self._data[begin : ends[-1] - base if ends else begin])

    def copyTo(self, rows: PackedSegments, first: int, last: int) -> int:
        """
        Copy a range of entries behind those of other streams. Loose entries stay loose.

        Args:
            rows: Gets the entries.
            first: Number of the first entry.
            last: Number of the last entry, which is included.

        Returns:
            The bytes of their data.
        """
        start = first - self._packed - 1
        if start < 0:
            self._pack()
            index, end = first - self.first, last + 1 - self.first
            begin = self._start(first)
            rows.kinds += self._kinds[index:end]
            rows.ends += self._ends[index:end]
            rows.data += self._data[begin - self._base : self._ends[end - 1] - self._base]
            return self._ends[end - 1] - begin
        count = len(self._loose)
        # From the end, since nearly always the newest entries are copied.
        begin = self._base + self.size - ENTRY_COST * (self._packed + count + 1 - self.first)
        for index in range(start, count):
            piece = self._loose[index]
            begin -= len(piece)
        end = begin
        for index in range(start, last - self._packed):
            piece = self._loose[index]
            end += len(piece)
            rows.data += piece
            rows.ends.append(end)
            rows.kinds.append(self._looseKind)
        return end - begin

    def measure(self, first: int, last: int) -> int:
        """See `IEntryBuffer.measure`."""
        if last < first:
            return 0
        if first > self._packed:
            size = 0
            for index in range(first - self._packed - 1, last - self._packed):
                piece = self._loose[index]
                size += len(piece)
            return size + ENTRY_COST * (last - first + 1)
        self._pack()
        return self._ends[last - self.first] - self._start(first) + ENTRY_COST * (last - first + 1)

    def add(self, kind: int, data: bytes) -> int:
        """
        Add an entry after the newest.

        Args:
            kind: Its kind.
            data: Its data.

        Returns:
            The entry's number.
        """
        if kind != self._looseKind or len(self._loose) >= _LOOSE or len(data) > _LARGE:
            self._pack()
            self._looseKind = kind
        self._loose.append(data)
        self.size += len(data) + _COST
        return self._packed + len(self._loose)

    def extend(self, entries: PackedEntries) -> int:
        """
        Add entries, one or more, after the newest. This takes nanoseconds for each.

        Returns:
            The number of the last one.
        """
        self._pack()
        self._ends.frombytes(_shift(entries.ends, self._base + len(self._data)))
        self._data += entries.data
        self._kinds += entries.kinds
        self._packed += len(entries)
        self.size += len(entries.data) + ENTRY_COST * len(entries)
        return self._packed

    def cut(self, last: int) -> int:
        """
        Drop the entries after `last`.

        Returns:
            The bytes that they took, costs included.
        """
        self._pack()
        cost = self.measure(last + 1, self._packed)
        del self._data[self._start(last + 1) - self._base :]
        del self._ends[last + 1 - self.first :]
        del self._kinds[last + 1 - self.first :]
        self._packed = last
        self.size -= cost
        return cost

    def shed(self, excess: int, most: int) -> int:
        """
        Drop the oldest entries.

        Args:
            excess: Bytes to drop at least, costs included.
            most: Number of entries to drop at most.

        Returns:
            The bytes that they took, costs included; 0 if none was dropped.
        """
        self._pack()
        first = self.first
        count = min(bisect_left(range(most), excess, key=lambda index: self.measure(first, first + index)) + 1, most)
        if count <= 0:
            return 0
        cost = self.measure(first, first + count - 1)
        end = self._ends[count - 1]
        lastIndex = findLastText(self._kinds, count)
        if lastIndex >= 0:
            self.trimmedCR = self.entry(self.first + lastIndex).endswith(b"\r")
        kept = len(self._data) - (end - self._base)
        # Moved in place: after a `del` at the front the next append would copy everything into a second buffer.
        with memoryview(self._data) as data:
            data[:kept] = data[end - self._base :]
        del self._data[kept:]
        self.tokensBefore += countTokens(self._kinds[:count])
        del self._ends[:count]
        del self._kinds[:count]
        self._base = end
        self.first += count
        self.size -= cost
        return cost

    def _start(self, number: int) -> int:
        """Return where the data of a packed entry begins, counted like `_ends`."""
        index = number - self.first
        return self._ends[index - 1] if index else self._base

    def _pack(self) -> None:
        """Move the loose entries into the buffers."""
        count = len(self._loose)
        if count:
            end = self._base + len(self._data)
            ends = []
            for piece in self._loose:
                end += len(piece)
                ends.append(end)
            self._ends.fromlist(ends)
            self._data += b"".join(self._loose) if count > 1 else self._loose[0]
            self._kinds += bytes((self._looseKind,)) * count
            self._packed += count
            self._loose.clear()


def joinText(buffer: IEntryBuffer, first: int, last: int) -> bytes:
    """
    Return the text of a range of entries as one piece: of tokens, and of chunks.

    Args:
        buffer: Has the entries.
        first: Number of the first entry.
        last: Number of the last entry, which is included.
    """
    kinds = buffer.kinds[first - buffer.first : last + 1 - buffer.first]
    if kinds and areTokens(kinds):
        return buffer.span(first, last)
    if len(kinds) > 1 and areTokens(kinds[:-1]):
        # The tokens of a stream that has ended: its terminal entry has no text.
        return buffer.span(first, last - 1) + readText(kinds[-1], buffer.entry(last))
    return b"".join([readText(kind, buffer.entry(number)) for number, kind in enumerate(kinds, first)])


def _shift(ends: array[int], offset: int) -> bytes:
    """
    Add a number to each of many ends.

    The array is added as one long integer, which takes a third of the time of a loop: no sum exceeds its eight bytes.

    Returns:
        The bytes of an array of the sums.
    """
    ones = int.from_bytes(array("Q", (1,)) * len(ends), byteorder)
    return (int.from_bytes(ends, byteorder) + offset * ones).to_bytes(8 * len(ends), byteorder)


classImplements(EntryBuffer, IEntryBuffer)
