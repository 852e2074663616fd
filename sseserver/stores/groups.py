"""
Groups: the changes that a `PersistentStore` has still to write, and those that are being written.

`PersistentStore` adds changes, `GroupWriter` takes groups of them, and the journal of SQLite reads their entries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any
from weakref import ReferenceType, ref

from twisted.internet.defer import Deferred

from sseserver.errors import StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog
from sseserver.streams.account import Account
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.cost import measureStream
from sseserver.streams.keeper import Keeper
from sseserver.streams.log import StreamLog
from sseserver.streams.segments import Segment
from sseserver.timing.ticker import Ticker
from sseserver.values import Addition, Change, Creation, Deletion, Entry, KeyUse, State, StoredStream, Trim

_OPEN = State.OPEN

#: No uses of keys. It is never changed.
_NONE: dict[str, KeyUse] = {}

#: Entries. A group with this many gets no further streams. The new entries of one stream are never divided, so that
#: entries which were published together become visible together.
GROUP_ENTRIES = 4000


class KeptStream:
    """
    One stream of a `PersistentStore`, whether its log is in memory or not.

    Args:
        stored: The stream as the persistence has it, or will have it after the next write.
        account: Counts the stream from now on, until `uncount`.

    Attributes:
        account: See above.
        name: The stream's name.
        epoch: The stream's epoch.
        published: Whether entries are published into it.
        created: When it was made, in seconds since 1970.
        ended: When it ended, in seconds since 1970; `None` while it is open.
        question: Question that it answers; empty if there is none.
        first: Number of the oldest entry, as of the last time when the log left memory.
        last: Number of the newest stored entry.
        tokensBefore: Number of tokens before `first`.
        trimmedCR: Whether the text before `first` ends with CR.
        size: Bytes that the stream takes while its log is not in memory: see `IStreamLog.size`.
        finding: The calls of `create` or `find` that get the log once it is stored or read; `None` if neither is
            under way.
        note: What the persistence keeps with the stream; `None` at first.
        leaving: Whether the stream is being deleted. It is not counted, and nobody finds it.
        deleting: The calls of `create` that wait until this stream is deleted.
    """

    __slots__ = (
        "_open",
        "_read",
        "account",
        "created",
        "deleting",
        "ended",
        "epoch",
        "finding",
        "first",
        "last",
        "leaving",
        "name",
        "note",
        "published",
        "question",
        "size",
        "tokensBefore",
        "trimmedCR",
    )

    def __init__(self, stored: StoredStream, account: Account) -> None:
        self.account = account
        self.name, self.epoch, self.published = stored.name, stored.epoch, stored.published
        self.created, self.ended, self.question = stored.created, stored.ended, stored.question
        self.first, self.last = stored.first, stored.last
        entries = stored.size + ENTRY_COST * (self.last + 1 - self.first)
        self.size = measureStream(self.name, self.question) + entries + stored.keyBytes
        self.tokensBefore, self.trimmedCR = stored.tokensBefore, stored.trimmedCR
        self.note: Any = None
        self.finding: list[Deferred[IStreamLog]] | None = None
        self.leaving = False
        self.deleting: list[Deferred[None]] = []
        # The log: held while the stream is open; later only as long as it is used elsewhere.
        self._open: StreamLog | None = None
        self._read: ReferenceType[StreamLog] | None = None
        account.add(self.size, self.isOpen)

    @property
    def log(self) -> StreamLog | None:
        """The log, if it is in memory."""
        return self._open or (None if self._read is None else self._read())

    @property
    def isListed(self) -> bool:
        """Whether the stream is stored and not being deleted."""
        # Calls that wait although the log is in memory are those of `create`.
        return not self.leaving and (self.finding is None or self.log is None)

    @property
    def isOpen(self) -> bool:
        """Whether the stream has not ended."""
        streamLog = self.log
        return self.ended is None if streamLog is None else streamLog.state is State.OPEN

    def makeLog(self, ticker: Ticker, window: int, keeper: Keeper) -> StreamLog:
        """
        Make an empty log of the stream.

        Args:
            ticker: See `StreamLog`.
            window: See `StreamLog`.
            keeper: The store.
        """
        streamLog = StreamLog(self.name, self.epoch, ticker, window, keeper, published=self.published)
        streamLog.created, streamLog.question = self.created, self.question
        streamLog.kept = self
        return streamLog

    def hold(self, streamLog: StreamLog) -> None:
        """Remember the log: as long as the stream is open, and then as long as it is used elsewhere."""
        buffer = streamLog.buffer
        self.first, self.size = buffer.first, streamLog.size
        self.tokensBefore, self.trimmedCR = buffer.tokensBefore, buffer.trimmedCR
        self.ended = streamLog.ended
        self._read = ref(streamLog)
        self._open = streamLog if streamLog.state is State.OPEN else None

    def countBytes(self) -> int:
        """Count the bytes that the stream takes: see `IStreamLog.size`."""
        streamLog = self.log
        return self.size if streamLog is None else streamLog.size

    def uncount(self) -> None:
        """Count the stream no longer: it is being deleted, or could not be created."""
        self.leaving = True
        self.account.subtract(self.countBytes(), self.isOpen)
        streamLog = self.log
        if streamLog is not None:
            # Entries that are refused or trimmed from now on are no longer in the account.
            streamLog.account = Account()

    def recount(self) -> None:
        """Count the stream again: it could not be deleted."""
        self.leaving = False
        self.account.add(self.countBytes(), self.isOpen)
        streamLog = self.log
        if streamLog is not None:
            streamLog.account = self.account
        self.answerDeleted()

    def answer(self, result: StreamLog | Exception) -> None:
        """Answer the calls of `create` or `find`."""
        finding, self.finding = self.finding or [], None
        for found in finding:
            if isinstance(result, Exception):
                found.errback(result)
            elif self.leaving:
                # One of them has deleted the stream.
                found.errback(StreamNotFound(self.name))
            else:
                found.callback(result)

    def answerDeleted(self) -> None:
        """Fire the Deferreds of calls that wait for the end of the deletion, whatever its result."""
        deleting, self.deleting = self.deleting, []
        for deleted in deleting:
            deleted.callback(None)


class BufferedEntries:
    """
    The entries that one log adds to a group. Iterating copies them from the log's buffer.

    Attributes:
        stream: The stream.
        log: Its log.
        buffer: The log's buffer.
        first: Number of the first entry.
        last: Number of the last entry.
    """

    __slots__ = ("buffer", "first", "last", "log", "stream")

    def __init__(self, stream: KeptStream, streamLog: StreamLog) -> None:
        self.stream = stream
        self.log = streamLog
        self.buffer = buffer = streamLog.buffer
        self.first = stream.last + 1
        self.last = buffer.appended

    def __len__(self) -> int:
        """Return the number of entries."""
        return self.last + 1 - self.first

    def __iter__(self) -> Iterator[Entry]:
        """Yield each entry."""
        return iter(self.copy())

    def copy(self) -> Segment:
        """Copy the entries."""
        return self.buffer.segment(self.first, self.last)


@dataclass(slots=True)
class PendingDeletion:
    """
    A deletion that is not written yet.

    Attributes:
        stream: The stream.
        deleted: Fires when it is written.
    """

    stream: KeptStream
    deleted: Deferred[None]

    def refuse(self, error: StoreUnavailable) -> None:
        """Keep the stream: the deletion could not be written."""
        self.stream.recount()
        self.deleted.errback(error)


@dataclass(slots=True)
class Group:
    """
    Changes that are written together.

    Attributes:
        created: New streams.
        trimmed: Logs that dropped their oldest entries.
        added: New entries, of one log each.
        deletions: Streams to delete.
    """

    created: list[KeptStream]
    trimmed: dict[KeptStream, StreamLog]
    added: list[BufferedEntries] = field(default_factory=list)
    deletions: list[PendingDeletion] = field(default_factory=list)

    def listChanges(self, now: float) -> list[Change]:
        """
        List the changes in the order in which they apply.

        Args:
            now: Time in seconds since 1970, at which streams end that have their terminal entry in this group.
        """
        changes: list[Change] = [Deletion(deletion.stream.epoch) for deletion in self.deletions]
        deleted = {deletion.stream for deletion in self.deletions}
        for stream, streamLog in self.trimmed.items():
            if stream not in deleted:
                buffer = streamLog.buffer
                changes.append(Trim(stream.epoch, buffer.first, buffer.tokensBefore, buffer.trimmedCR))
        changes += [
            Creation(each.name, each.epoch, each.published, each.created, each.question) for each in self.created
        ]
        addChanges(self.added, now, changes)
        return changes


class PendingChanges:
    """
    The changes that are not written yet.

    Attributes:
        created: New streams.
        dirty: Logs with new entries, by stream. Those that came first are written first.
        trimmed: Logs that dropped their oldest entries, by stream.
        deletions: Streams to delete.
    """

    __slots__ = ("created", "deletions", "dirty", "trimmed")

    def __init__(self) -> None:
        self.created: list[KeptStream] = []
        self.dirty: dict[KeptStream, StreamLog] = {}
        self.trimmed: dict[KeptStream, StreamLog] = {}
        self.deletions: list[PendingDeletion] = []

    def takeGroup(self) -> Group:
        """Take the changes that are written next: all, if they are not too many."""
        group = Group(self.created, self.trimmed)
        self.created, self.trimmed = [], {}
        self._takeEntries(group)
        if self.deletions:
            # A stream with other changes is deleted in a later group: these are stored first, so that their publisher
            # gets an answer.
            writing = {*group.created, *self.dirty, *(entries.stream for entries in group.added)}
            group.deletions = [deletion for deletion in self.deletions if deletion.stream not in writing]
            self.deletions = [deletion for deletion in self.deletions if deletion.stream in writing]
        return group

    def takeAll(self) -> PendingChanges:
        """Take all changes, however many they are."""
        taken = PendingChanges()
        taken.created, self.created = self.created, taken.created
        taken.dirty, self.dirty = self.dirty, taken.dirty
        taken.trimmed, self.trimmed = self.trimmed, taken.trimmed
        taken.deletions, self.deletions = self.deletions, taken.deletions
        return taken

    def _takeEntries(self, group: Group) -> None:
        count = 0
        for stream, streamLog in self.dirty.items():
            entries = BufferedEntries(stream, streamLog)
            group.added.append(entries)
            count += entries.last - stream.last
            if count >= GROUP_ENTRIES:
                break
        if len(group.added) < len(self.dirty):
            for entries in group.added:
                del self.dirty[entries.stream]
        else:
            self.dirty = {}

    def takeDeletions(self, streams: Collection[KeptStream]) -> list[PendingDeletion]:
        """Take the deletions of some streams."""
        taken = [deletion for deletion in self.deletions if deletion.stream in streams]
        self.deletions = [deletion for deletion in self.deletions if deletion.stream not in streams]
        return taken

    def forget(self, stream: KeptStream) -> None:
        """Drop the changes of a stream that is deleted."""
        self.dirty.pop(stream, None)
        self.trimmed.pop(stream, None)


def addChanges(added: list[BufferedEntries], now: float, changes: list[Change]) -> None:
    """
    Add the additions of a group to its changes.

    Args:
        added: The new entries.
        now: See `Group.listChanges`.
        changes: Gets the additions.
    """
    for entries in added:
        streamLog = entries.log
        keys = _selectKeys(entries) if streamLog.keyBytes else _NONE
        addition = (streamLog.epoch, entries, keys, now if streamLog.sealed else None)
        # The constructor of a named tuple takes three times as long.
        changes.append(tuple.__new__(Addition, addition))


def commitEntries(added: list[BufferedEntries], now: float) -> None:
    """
    Make entries visible.

    Args:
        added: The entries.
        now: Time in seconds since 1970 at which the streams end that have their terminal entry among them.
    """
    for entries in added:
        stream, streamLog = entries.stream, entries.log
        stream.last = entries.last
        streamLog.commit(entries.last)
        if streamLog.state is not _OPEN:
            streamLog.ended = now
            stream.hold(streamLog)


def _selectKeys(entries: BufferedEntries) -> dict[str, KeyUse]:
    """Return the uses of idempotency keys with these entries, the oldest first."""
    keys = reversed(entries.log.keys.items())
    found = list(takewhile(lambda item: item[1].last >= entries.first, keys))
    return dict(reversed(found))
