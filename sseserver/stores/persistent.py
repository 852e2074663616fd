"""
PersistentStore: stream logs that outlive the process, kept by any `IPersistence`.

The store gives entries their numbers, and keeps the logs of open streams in memory. The persistence only reads and
writes: that of `sseserver.stores.sqlite`, or one that you write (docs/stores.md).

Changes are written in groups: `sseserver.stores.groupwriter` decides when. An entry is visible when its group is
written. Viewers never wait for a disk: the log of an open stream, and of any other that is being read, is in memory as
a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from sseserver.errors import StoreUnavailable, StreamExists, StreamNotFound
from sseserver.interfaces import IChecked, ILocalStore, IPersistence, IStreamLog, Publication, StreamDescription
from sseserver.steps import step
from sseserver.stores.grouping import GroupingKeeper
from sseserver.stores.groups import Group, KeptStream, PendingDeletion, commitEntries
from sseserver.stores.groupwriter import GroupWriter
from sseserver.stores.listing import describe, findPage
from sseserver.stores.publishing import end, publish
from sseserver.stores.states import STORE_STEPS, StoreState
from sseserver.streams.account import Account
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.ids import makeEpoch
from sseserver.streams.segments import Segment, makeSegment
from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.values import EndedStream, ListedPlace, ListedStream, NewEntry, StoredEntries, StoredStream

log = Logger(__name__)

_CLOSED = "The store is closed."


@implementer(ILocalStore, IChecked)
class PersistentStore(GroupingKeeper):
    """
    Keeps stream logs in a persistence.

    Args:
        clock: The reactor, or a `task.Clock`.
        persistence: Reads and writes what is stored.
        window: Bytes that each stream keeps; see `StreamLog`.
        turnEnd: Turn end of the service, so that the entries of one tick are sent together. By default the store has
            its own.

    Attributes:
        pending: See `GroupingKeeper`.
        persistence: See above.
        state: State of the store.
        writer: Writes the changes, and counts the groups that could be stored, and those that could not.
    """

    def __init__(self, clock: Any, persistence: IPersistence, window: int, *, turnEnd: TurnEnd | None = None) -> None:
        super().__init__()
        self.persistence = persistence
        self.state = StoreState.CLOSED
        self._window = window
        self._ticker = Ticker(clock, FLUSH_TICK / 4, turnEnd=turnEnd)
        self._streams: dict[str, KeptStream] = {}
        self.writer: GroupWriter = GroupWriter(clock, self._ticker, self, self.pending)
        # The calls of `stop` that are not answered yet.
        self._stops: list[Deferred[None]] = []

    @property
    def count(self) -> int:
        """See `IStreamStore.count`."""
        return self.runs.count + self.published.count

    def start(self) -> Sequence[EndedStream]:
        """See `IStreamStore.start`."""
        state = step(STORE_STEPS, self.state, StoreState.OPEN)
        known = self.persistence.start(self._ticker.wall())
        self.state = state
        for stored in sorted(known, key=lambda each: each.created):
            self._streams[stored.name] = KeptStream(stored, self.account(stored.published))
        ended = [
            EndedStream(each.ended, each.name, each.epoch, each.published) for each in known if each.ended is not None
        ]
        return sorted(ended, key=lambda each: each.ended)

    def stop(self) -> Deferred[None]:
        """See `IStreamStore.stop`."""
        if self.state is StoreState.CLOSED:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stops.append(stopped)
        if self.state is StoreState.OPEN:
            self.state = step(STORE_STEPS, self.state, StoreState.STOPPING)
            closed = self.writer.finish().addCallback(self._close)
            closed.addErrback(lambda failure: log.failure("The store broke", failure))
        return stopped

    def create(self, name: str | None, published: bool, question: str = "") -> Deferred[IStreamLog]:
        """See `IStreamStore.create`."""
        if not self.state.takesChanges:
            return fail(StoreUnavailable(_CLOSED))
        epoch = makeEpoch()
        name = name or epoch
        known = self._streams.get(name)
        if known is not None and known.leaving:
            deleted: Deferred[None] = Deferred()
            known.deleting.append(deleted)
            return deleted.addCallback(lambda _: self.create(name, published, question))
        if known is not None:
            return fail(StreamExists(f"There is a stream {name} already."))
        stored = StoredStream(name, epoch, published, self._ticker.wall(), None, 1, 0, 0, 0, question=question)
        stream = self._streams[name] = KeptStream(stored, self.account(published))
        stream.hold(stream.makeLog(self._ticker, self._window, self))
        created: Deferred[IStreamLog] = Deferred()
        stream.finding = [created]
        self.pending.created.append(stream)
        self.writer.schedule()
        return created

    def list(self, limit: int, before: ListedPlace | None = None) -> Deferred[Sequence[ListedStream]]:
        """See `IStreamStore.list`."""
        # A stream that is being deleted takes no place of a page: a short page would be the last one. A new one can
        # still be refused.
        found = findPage(self._streams, limit, before, lambda stream: stream.isListed)
        page = [
            ListedStream(each.name, each.epoch, each.published, each.created, each.ended, each.countBytes())
            for each in found
        ]
        return succeed(page)

    def describe(self, name: str, key: str | None = None) -> Deferred[StreamDescription]:
        """See `IStreamStore.describe`. A log that is not in memory is read as a whole."""
        return self.find(name).addCallback(describe, key)

    def find(self, name: str) -> Deferred[IStreamLog]:
        """See `IStreamStore.find`. A log that is not in memory is read as a whole."""
        if not self.state.takesChanges:
            return fail(StoreUnavailable(_CLOSED))
        stream = self._streams.get(name)
        if stream is None or stream.leaving:
            return fail(StreamNotFound(name))
        streamLog = stream.log
        found: Deferred[IStreamLog] = Deferred()
        if stream.finding is not None:
            stream.finding.append(found)
        elif streamLog is not None:
            found.callback(streamLog)
        else:
            stream.finding = [found]
            read = maybeDeferred(self.persistence.read, stream.epoch, stream.first, stream.last)
            read.addCallback(self._restoreLog, stream).addErrback(_reportUnreadable, stream)
        return found

    def peek(self, name: str) -> IStreamLog | None:
        """See `ILocalStore.peek`."""
        stream = self._streams.get(name) if self.state.takesChanges else None
        # The callers that wait for the log of a new stream get it first.
        return None if stream is None or stream.leaving or stream.finding is not None else stream.log

    def publish(
        self, name: str, entries: Sequence[NewEntry], close: bool, key: str | None = None, room: bool = True
    ) -> Deferred[Publication]:
        """See `IStreamStore.publish`."""
        return self.find(name).addCallback(publish, entries, close, key, room)

    def end(self, name: str, entry: NewEntry, epoch: str | None = None) -> Deferred[bool]:
        """See `IStreamStore.end`."""
        return self.find(name).addCallback(end, entry, epoch)

    def delete(self, name: str, epoch: str | None = None) -> Deferred[None]:
        """
        See `IStreamStore.delete`.

        Viewers get the end when the deletion is written. If it fails, the stream is unchanged.
        """
        if not self.state.takesChanges:
            return fail(StoreUnavailable(_CLOSED))
        stream = self._streams.get(name)
        if stream is None or epoch not in {None, stream.epoch} or stream.leaving:
            return fail(StreamNotFound(name))
        stream.uncount()
        deleted: Deferred[None] = Deferred()
        self.pending.deletions.append(PendingDeletion(stream, deleted))
        self.writer.schedule()
        return deleted

    def findProblem(self) -> str | None:
        """See `IChecked.findProblem`. A check writes an empty group."""
        self.writer.check()
        return self.writer.problem if self.state is StoreState.OPEN else _CLOSED

    def commitGroup(self, group: Group, now: float) -> None:
        """See `GroupStore.commitGroup`."""
        for stream in group.created:
            streamLog = None if stream.leaving else stream.log
            stream.answer(streamLog or StreamNotFound(stream.name))
        commitEntries(group.added, now)
        for deletion in group.deletions:
            self._drop(deletion.stream)
            deletion.deleted.callback(None)

    def _drop(self, stream: KeptStream) -> None:
        """Forget a stream whose deletion is stored."""
        del self._streams[stream.name]
        self.pending.forget(stream)
        streamLog = stream.log
        if streamLog is not None:
            streamLog.drop()
        stream.answerDeleted()

    def refuseGroup(self, group: Group, error: StoreUnavailable) -> None:
        """
        See `GroupStore.refuseGroup`. The disk is full, say.

        Publishes, new streams and deletions are refused. Entries of runs, and trims, are written later.
        """
        for deletion in group.deletions:
            deletion.refuse(error)
        for stream in group.created:
            if not stream.leaving:
                stream.uncount()
            # Whether or not it was to be deleted, it has not come to be.
            self._drop(stream)
            stream.answer(error)
        for deletion in self.pending.takeDeletions(group.created):
            deletion.deleted.callback(None)
        for entries in group.added:
            if entries.stream.published:
                self.pending.dirty.pop(entries.stream, None)
                entries.log.refuse(error)
            else:
                self.pending.dirty[entries.stream] = entries.log
        self.pending.trimmed = {**group.trimmed, **self.pending.trimmed}
        if self.state is StoreState.STOPPING:
            self._giveUp()

    def _giveUp(self) -> None:
        """Refuse all changes that are not written yet: the store closes without them."""
        pending = self.pending.takeAll()
        if pending.dirty:
            log.error("The store is closed with {count} streams that it could not write", count=len(pending.dirty))
        error = StoreUnavailable(_CLOSED)
        for stream in pending.created:
            del self._streams[stream.name]
            stream.answer(error)
        for streamLog in pending.dirty.values():
            streamLog.refuse(error)
        for deletion in pending.deletions:
            deletion.refuse(error)

    def _restoreLog(self, stored: StoredEntries, stream: KeptStream) -> None:
        if stream.leaving or self._streams.get(stream.name) is not stream:
            stream.answer(StreamNotFound(stream.name))
            return
        entries = stored.entries
        segment = entries if isinstance(entries, Segment) else makeSegment(stream.first, entries)
        if segment.last != stream.last:
            raise ValueError(f"The entries of {stream.name} after {segment.last} are missing.")
        streamLog = stream.makeLog(self._ticker, self._window, self)
        streamLog.restore(segment, stream.tokensBefore, dict(stored.keys), stream.trimmedCR)
        streamLog.ended = stream.ended
        # A persistence need not know the bytes of the keys before.
        stream.account.used += streamLog.size - stream.size
        stream.hold(streamLog)
        stream.answer(streamLog)

    def _close(self, _: None) -> Deferred[None]:
        """Stop the persistence: the changes are written."""
        self.state = step(STORE_STEPS, self.state, StoreState.CLOSING)
        closed = maybeDeferred(self.persistence.stop)
        closed.addErrback(lambda failure: log.failure("The store did not close cleanly", failure))
        return closed.addCallback(self._noteClosed)

    def _noteClosed(self, _: None) -> None:
        """Forget everything: the persistence has stopped."""
        self.state = step(STORE_STEPS, self.state, StoreState.CLOSED)
        # Changes that came while the persistence was being stopped.
        self._giveUp()
        self._ticker.stop()
        for stream in self._streams.values():
            streamLog = stream.log
            if streamLog is not None:
                # The stream refers to the log of an open one.
                streamLog.kept = None
        self._streams.clear()
        self.runs, self.published = Account(), Account()
        stops, self._stops = self._stops, []
        for stopped in stops:
            stopped.callback(None)


def _reportUnreadable(failure: Failure, stream: KeptStream) -> None:
    log.failure("The store cannot read", failure)
    stream.answer(StoreUnavailable("The store cannot read this stream now."))
