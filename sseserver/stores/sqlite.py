"""
SQLiteStore: stream logs that survive the process, in one SQLite file.

An entry is visible when its transaction is committed. Writes are made in
groups in a thread of the store's own: while one group is being written, the
next one gathers. The logs of open streams, and of those that somebody reads, are in
memory as well and whole: viewers never wait for the disk.

With C{synchronous=NORMAL} in WAL mode a committed entry survives the end of the
process, however sudden. It may not survive the end of the machine; so after
one (the kernel's boot ID tells) streams that were open get a new epoch, and no
ID ever stands for two contents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, repeat, takewhile
from pathlib import Path
from typing import Any
from weakref import ReferenceType, ref

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from sseserver.database import Contents, Database, Group
from sseserver.entries import countTokens
from sseserver.errors import StoreUnavailable, StreamExists, StreamNotFound
from sseserver.ids import makeEpoch
from sseserver.interfaces import IStreamLog, IStreamStore, State
from sseserver.streamlog import ENTRY_COST, FLUSH_TICK, StreamLog
from sseserver.ticker import Ticker

log = Logger()

#: Entries after which a group is full; one log is never divided, so that what was published together stays together.
GROUP_ENTRIES = 4000

#: Seconds after which a group that the disk refused is tried again.
RETRY = 1.0


def bootID() -> str:
    """Identify the present run of the machine; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


@dataclass(slots=True, eq=False)
class _Stream:
    """
    What the store knows of one stream.

    Attributes:
        number: What the file calls it.
        size: Bytes it takes, when its log is not in memory.
        written: Number of the last entry in the file.
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
        self.size = streamLog.size
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
class _Work:
    """
    A group that is being written, and what it is made of: new streams; streams with the number of the last entry of
    each; streams that are deleted, and who waits for that.
    """

    group: Group
    made: list[_Stream]
    parts: list[tuple[_Stream, StreamLog, int]]
    deleted: list[tuple[_Stream, Deferred[None]]]


@implementer(IStreamStore)
class SQLiteStore:
    """
    Keeps stream logs in an SQLite file, which it has for itself.

    Args:
        clock: A reactor; a test may give a L{task.Clock}, with its own C{inThread}.
        path: The file's name; it is made when it is not there.
        window: Bytes that each stream keeps; see L{StreamLog}.
        inThread: Calls a function with arguments in the store's thread, and
            gives a Deferred of what it returns. By default there is a thread
            of its own.
    """

    def __init__(
        self, clock: Any, path: str, window: int, inThread: Callable[..., Deferred[Any]] | None = None
    ) -> None:
        self.used = 0
        self._clock = clock
        self._path = path
        self._window = window
        self._ticker = Ticker(clock, FLUSH_TICK / 4)
        self._threaded = inThread
        self._pool: ThreadPool | None = None
        self._database: Database | None = None
        self._streams: dict[str, _Stream] = {}
        self._nextNumber = 1
        # What is still to be written.
        self._made: list[_Stream] = []
        self._dirty: dict[_Stream, StreamLog] = {}
        self._deleted: list[tuple[_Stream, Deferred[None]]] = []
        # How many streams are being deleted.
        self._leaving = 0
        self._trims: dict[int, tuple[int, int]] = {}
        # When the next group is written; whether one is just being written; whether the disk refused the last one.
        self._next: IDelayedCall | None = None
        self._busy = False
        self._refusing = False
        self._stopping: Deferred[None] | None = None

    @property
    def count(self) -> int:
        """See L{IStreamStore.count}."""
        return len(self._streams) - self._leaving

    def start(self) -> Sequence[tuple[float, str, str]]:
        """See L{IStreamStore.start}."""
        database = Database(self._path)
        rows = database.recover(self._clock.seconds(), iter(makeEpoch, ""), bootID())
        self._database = database
        for row in rows:
            stream = _Stream(row.number, row.name, row.epoch, row.published, row.created, row.ended)
            stream.size = row.size + ENTRY_COST * row.count
            self.used += stream.size
            self._streams[row.name] = stream
        self._nextNumber = max((row.number for row in rows), default=0) + 1
        if self._threaded is None:
            self._pool = ThreadPool(0, 1, "sqlite")
            self._pool.start()
        return [(row.ended, row.name, row.epoch) for row in rows if row.ended is not None]

    def stop(self) -> Deferred[None]:
        """See L{IStreamStore.stop}."""
        if self._database is None:
            return succeed(None)
        database = self._database
        idle: Deferred[None] = Deferred()
        self._stopping = idle
        if self._next is None:
            self._schedule(0)
        else:
            self._next.reset(0)
        return idle.addCallback(lambda _: self._inThread(database.close)).addCallback(self._closed)

    def create(self, name: str | None, published: bool) -> Deferred[IStreamLog]:
        """See L{IStreamStore.create}."""
        epoch = makeEpoch()
        name = name or epoch
        known = self._streams.get(name)
        if known is not None and known.uncounted is not None:
            gone: Deferred[None] = Deferred()
            known.leaving.append(gone)
            return gone.addCallback(lambda _: self.create(name, published))
        if known is not None:
            return fail(StreamExists(f"There is a stream {name} already."))
        stream = _Stream(self._nextNumber, name, epoch, published, self._clock.seconds(), None)
        self._nextNumber += 1
        self._streams[name] = stream
        stream.hold(self._makeLog(stream))
        made: Deferred[IStreamLog] = Deferred()
        stream.waiting = [made]
        self._made.append(stream)
        self._schedule(0)
        return made

    def find(self, name: str) -> Deferred[IStreamLog]:
        """See L{IStreamStore.find}: a log that is not in memory is read as a whole."""
        stream = self._streams.get(name)
        if stream is None or stream.uncounted is not None:
            return fail(StreamNotFound(name))
        streamLog = stream.log()
        found: Deferred[IStreamLog] = Deferred()
        if stream.waiting is not None:
            stream.waiting.append(found)
        elif streamLog is not None:
            found.callback(streamLog)
        else:
            stream.waiting = [found]
            assert self._database is not None
            loaded = self._inThread(self._database.load, stream.number)
            loaded.addCallback(self._loaded, stream).addErrback(self._notLoaded, stream)
        return found

    def delete(self, name: str, epoch: str | None = None) -> Deferred[None]:
        """
        See L{IStreamStore.delete}. Its viewers get the end when the file has
        forgotten it; when that cannot be, the stream is there as before.
        """
        stream = self._streams.get(name)
        if stream is None or epoch not in {None, stream.epoch} or stream.uncounted is not None:
            return fail(StreamNotFound(name))
        streamLog = stream.log()
        stream.uncounted = stream.size if streamLog is None else streamLog.size
        self.used -= stream.uncounted
        self._leaving += 1
        deleted: Deferred[None] = Deferred()
        self._deleted.append((stream, deleted))
        self._schedule(0)
        return deleted

    def write(self, streamLog: StreamLog) -> None:
        """See L{keeper.Keeper.write}."""
        self._dirty[self._streams[streamLog.name]] = streamLog
        if self._next is None:
            self._schedule(0)

    def trimmed(self, streamLog: StreamLog) -> None:
        """See L{keeper.Keeper.trimmed}."""
        tokens = streamLog.tokens - countTokens(streamLog.kinds)
        self._trims[self._streams[streamLog.name].number] = (streamLog.first, tokens)
        self._schedule(0)

    def _makeLog(self, stream: _Stream) -> StreamLog:
        return StreamLog(
            stream.name, stream.epoch, self._ticker, self._window, self, published=stream.published, durable=True
        )

    def _inThread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if self._threaded is not None:
            return self._threaded(function, *arguments)
        assert self._pool is not None
        return deferToThreadPool(self._clock, self._pool, function, *arguments)

    def _schedule(self, delay: float) -> None:
        """Write what has gathered, when this turn of the reactor is over; or later."""
        if self._next is None and not self._busy:
            self._next = self._clock.callLater(delay, self._writeGroup)

    def _writeGroup(self) -> None:
        self._next = None
        work = self._collect()
        if not work.group:
            if self._stopping is not None:
                stopping, self._stopping = self._stopping, None
                stopping.callback(None)
            return
        self._busy = True
        assert self._database is not None
        written = self._inThread(self._database.commit, work.group)
        written.addCallbacks(lambda _: self._written(work), lambda failure: self._refused(failure, work))
        written.addErrback(lambda failure: log.failure("The store broke", failure))

    def _collect(self) -> _Work:
        """Put the next group together."""
        work = _Work(Group(), self._made, [], self._deleted)
        self._made, self._deleted = [], []
        group = work.group
        group.made.extend((made.number, made.name, made.epoch, made.published, made.created) for made in work.made)
        group.trims.update(self._trims)
        self._trims.clear()
        while self._dirty and len(group.entries) < 4 * GROUP_ENTRIES:
            stream = next(iter(self._dirty))
            streamLog = self._dirty.pop(stream)
            self._take(group, stream, streamLog)
            work.parts.append((stream, streamLog, streamLog.appended))
        # What has something to be written is deleted in a later group: it is stored first, so that who published it is
        # answered.
        writing = {*work.made, *self._dirty, *(stream for stream, _, _ in work.parts)}
        self._deleted = [item for item in work.deleted if item[0] in writing]
        work.deleted = [item for item in work.deleted if item[0] not in writing]
        group.deleted.extend(stream.number for stream, _ in work.deleted)
        return work

    def _take(self, group: Group, stream: _Stream, streamLog: StreamLog) -> None:
        """Put into a group what the file does not have of a log."""
        start = stream.written + 1 - streamLog.first
        kinds, entries = streamLog.kinds[start:], streamLog.slices(stream.written + 1)
        numbers = count(stream.written + 1)
        group.entries.extend(chain.from_iterable(zip(repeat(stream.number), numbers, kinds, entries)))
        if streamLog.keys:
            keys = takewhile(lambda item: item[1][1] > stream.written, reversed(streamLog.keys.items()))
            group.keys.extend((stream.number, key, *value) for key, value in keys)
        if streamLog.sealed:
            group.ended.append((self._clock.seconds(), stream.number))

    def _written(self, work: _Work) -> None:
        """The file has it: now everybody may see it."""
        self._busy = self._refusing = False
        for stream in work.made:
            streamLog = stream.log() if stream.uncounted is None else None
            stream.answer(streamLog or StreamNotFound(stream.name))
        for stream, streamLog, number in work.parts:
            stream.written = number
            streamLog.commit(number)
            if streamLog.state is not State.OPEN:
                stream.hold(streamLog)
        for stream, deleted in work.deleted:
            self._drop(stream)
            deleted.callback(None)
        self._schedule(0)

    def _drop(self, stream: _Stream) -> None:
        """Forget a stream that the file has forgotten."""
        del self._streams[stream.name]
        self._leaving -= 1
        self._dirty.pop(stream, None)
        self._trims.pop(stream.number, None)
        streamLog = stream.log()
        if streamLog is not None:
            # What came after the deletion was asked for was still counted.
            self.used -= streamLog.drop() - (stream.uncounted or 0)
        stream.left()

    def _keep(self, stream: _Stream) -> None:
        """Take a stream back that could not be deleted."""
        self.used += stream.uncounted or 0
        stream.uncounted = None
        self._leaving -= 1
        stream.left()

    def _refused(self, failure: Failure, work: _Work) -> None:
        """
        The disk is full, say. What was published is refused; what runs wrote
        is kept and tried again; what was to be deleted is not.
        """
        error = failure.value if isinstance(failure.value, StoreUnavailable) else StoreUnavailable("The store broke.")
        if not self._refusing:
            log.failure("The store cannot write; it will try again", failure)
        self._busy, self._refusing = False, True
        for stream, deleted in work.deleted:
            self._keep(stream)
            deleted.errback(error)
        for stream in work.made:
            del self._streams[stream.name]
            stream.answer(error)
        for stream, streamLog, _ in work.parts:
            if stream.published:
                self._dirty.pop(stream, None)
                streamLog.refuse(error)
            else:
                self._dirty[stream] = streamLog
        self._trims = {**work.group.trims, **self._trims}
        if self._stopping is None:
            self._schedule(RETRY)
        else:
            self._giveUp()

    def _giveUp(self) -> None:
        """Stop all the same, although not everything can be written."""
        log.error("The store is closed with {count} streams that it could not write", count=len(self._dirty))
        error = StoreUnavailable("The store is closed.")
        for stream in self._made:
            stream.answer(error)
        for streamLog in self._dirty.values():
            streamLog.refuse(error)
        for _, deleted in self._deleted:
            deleted.errback(error)
        for kept in (self._made, self._dirty, self._deleted, self._trims):
            kept.clear()
        self._schedule(0)

    def _loaded(self, contents: Contents, stream: _Stream) -> None:
        if stream.uncounted is not None or self._streams.get(stream.name) is not stream:
            stream.answer(StreamNotFound(stream.name))
            return
        streamLog = self._makeLog(stream)
        streamLog.restore(contents.first, contents.entries, contents.kinds, contents.tokens, contents.keys)
        streamLog.created, streamLog.ended = stream.created, stream.ended
        stream.written = streamLog.last
        stream.hold(streamLog)
        stream.answer(streamLog)

    def _notLoaded(self, failure: Failure, stream: _Stream) -> None:
        log.failure("The store cannot read", failure)
        stream.answer(StoreUnavailable("The store cannot read this stream now."))

    def _closed(self, result: None) -> None:
        self._database = None
        self._ticker.stop()
        self._streams.clear()
        self.used = self._leaving = 0
        if self._pool is not None:
            self._pool.stop()
            self._pool = None
