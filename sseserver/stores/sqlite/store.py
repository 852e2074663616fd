"""
SQLiteStore: stream logs that survive the process, in one SQLite file.

An entry is visible when its transaction is committed. Writes are made in
groups in a thread of the store's own: while one group is being written, and
for a moment after one of many streams, the next one gathers. The logs of open
streams, and of those that somebody reads, are in memory as well and whole:
viewers never wait for the disk.

With C{synchronous=NORMAL} in WAL mode a committed entry survives the end of the
process, however sudden. It may not survive the end of the machine; so after
one (the kernel's boot ID tells) streams that were open get a new epoch, and no
ID ever stands for two contents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from sseserver.errors import StoreUnavailable, StreamExists, StreamNotFound
from sseserver.interfaces import IStreamLog, IStreamStore
from sseserver.stores.publishing import publish
from sseserver.stores.sqlite.database import Contents, Database
from sseserver.stores.sqlite.journal import Filing, Stream, Work
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import FLUSH_TICK, Keeper, StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.values import NewEntry, State

log = Logger()

#: Entries after which a group is full; one log is never divided, so that what was published together stays together.
GROUP_ENTRIES = 4000

#: Seconds after a group in which the next one gathers: for every tenth stream that it had, and at most. When many are
#: lively, what is written at once would be one entry of each; a lone stream waits for nothing.
PAUSE = 0.001
LONGEST_PAUSE = 0.005

#: Seconds after which a group that the disk refused is tried again.
RETRY = 1.0


def bootID() -> str:
    """Identify the present run of the machine; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


@implementer(IStreamStore)
class SQLiteStore(Keeper):
    """
    Keeps stream logs in an SQLite file, which it has for itself.

    Args:
        clock: A reactor; a test may give a L{task.Clock}, with its own C{inThread}.
        path: The file's name; it is made when it is not there.
        window: Bytes that each stream keeps; see L{StreamLog}.
        inThread: Calls a function with arguments in the store's thread, and
            gives a Deferred of what it returns. By default there is a thread
            of its own.
        turnEnd: The service's, so that its writes leave when the calls of a tick are made; by default one of its own.
    """

    def __init__(
        self,
        clock: Any,
        path: str,
        window: int,
        inThread: Callable[..., Deferred[Any]] | None = None,
        *,
        turnEnd: TurnEnd | None = None,
    ) -> None:
        super().__init__(durable=True)
        self._clock = clock
        self._path = path
        self._window = window
        self._ticker = Ticker(clock, FLUSH_TICK / 4, turnEnd=turnEnd)
        self._threaded = inThread
        self._pool: ThreadPool | None = None
        self._database: Database | None = None
        self._streams: dict[str, Stream] = {}
        self._nextNumber = 1
        # What is still to be written.
        self._made: list[Stream] = []
        self._dirty: dict[Stream, StreamLog] = {}
        self._deleted: list[tuple[Stream, Deferred[None]]] = []
        # How many streams are being deleted.
        self._leaving = 0
        self._trims: dict[int, tuple[int, int]] = {}
        self._filing = Filing()
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
            stream = Stream(row.number, row.name, row.epoch, row.published, row.created, row.ended)
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
        stream = Stream(self._nextNumber, name, epoch, published, self._clock.seconds(), None)
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
        if self._database is None:
            return fail(StoreUnavailable("The store is closed."))
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

    def publish(
        self, name: str, entries: Sequence[NewEntry], close: bool, key: str | None = None
    ) -> Deferred[tuple[int, int]]:
        """See `IStreamStore.publish`."""
        return self.find(name).addCallback(publish, entries, close, key)

    def delete(self, name: str, epoch: str | None = None) -> Deferred[None]:
        """
        See L{IStreamStore.delete}. Its viewers get the end when the file has
        forgotten it; when that cannot be, the stream is there as before.
        """
        if self._database is None:
            return fail(StoreUnavailable("The store is closed."))
        stream = self._streams.get(name)
        if stream is None or epoch not in {None, stream.epoch} or stream.uncounted is not None:
            return fail(StreamNotFound(name))
        streamLog = stream.log()
        stream.uncounted = stream.size if streamLog is None else streamLog.buffer.size
        self.used -= stream.uncounted
        self._leaving += 1
        deleted: Deferred[None] = Deferred()
        self._deleted.append((stream, deleted))
        self._schedule(0)
        return deleted

    def write(self, streamLog: StreamLog) -> None:
        """See L{Keeper.write}."""
        self._dirty[self._streams[streamLog.name]] = streamLog
        if self._next is None:
            self._schedule(0)

    def trim(self, streamLog: StreamLog) -> None:
        """See L{Keeper.trim}."""
        buffer = streamLog.buffer
        self._trims[self._streams[streamLog.name].number] = (buffer.first, buffer.tokensBefore)
        self._schedule(0)

    def _makeLog(self, stream: Stream) -> StreamLog:
        return StreamLog(stream.name, stream.epoch, self._ticker, self._window, self, published=stream.published)

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

    def _collect(self) -> Work:
        """Put the next group together."""
        work = Work(self._made, self._deleted)
        self._made, self._deleted = [], []
        group, now = work.group, self._clock.seconds()
        group.made.extend((made.number, made.name, made.epoch, made.published, made.created) for made in work.made)
        group.trims.update(self._trims)
        self._trims.clear()
        for stream, streamLog in self._dirty.items():
            self._filing.add(work, stream, streamLog, now)
            if work.count >= GROUP_ENTRIES:
                break
        if work.deleted:
            # What has something to be written is deleted in a later group: it is stored first, so that who published it
            # is answered.
            writing = {*work.made, *self._dirty}
            self._deleted = [item for item in work.deleted if item[0] in writing]
            work.deleted = [item for item in work.deleted if item[0] not in writing]
            group.deleted.extend(stream.number for stream, _ in work.deleted)
        if len(work.parts) < len(self._dirty):
            for stream, _, _ in work.parts:
                del self._dirty[stream]
        else:
            self._dirty = {}
        self._filing.finish(work)
        return work

    def _written(self, work: Work) -> None:
        """The file has it: now everybody may see it."""
        self._busy = self._refusing = False
        self._filing.written(work)
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
        self._schedule(min(PAUSE * (len(work.parts) // 10), LONGEST_PAUSE))

    def _drop(self, stream: Stream) -> None:
        """Forget a stream that the file has forgotten."""
        del self._streams[stream.name]
        self._leaving -= 1
        self._dirty.pop(stream, None)
        self._filing.forget(stream)
        self._trims.pop(stream.number, None)
        streamLog = stream.log()
        if streamLog is not None:
            # What came after the deletion was asked for was still counted.
            self.used -= streamLog.drop() - (stream.uncounted or 0)
        stream.left()

    def _keep(self, stream: Stream) -> None:
        """Take a stream back that could not be deleted."""
        self.used += stream.uncounted or 0
        stream.uncounted = None
        self._leaving -= 1
        stream.left()

    def _refused(self, failure: Failure, work: Work) -> None:
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

    def _loaded(self, contents: Contents, stream: Stream) -> None:
        if stream.uncounted is not None or self._streams.get(stream.name) is not stream:
            stream.answer(StreamNotFound(stream.name))
            return
        streamLog = self._makeLog(stream)
        streamLog.restore(contents.segment, contents.tokens, contents.keys)
        streamLog.created, streamLog.ended = stream.created, stream.ended
        stream.written = stream.filed = streamLog.last
        stream.hold(streamLog)
        stream.answer(streamLog)

    def _notLoaded(self, failure: Failure, stream: Stream) -> None:
        log.failure("The store cannot read", failure)
        stream.answer(StoreUnavailable("The store cannot read this stream now."))

    def _closed(self, result: None) -> None:
        self._database = None
        self._ticker.stop()
        self._streams.clear()
        self._filing = Filing()
        self.used = self._leaving = 0
        if self._pool is not None:
            self._pool.stop()
            self._pool = None
