"""
EntryBuffer: the entries that a stream log keeps, in memory.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import accumulate

from sseserver.streams.entries import countTokens, lastText, onlyTokens, textOf
from sseserver.streams.segments import Segment

#: What an entry costs in memory beside its data, in bytes: where it ends (8), its kind (1), and room to grow (up to an
#: eighth of both and of the data).
ENTRY_COST = 12

#: So many of the newest entries at most are loose; and of those with more bytes than this one, the first.
LOOSE = 32
LARGE = 1024


class EntryBuffer:
    """
    Entries in a row. The data of all stand in one buffer, one behind the
    other, so that any number of tokens is read as one piece.

    But for the newest ones, which are loose: they stay as they came, as long as
    they are of one kind, and are put to the others together, or when somebody
    asks for more than one entry. To take in a token, and to give it to those
    who follow, touches one list then instead of three buffers. With thousands
    of streams none of these is in a processor's cache.

    Attributes:
        first: Number of the first entry kept.
        trimmedCR: Whether the last token that was trimmed ends with CR.
    """

    __slots__ = (
        "_base",
        "_data",
        "_end",
        "_ends",
        "_kinds",
        "_loose",
        "_looseKind",
        "_packed",
        "_tokensBefore",
        "first",
        "trimmedCR",
    )

    def __init__(self) -> None:
        self.first = 1
        self.trimmedCR = False
        # The data of the entries kept that are not loose, and the kind of each, a byte.
        self._data = bytearray()
        self._kinds = bytearray()
        # Where each of them ends, and the first begins, and the last that is kept ends, loose or not: in bytes from
        # the first that ever was.
        self._ends = array("Q")
        self._base = self._end = 0
        # The number of the last entry that is not loose; those that are, and their kind.
        self._packed = 0
        self._loose: list[bytes] = []
        self._looseKind = 0
        # How many tokens were trimmed.
        self._tokensBefore = 0

    @property
    def kinds(self) -> bytearray:
        """The kind of each entry kept, a byte each."""
        self._pack()
        return self._kinds

    @property
    def size(self) -> int:
        """Bytes kept, costs included."""
        return self._end - self._base + ENTRY_COST * (self.appended + 1 - self.first)

    @property
    def tokens(self) -> int:
        """How many tokens it ever had; counted for the asking, since every token would pay for a count that is kept."""
        return self._tokensBefore + countTokens(self.kinds)

    @property
    def appended(self) -> int:
        """Number of the last entry, visible or not."""
        return self._packed + len(self._loose)

    @property
    def entries(self) -> list[bytes]:
        """The data of all entries kept, visible or not; made for the asking."""
        return self.segment(self.first, self.appended).entries

    def kind(self, number: int) -> int:
        """See L{IStreamLog.kind}."""
        return self._looseKind if number > self._packed else self._kinds[number - self.first]

    def entry(self, number: int) -> bytes:
        """See L{IStreamLog.entry}."""
        if number > self._packed:
            return self._loose[number - self._packed - 1]
        index = number - self.first
        start = self._ends[index - 1] if index else self._base
        return bytes(self._data[start - self._base : self._ends[index] - self._base])

    def span(self, first: int, last: int) -> bytes:
        """See L{IStreamLog.span}."""
        self._pack()
        start = self._start(first) - self._base
        return bytes(memoryview(self._data)[start : self._ends[last - self.first] - self._base])

    def text(self, first: int, last: int) -> bytes:
        """See L{IStreamLog.text}."""
        kinds = self.kinds[first - self.first : last + 1 - self.first]
        if kinds and onlyTokens(kinds):
            return self.span(first, last)
        return b"".join([textOf(kind, self.entry(number)) for number, kind in enumerate(kinds, first)])

    def fit(self, first: int, last: int, maxBytes: int) -> int:
        """See L{IStreamLog.fit}."""
        self._pack()
        low, high = first - self.first, last - self.first
        return self.first + min(bisect_left(self._ends, self._start(first) + maxBytes, low, high + 1), high)

    def segment(self, first: int, last: int) -> Segment:
        """Give the entries from one number to another, visible or not."""
        self._pack()
        start, end = first - self.first, last + 1 - self.first
        base, ends = self._base, self._ends[start:end]
        begin = self._ends[start - 1] - base if start else 0
        return Segment(first, self._kinds[start:end], ends, self._data[begin : ends[-1] - base if ends else begin])

    def measure(self, first: int, last: int) -> int:
        """Give the bytes of the entries from one number to another, costs included."""
        if last < first:
            return 0
        self._pack()
        return self._ends[last - self.first] - self._start(first) + ENTRY_COST * (last - first + 1)

    def _start(self, number: int) -> int:
        """Where an entry's data begins, counted like the ends; of one that is not loose."""
        index = number - self.first
        return self._ends[index - 1] if index else self._base

    def add(self, kind: int, data: bytes) -> None:
        """Add an entry."""
        if kind != self._looseKind or len(self._loose) >= LOOSE or len(data) > LARGE:
            self._pack()
            self._looseKind = kind
        self._loose.append(data)
        self._end += len(data)

    def _pack(self) -> None:
        """Put the loose entries to the others."""
        count = len(self._loose)
        if count:
            ends = accumulate(map(len, self._loose), initial=self._base + len(self._data))
            next(ends)
            self._ends.extend(ends)
            self._data += b"".join(self._loose) if count > 1 else self._loose[0]
            self._kinds += bytes((self._looseKind,)) * count
            self._packed += count
            self._loose.clear()

    def cut(self, last: int) -> int:
        """
        Drop the entries after one.

        Returns:
            The bytes that they took, costs included.
        """
        self._pack()
        start = last + 1 - self.first
        cost = self.measure(last + 1, self.appended)
        self._end = self._start(last + 1)
        self._packed = last
        del self._data[self._end - self._base :]
        del self._ends[start:]
        del self._kinds[start:]
        return cost

    def shed(self, excess: int, most: int) -> int:
        """
        Drop the oldest entries.

        Args:
            excess: How many bytes must go at least, costs included.
            most: How many entries may go.

        Returns:
            The bytes that they took, costs included; 0: none went.
        """
        self._pack()
        count = min(bisect_left(range(most), excess, key=lambda index: self._costUpTo(index + 1)) + 1, most)
        if count <= 0:
            return 0
        cost = self._costUpTo(count)
        end = self._ends[count - 1]
        lastIndex = lastText(self._kinds, count)
        if lastIndex >= 0:
            self.trimmedCR = self.entry(self.first + lastIndex).endswith(b"\r")
        kept = len(self._data) - (end - self._base)
        # Moved in place: after a `del` at the front the next append would copy everything into a second buffer.
        with memoryview(self._data) as data:
            data[:kept] = data[end - self._base :]
        del self._data[kept:]
        self._tokensBefore += countTokens(self._kinds[:count])
        del self._ends[:count]
        del self._kinds[:count]
        self._base = end
        self.first += count
        return cost

    def load(self, segment: Segment, tokens: int) -> None:
        """
        Take in what a store had kept; for a tail that is new.

        Args:
            segment: The entries kept.
            tokens: How many there ever were, those that were trimmed included.
        """
        self.first = segment.first
        self._ends = segment.ends
        self._data = bytearray(segment.data)
        self._kinds = bytearray(segment.kinds)
        self._packed = segment.last
        self._end = self._ends[-1] if self._kinds else 0
        self._base = self._end - len(self._data)
        self._tokensBefore = tokens - countTokens(self._kinds)

    def _costUpTo(self, count: int) -> int:
        """Give the bytes of the first entries kept, costs included."""
        return self._ends[count - 1] - self._base + ENTRY_COST * count
