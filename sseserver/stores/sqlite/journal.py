"""
Filing: what the SQLite store has in memory of each stream, and when a stream's entries go into rows of its own.

Entries are written as they come into C{fresh}, and filed later: see L{sseserver.stores.sqlite.database}.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from weakref import ReferenceType, ref

from twisted.internet.defer import Deferred

from sseserver.interfaces import IStreamLog
from sseserver.stores.sqlite.database import Group
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.log import StreamLog
from sseserver.values import State

#: Bytes, with the cost of each entry, that a stream gathers before they are filed. What comes at once and is as large
#: is written only once.
SEGMENT = 64 * 1024

#: Bytes of all that came last; streams that have not gathered enough when these came are filed as they are.
FRESH = 4 * 1024 * 1024

#: So many of those are filed with each group, beside one for each stream that is new among them: none waits for all.
FILED = 16


@dataclass(slots=True, eq=False)
class Stream:
    """
    What the store knows of one stream.

    Attributes:
        number: What the file calls it.
        size: Bytes it takes, when its log is not in memory.
        written: Number of the last entry in the file.
        filed: Number of the last entry that is filed.
        gathered: Bytes that came since, with the cost of each entry; what had to be tried again counts again.
        place: Where it was among the fresh entries last.
        open: Its log, as long as that can still grow.
        read: Its log, as long as somebody else holds it.
        waiting: Who waits for the log, while it is made or read.
        uncounted: The bytes that are no longer counted, while it is being deleted.
        leaving: Who waits for the end of that, one way or the other.
    """

    number: int
    name: str
    epoch: str
    published: bool
    created: float
    ended: float | None
    size: int = 0
    written: int = 0
    filed: int = 0
    gathered: int = 0
    place: int = -1
    open: StreamLog | None = None
    read: ReferenceType[StreamLog] | None = None
    waiting: list[Deferred[IStreamLog]] | None = None
    uncounted: int | None = None
    leaving: list[Deferred[None]] = field(default_factory=list)

    def log(self) -> StreamLog | None:
        """Give the log, if it is in memory."""
        return self.open or (None if self.read is None else self.read())

    def hold(self, streamLog: StreamLog) -> None:
        """Hold the log as firmly as it must be held."""
        self.read = ref(streamLog)
        self.size = streamLog.buffer.size
        self.ended = streamLog.ended
        self.open = streamLog if streamLog.state is State.OPEN else None

    def left(self) -> None:
        """Tell those who wait for the end of a deletion."""
        leaving, self.leaving = self.leaving, []
        for gone in leaving:
            gone.callback(None)

    def answer(self, answer: StreamLog | Exception) -> None:
        """Tell those who wait."""
        waiting, self.waiting = self.waiting or [], None
        for found in waiting:
            if isinstance(answer, Exception):
                found.errback(answer)
            else:
                found.callback(answer)


@dataclass(slots=True, eq=False)
class Work:
    """
    A group that is being written, and what it is made of.

    Attributes:
        made: New streams.
        parts: Streams with entries in it, and the number of the last entry of each.
        count: How many entries these are.
        deleted: Streams that are deleted, and who waits for that.
        fresh: Those of the parts that are not filed at once.
        filed: Streams that are filed, and the number of the last entry that is.
    """

    made: list[Stream]
    deleted: list[tuple[Stream, Deferred[None]]]
    group: Group = field(default_factory=Group)
    parts: list[tuple[Stream, StreamLog, int]] = field(default_factory=list)
    count: int = 0
    fresh: list[Stream] = field(default_factory=list)
    filed: dict[Stream, int] = field(default_factory=dict)


class Filing:
    """Knows which streams have fresh entries that are not filed, and files them when it is time."""

    def __init__(self) -> None:
        # Bytes that were fresh so far, which is the place of the next group; and up to which place they are gone.
        self._place = 0
        self._mark = 0
        # Where the first entry stands that is not filed; the streams are in that order. All of them are open.
        self._unfiled: dict[Stream, int] = {}

    def add(self, work: Work, stream: Stream, streamLog: StreamLog, now: float) -> None:
        """
        Put into a group what the file does not have of a log.

        Args:
            now: In seconds since 1970, when its last entry ends it.
        """
        last = streamLog.buffer.appended
        if streamLog.sealed:
            work.group.ended.append((now, stream.number))
            self._file(work, stream, streamLog, last)
        else:
            segment = streamLog.buffer.segment(stream.written + 1, last)
            stream.gathered += len(segment.data) + ENTRY_COST * len(segment.kinds)
            if stream.gathered >= SEGMENT:
                self._file(work, stream, streamLog, last)
            else:
                work.group.fresh.add(stream.number, segment)
                work.fresh.append(stream)
        if streamLog.keys:
            keys = takewhile(lambda item: item[1][1] > stream.written, reversed(streamLog.keys.items()))
            work.group.keys.extend((stream.number, key, *value) for key, value in keys)
        work.parts.append((stream, streamLog, last))
        work.count += last - stream.written

    def finish(self, work: Work) -> None:
        """Put into a group what is to be filed beside its own entries, and say what is no longer fresh then."""
        group, unfiled = work.group, self._unfiled
        leaving = [stream for stream, _ in work.deleted]
        # Nothing of a deleted stream may stay in the file: all fresh entries go with those that it still has there.
        everything = any(stream.place >= self._mark for stream in leaving)
        # More than there come, so that they never become more and more; but not all at once.
        most = FILED + sum(stream not in unfiled for stream in work.fresh)
        for stream, place in unfiled.items():
            if not everything and (most == 0 or place > self._place - FRESH):
                break
            if stream not in work.filed and stream not in leaving:
                assert stream.open is not None
                self._file(work, stream, stream.open, stream.written)
                most -= 1
        group.place = self._place
        gone = {*work.filed, *leaving}
        mark = next((place for stream, place in unfiled.items() if stream not in gone), self._place)
        # The last stream that is filed may free everything: not at once either.
        group.mark = mark if everything else min(mark, self._mark + 2 * group.fresh.size + SEGMENT)

    def written(self, work: Work) -> None:
        """The file has the group."""
        for stream, number in work.filed.items():
            stream.filed, stream.gathered = number, 0
            self._unfiled.pop(stream, None)
        for stream in work.fresh:
            stream.place = self._place
            self._unfiled.setdefault(stream, self._place)
        self._mark = work.group.mark
        self._place += work.group.fresh.size

    def forget(self, stream: Stream) -> None:
        """The stream is deleted."""
        self._unfiled.pop(stream, None)

    def _file(self, work: Work, stream: Stream, streamLog: StreamLog, last: int) -> None:
        # What is trimmed need not be filed.
        first = max(stream.filed + 1, streamLog.buffer.first)
        if first <= last:
            work.group.filed.append((stream.number, streamLog.buffer.segment(first, last)))
        work.filed[stream] = last
