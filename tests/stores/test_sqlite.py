"""
Tests for L{sseserver.stores.sqlite}, beside the contract in tests/test_stores.py.
"""

from __future__ import annotations

import gc
import shutil
import sqlite3
from collections.abc import Callable
from time import monotonic
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError, SSEServerError, StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog
from sseserver.stores.groups import GROUP_ENTRIES
from sseserver.stores.persistent import LONGEST_PAUSE, RETRY
from sseserver.stores.sqlite import SQLiteStore
from sseserver.stores.sqlite import journal as filing
from sseserver.stores.sqlite import store as sqlite
from sseserver.stores.sqlite.database import Database
from sseserver.stores.sqlite.journal import FILED, FRESH, SEGMENT
from sseserver.stores.sqlite.rows import FreshRow, SegmentRow
from sseserver.testing import RecordingViewer
from sseserver.values import Kind, State
from tests.fakes import ClockTestCase

WINDOW = 1 << 24

#: Pages of a disk that is not full.
ROOM = 1_000_000


class Thread:
    """
    The store's thread, by hand.

    Attributes:
        waiting: What it was given and has not done.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """See L{SQLiteStore}: call a function in the thread."""
        called: Deferred[Any] = Deferred()
        self.waiting.append((called, function, arguments))
        return called

    def work(self) -> None:
        """Do what was given first."""
        called, function, arguments = self.waiting.pop(0)
        maybeDeferred(function, *arguments).chainDeferred(called)


class StoreTestCase(ClockTestCase):
    """Gives each test a store on a thread by hand; it is stopped in the end."""

    def setUp(self) -> None:
        """Start the store."""
        super().setUp()
        self.thread = Thread()
        self.path = self.mktemp()
        self.store = self.makeStore()
        self.store.start()
        self.stopAtEnd(lambda: self.result(self.store.stop()))

    def makeStore(self, window: int = WINDOW) -> SQLiteStore:
        """Make a store on the test's file."""
        return SQLiteStore(self.clock, self.path, window, self.thread)

    def settle(self) -> None:
        """Let the store do all that there is to do."""
        self.clock.advance(0)
        while self.thread.waiting:
            self.thread.work()
            self.clock.advance(0)

    def result(self, deferred: Deferred[Any]) -> Any:
        """Give what a Deferred comes to."""
        self.settle()
        return self.successResultOf(deferred)

    def refused(self, deferred: Deferred[Any], error: type[SSEServerError]) -> None:
        """Make sure that it has failed with this error."""
        self.settle()
        self.failureResultOf(deferred, error)

    def create(self, name: str | None = None, published: bool = True, tokens: int = 0) -> IStreamLog:
        """Make a stream with tokens."""
        streamLog: IStreamLog = self.result(self.store.create(name, published))
        self.append(streamLog, tokens)
        self.settle()
        return streamLog

    def append(self, streamLog: IStreamLog, count: int, data: bytes = b"x") -> None:
        """Append tokens."""
        for _ in range(count):
            streamLog.append(Kind.TOKEN, data)

    def restart(self, window: int = WINDOW) -> list[tuple[float, str, str]]:
        """Stop the store, and start another one on the file."""
        self.result(self.store.stop())
        self.store = self.makeStore(window)
        return list(self.store.start())

    def connection(self) -> sqlite3.Connection:
        """The store's own connection; nobody else can look at the file."""
        assert self.store.persistence.database is not None
        return self.store.persistence.database.connection

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Read a table."""
        return self.connection().execute(f"SELECT * FROM {table}").fetchall()

    def entries(self) -> list[tuple[int, int, bytes]]:
        """Read the entries in the file, filed or not: numbers of stream and entry, data."""
        filed = [(row.stream, row.unpack()) for row in map(SegmentRow._make, self.rows("segments"))]
        fresh = [each for row in self.rows("fresh") for each in FreshRow(*row).unpack()]
        return sorted(
            {(stream, *entry) for stream, each in filed + fresh for entry in enumerate(each.entries, each.first)}
        )


class GroupTests(StoreTestCase):
    """Writes in groups."""

    def test_visibleWhenCommitted(self) -> None:
        """
        An entry is visible, and a new stream given out, when the file has it: not when it is appended, and not when
        it is on the way.
        """
        created = self.store.create("a", True)
        self.clock.advance(0)
        self.assertNoResult(created)
        self.thread.work()
        streamLog = self.successResultOf(created)
        self.assertEqual(len(self.rows("streams")), 1)
        streamLog.append(Kind.TOKEN, b"x")
        settled = streamLog.settled()
        for step in (lambda: None, lambda: self.clock.advance(0)):
            step()
            self.assertEqual((streamLog.last, self.entries()), (0, []))
            self.assertNoResult(settled)
        self.thread.work()
        self.assertEqual((streamLog.last, len(self.entries())), (1, 1))
        self.successResultOf(settled)

    def test_oneGroup(self) -> None:
        """
        What comes in one turn of the reactor is one group, from however many streams.
        """
        logs = [self.create() for _ in range(10)]
        for streamLog in logs:
            self.append(streamLog, 3)
        self.store.create(None, True)
        self.clock.advance(0)
        self.assertEqual(len(self.thread.waiting), 1)
        self.thread.work()
        self.assertEqual([streamLog.last for streamLog in logs], [3] * 10)
        self.clock.advance(0)
        self.assertEqual(self.thread.waiting, [])

    def test_meanwhile(self) -> None:
        """
        What comes while a group is being written gathers for the next one.
        """
        streamLog, other = self.create(), self.create()
        self.append(streamLog, 2)
        self.clock.advance(0)
        self.append(streamLog, 3)
        self.append(other, 1)
        self.clock.advance(10)
        self.assertEqual(len(self.thread.waiting), 1)
        self.thread.work()
        self.assertEqual((streamLog.last, other.last), (2, 0))
        self.clock.advance(0)
        self.assertEqual(len(self.thread.waiting), 1)
        self.thread.work()
        self.assertEqual((streamLog.last, other.last), (5, 1))

    def test_full(self) -> None:
        """
        A group that is full leaves the other streams to the next one, but never divides what one stream has; the
        stream that waited goes first then.
        """
        logs = [self.create() for _ in range(3)]
        self.append(logs[0], GROUP_ENTRIES - 1)
        self.append(logs[1], 2 * GROUP_ENTRIES)
        self.append(logs[2], 1)
        seen = []
        self.clock.advance(0)
        self.append(logs[0], 1)
        while self.thread.waiting:
            self.thread.work()
            seen.append([streamLog.last for streamLog in logs])
            self.clock.advance(0)
        one = GROUP_ENTRIES - 1
        self.assertEqual(seen, [[one, 2 * GROUP_ENTRIES, 0], [one + 1, 2 * GROUP_ENTRIES, 1]])

    def test_deletedMeanwhile(self) -> None:
        """
        A stream that is deleted while its entries, or itself, are being written is gone after that.
        """
        streamLog = self.create("a")
        self.append(streamLog, 2)
        created = self.store.create("b", True)
        self.clock.advance(0)
        deleted = [self.store.delete("a"), self.store.delete("b")]
        for each in deleted:
            self.assertNoResult(each)
        self.refused(created, StreamNotFound)
        for each in deleted:
            self.successResultOf(each)
        self.assertEqual((streamLog.state, streamLog.last), (State.CANCELLED, 3))
        self.assertEqual((self.rows("streams"), self.entries(), self.store.used), ([], [], 0))

    def test_trims(self) -> None:
        """
        What is trimmed leaves the file.
        """
        self.restart(window=8000)
        streamLog = self.create(tokens=1000)
        self.assertGreater(streamLog.buffer.first, 1)
        self.restart(window=8000)
        numbers = [number for _, number, _ in self.entries()]
        self.assertEqual(numbers, list(range(streamLog.buffer.first, 1001)))

    def test_deletes(self) -> None:
        """
        Nothing of a deleted stream stays in the file, open or ended, in memory or not.
        """
        streamLog = self.create("a", tokens=5)
        streamLog.remember("key", b"digest", streamLog.append(Kind.TOKEN, b"x"))
        self.create("b", tokens=5).append(Kind.DONE, b"{}")
        self.create("c", tokens=5)
        self.restart()
        for name in "abc":
            self.result(self.store.delete(name))
        tables = ("streams", "segments", "fresh", "keys")
        self.assertEqual([self.rows(table) for table in tables], [[], [], [], []])
        self.assertEqual((self.store.used, self.store.count), (0, 0))


class FilingTests(StoreTestCase):
    """When entries go into rows of their stream."""

    def filed(self) -> dict[int, list[int]]:
        """Give the number of the last entry of each segment, by stream."""
        found: dict[int, list[int]] = {}
        for stream, last in self.connection().execute("SELECT stream, last FROM segments ORDER BY stream, first"):
            found.setdefault(stream, []).append(last)
        return found

    def fill(self, streamLog: IStreamLog) -> None:
        """Let so much come that it is time to file what came before; of three pieces the third is filed itself."""
        for _ in range(FRESH // SEGMENT * 5):
            self.append(streamLog, 1, b"x" * (SEGMENT // 3))
            self.settle()

    def test_gathered(self) -> None:
        """
        A stream is filed when enough of it has come; the next entries gather again.
        """
        streamLog = self.create()
        for _ in range(6):
            self.append(streamLog, 1, b"x" * (SEGMENT // 3))
            self.settle()
        self.assertEqual(self.filed(), {1: [3, 6]})
        self.assertEqual(len(self.entries()), 6)

    def test_large(self) -> None:
        """
        What is large is filed at once, and written only once.
        """
        streamLog = self.create()
        self.append(streamLog, 1)
        self.settle()
        self.append(streamLog, 1, b"x" * SEGMENT)
        self.settle()
        self.assertEqual((self.filed(), self.rows("fresh")), ({1: [2]}, []))

    def test_ended(self) -> None:
        """
        A stream that ends is filed whole.
        """
        streamLog = self.create(tokens=5)
        streamLog.append(Kind.DONE, b"{}")
        self.settle()
        self.assertEqual((self.filed(), len(self.rows("fresh"))), ({1: [6]}, 0))

    def test_old(self) -> None:
        """
        Streams that are quiet are filed when enough has come after them: some with each group. What came before is no
        longer among the fresh entries then.
        """
        quiet = [self.create(tokens=2) for _ in range(2 * FILED)]
        self.assertEqual(self.filed(), {})
        lively = self.create()
        self.fill(lively)
        filed = self.filed()
        self.assertEqual([filed[number + 1] for number in range(2 * FILED)], [[2]] * len(quiet))
        places = [place for place, *_ in self.rows("fresh")]
        self.assertGreater(min(places), 0)
        self.assertLess(sum(len(row[4]) for row in self.rows("fresh")), FRESH + 3 * SEGMENT)

    def test_oldAndWaiting(self) -> None:
        """
        What waits for the next group is not filed with this one, though what came before it is.
        """
        quiet, lively = self.create(tokens=2), self.create()
        self.patch(filing, "FRESH", 0)
        self.append(lively, GROUP_ENTRIES)
        self.append(quiet, 1)
        self.clock.advance(0)
        self.thread.work()
        self.assertEqual((quiet.last, self.filed()[1]), (2, [2]))
        self.settle()
        self.assertEqual(quiet.last, 3)

    def test_afterRestart(self) -> None:
        """
        What was filed before a restart is not filed again.
        """
        self.create("a", tokens=3)
        self.restart()
        streamLog = self.result(self.store.find("a"))
        self.append(streamLog, 2)
        self.settle()
        streamLog.append(Kind.DONE, b"{}")
        self.settle()
        self.assertEqual(self.filed(), {1: [3, 6]})

    def test_deleted(self) -> None:
        """
        With a stream that is deleted go its fresh entries: what came beside them is filed.
        """
        self.create("a", tokens=3)
        other = self.create("b", tokens=2)
        self.result(self.store.delete("a"))
        self.assertEqual((self.filed(), self.rows("fresh")), ({2: [2]}, []))
        self.append(other, 1)
        self.settle()
        self.assertEqual(len(self.rows("fresh")), 1)
        self.restart()
        self.assertEqual(self.result(self.store.find("b")).buffer.entries, [b"x"] * 3)

    def test_trimmed(self) -> None:
        """
        What is trimmed before it is filed is not filed; a segment of which a part is trimmed is cut.
        """
        self.restart(window=3 * SEGMENT)
        streamLog = self.create()
        for _ in range(50):
            self.append(streamLog, 7, b"x" * 1700)
            self.settle()
        filed = [number for _, number, _ in self.entries()]
        (first,) = self.connection().execute("SELECT min(first) FROM segments").fetchone()
        self.assertEqual(first, streamLog.buffer.first)
        self.assertEqual(filed[-1], 350)
        entries = streamLog.buffer.entries
        self.restart(window=3 * SEGMENT)
        again = self.result(self.store.find(streamLog.name))
        self.assertEqual(
            (again.buffer.first, again.buffer.entries, again.buffer.size), (first, entries, streamLog.buffer.size)
        )

    def test_refused(self) -> None:
        """
        What could not be filed, as the disk was full, is filed when there is room.
        """
        streamLog = self.create(published=False, tokens=3)
        self.connection().execute("PRAGMA max_page_count = 1")
        streamLog.append(Kind.DONE, b"x" * 100_000)
        self.settle()
        self.assertEqual((self.filed(), streamLog.state), ({}, State.OPEN))
        self.connection().execute(f"PRAGMA max_page_count = {ROOM}")
        self.clock.advance(RETRY)
        self.settle()
        self.assertEqual((self.filed(), streamLog.state), ({1: [4]}, State.DONE))
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)

    def test_pause(self) -> None:
        """
        After a group of many streams the next one gathers for a moment; after one of few it follows at once.
        """
        logs = [self.create() for _ in range(100)]
        for count, pause in ((9, 0.0), (20, 0.002), (100, LONGEST_PAUSE)):
            for streamLog in logs[:count]:
                self.append(streamLog, 1)
            self.settle()
            self.append(logs[0], 1)
            self.clock.advance(pause * 0.9)
            self.assertEqual(bool(self.thread.waiting), not pause)
            self.clock.advance(pause * 0.2)
            self.settle()
            self.assertEqual(logs[0].last, logs[0].buffer.appended)


class FullTests(StoreTestCase):
    """The disk is full, and then it has room again."""

    def setUp(self) -> None:
        """Make some streams, then fill the disk."""
        super().setUp()
        self.published = self.create("published", tokens=2)
        self.run_ = self.create("run", published=False, tokens=2)
        self.pages(1)

    def tearDown(self) -> None:
        """The log says once that the disk was full, and once that it was not written to the end if it was not."""
        self.pages(ROOM)
        super().tearDown()
        self.flushLoggedErrors(StoreUnavailable)

    def pages(self, most: int) -> None:
        """Set how many pages the file may have; SQLite takes no fewer than there are."""
        if self.store.persistence.database is not None:
            self.connection().execute(f"PRAGMA max_page_count = {most}")

    def publish(self) -> Deferred[None]:
        """Publish more than there is room for."""
        self.append(self.published, 3, b"y" * 5000)
        self.published.remember("key", b"digest", 3)
        return self.published.settled()

    def test_publishRefused(self) -> None:
        """
        What is published is refused whole: nothing of it is in the log, in the file, or counted; its idempotency key
        is unknown, and a terminal entry no end.
        """
        used, size = self.store.used, self.published.buffer.size
        settled = self.publish()
        self.published.append(Kind.DONE, b"{}")
        self.refused(settled, StoreUnavailable)
        log = self.published
        self.assertEqual((log.last, log.buffer.entries, log.buffer.tokens, log.state), (2, [b"x", b"x"], 2, State.OPEN))
        self.assertEqual((log.buffer.size, self.store.used, log.recall("key")), (size, used, None))
        self.assertEqual(len(self.entries()), 4)
        self.assertEqual(self.rows("keys"), [])

    def test_recovers(self) -> None:
        """
        When there is room again, publishing goes on under the next numbers; and the log has said only once that there
        was none.
        """
        for _ in range(3):
            settled = self.publish()
            self.clock.advance(RETRY)
            self.refused(settled, StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)
        self.pages(ROOM)
        settled = self.publish()
        self.clock.advance(RETRY)
        self.result(settled)
        self.assertEqual((self.published.last, self.published.recall("key")), (5, (b"digest", 3, 5)))
        self.restart()
        self.assertEqual(self.result(self.store.find("published")).last, 5)

    def test_runKeeps(self) -> None:
        """
        What a run writes is kept though nobody sees it yet: it is written when there is room again, by itself. Its
        viewers stay.
        """
        viewer = RecordingViewer(self.run_)
        self.run_.follow(viewer, sqlite_form)
        self.append(self.run_, 10, b"z" * 2000)
        self.settle()
        self.append(self.run_, 1, b"z")
        self.clock.advance(RETRY)
        self.settle()
        self.assertEqual((self.run_.last, viewer.seen, self.run_.viewers), (2, [], 1))
        self.pages(ROOM)
        self.clock.advance(RETRY)
        self.settle()
        self.assertEqual((self.run_.last, viewer.seen, len(self.entries())), (13, [13], 15))
        self.run_.leave(viewer)

    def test_createRefused(self) -> None:
        """
        A stream that cannot be made is refused, and is not there; with room it can be made.
        """
        created = [self.store.create(f"{number}" * 100, True) for number in range(100)]
        for each in created:
            self.refused(each, StoreUnavailable)
        self.assertEqual((self.store.count, len(self.rows("streams"))), (2, 2))
        self.pages(ROOM)
        again = self.store.create("0" * 100, True)
        self.clock.advance(RETRY)
        self.result(again)

    def test_deleteRefused(self) -> None:
        """
        A stream that cannot be deleted now is there as before; it can be deleted when there is room again.
        """
        count = self.store.count
        published = self.publish()
        deleted = self.store.delete("run")
        for each in (published, deleted):
            self.refused(each, StoreUnavailable)
        self.assertEqual(self.store.count, count)
        self.assertIs(self.result(self.store.find("run")).state, State.OPEN)
        self.assertEqual(len(self.rows("streams")), 2)
        self.pages(ROOM)
        self.clock.advance(RETRY)
        self.settle()
        self.result(self.store.delete("run"))
        self.assertEqual(len(self.rows("streams")), 1)

    def test_stop(self) -> None:
        """
        A store that is stopped while the disk is full closes all the same, and tells everybody who waits: also those
        who came while it was trying.
        """
        self.pages(ROOM)
        self.create("other")
        self.pages(1)
        self.append(self.run_, 10, b"z" * 2000)
        stopped = self.store.stop()
        self.clock.advance(0)
        waiting = [self.publish(), self.store.create("new", True), self.store.delete("other")]
        waiting.append(self.run_.settled())
        self.settle()
        self.successResultOf(stopped)
        for each in waiting:
            self.failureResultOf(each, StoreUnavailable)
        self.pages(ROOM)
        self.store = self.makeStore()
        self.store.start()
        self.assertEqual(self.result(self.store.find("run")).last, 3)


class RestartTests(StoreTestCase):
    """What another process finds."""

    def test_stopWrites(self) -> None:
        """
        A store that is stopped writes what it was given first: what waits, and what came while a group was written.
        """
        streamLog = self.create("a", tokens=1)
        self.append(streamLog, 1)
        self.clock.advance(0)
        self.append(streamLog, 1)
        stopped = self.store.stop()
        self.append(streamLog, 1)
        self.settle()
        self.successResultOf(stopped)
        self.store = self.makeStore()
        self.store.start()
        self.assertEqual(self.result(self.store.find("a")).last, 4)

    def crash(self) -> None:
        """Let the process die, and another one start on what it left."""
        copy = self.mktemp()
        for end in ("", "-wal"):
            shutil.copy(self.path + end, copy + end)
        self.result(self.store.stop())
        self.path = copy
        self.store = self.makeStore()
        self.store.start()

    def test_boot(self) -> None:
        """
        After a crash of the process alone IDs go on; after one of the machine, open streams have new epochs, so that
        who comes back is told that what it has is lost.
        """
        epoch = self.create("a", tokens=3).epoch
        self.crash()
        self.assertEqual(self.result(self.store.find("a")).epoch, epoch)
        self.patch(sqlite, "readBootID", lambda: "another run of the machine")
        self.crash()
        streamLog = self.result(self.store.find("a"))
        gap = self.assertRaises(GapError, streamLog.locate, f"{epoch}-3")
        self.assertEqual((streamLog.name, gap.reason, gap.cursor, streamLog.last), ("a", "lost", 0, 3))
        self.assertRegex(streamLog.epoch, "^[A-Za-z0-9]{22}$")

    def test_bootID(self) -> None:
        """
        The system tells which run of the machine this is.
        """
        self.assertRegex(sqlite.readBootID(), "^[0-9a-f-]{36}$")
        self.assertEqual(sqlite.readBootID(), sqlite.readBootID())

    def test_numbersGoOn(self) -> None:
        """
        Streams that are made after a restart do not mix with those before it.
        """
        self.create("a", tokens=3)
        self.restart()
        self.create("b", tokens=1)
        self.restart()
        self.assertEqual([self.result(self.store.find(name)).last for name in "ab"], [3, 1])

    def test_stopped(self) -> None:
        """
        A store that is stopped does not say that there is no such stream: it cannot know now.
        """
        self.create("a", tokens=1)
        self.result(self.store.stop())
        self.refused(self.store.find("a"), StoreUnavailable)
        self.refused(self.store.delete("a"), StoreUnavailable)
        self.store.start()
        self.assertEqual(self.result(self.store.find("a")).last, 1)

    def test_startedAgain(self) -> None:
        """
        The same store, stopped and started again, knows nothing of before but what the file has: what was fresh then
        is filed, and is not filed again with what is new.
        """
        self.create("a", tokens=1)
        self.result(self.store.stop())
        self.store.start()
        self.create("b", tokens=1)
        self.result(self.store.delete("b"))
        self.assertEqual(self.result(self.store.find("a")).last, 1)
        self.assertEqual(self.entries(), [(1, 1, b"x")])

    def test_refusedStart(self) -> None:
        """
        A store that cannot be opened says so, and can be stopped, and be started when the reason is gone.
        """
        other = self.makeStore()
        self.assertRaises(StoreUnavailable, other.start)
        self.result(other.stop())
        self.result(self.store.stop())
        self.assertEqual(list(other.start()), [])
        self.result(other.stop())
        self.store.start()


class LoadTests(StoreTestCase):
    """Streams that are not in memory."""

    def test_whenAskedFor(self) -> None:
        """
        A log is read from the file when somebody asks for it, once for all who do; and stays while somebody has it.
        """
        self.create("a", tokens=5)
        self.restart()
        self.assertEqual(self.thread.waiting, [])
        found = [self.store.find("a"), self.store.find("a")]
        self.assertEqual(len(self.thread.waiting), 1)
        streamLog = self.result(found[0])
        self.assertIs(self.successResultOf(found[1]), streamLog)
        self.assertIs(self.successResultOf(self.store.find("a")), streamLog)

    def test_endedLeavesMemory(self) -> None:
        """
        The log of a stream that has ended leaves memory when nobody has it; it is counted on, and can be read again.
        """
        streamLog = self.create("a", tokens=5)
        streamLog.append(Kind.DONE, b"{}")
        self.settle()
        used, entries = self.store.used, streamLog.buffer.entries
        del streamLog
        gc.collect()
        found = self.store.find("a")
        self.assertNoResult(found)
        self.assertEqual((self.result(found).buffer.entries, self.store.used), (entries, used))
        del found
        gc.collect()
        self.result(self.store.delete("a"))
        self.assertEqual(self.store.used, 0)

    def test_openStays(self) -> None:
        """
        The log of an open stream stays in memory.
        """
        self.create("a", tokens=5)
        gc.collect()
        self.successResultOf(self.store.find("a"))

    def test_deletedWhileRead(self) -> None:
        """
        A stream that is deleted while it is read is not found.
        """
        self.create("a", tokens=5)
        self.restart()
        found, deleted = self.store.find("a"), self.store.delete("a")
        self.refused(found, StreamNotFound)
        self.successResultOf(deleted)

    def test_unreadable(self) -> None:
        """
        A stream that cannot be read is unavailable now, and tried again when it is asked for again.
        """
        self.create("a", tokens=5)
        self.restart()
        load = Database.load
        broken = self.patch(Database, "load", lambda *_: load(None, 0))  # type: ignore[arg-type]
        self.refused(self.store.find("a"), StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        broken.restore()
        self.assertEqual(self.result(self.store.find("a")).last, 5)

    def test_big(self) -> None:
        """
        A stream of 100,000 entries is written and read in a moment.
        """
        start = monotonic()
        self.create("a", tokens=100_000)
        self.restart()
        streamLog = self.result(self.store.find("a"))
        self.assertEqual((streamLog.last, len(streamLog.buffer.entries), streamLog.buffer.tokens), (100_000,) * 3)
        self.assertLess(monotonic() - start, 30)

    def test_smallerWindow(self) -> None:
        """
        A stream that was kept in a larger window is trimmed when it goes on in a smaller one.
        """
        self.create("a", tokens=1000)
        self.restart(window=8000)
        streamLog = self.result(self.store.find("a"))
        self.append(streamLog, 1)
        self.settle()
        self.assertLessEqual(streamLog.buffer.size, 8000)
        self.assertEqual(self.store.used, streamLog.buffer.size)


class SynchronousTests(SynchronousTestCase):
    """Without a thread at all."""

    def test_find(self) -> None:
        """
        C{inThread} may call at once: a log that is read at once is found at once.
        """
        from twisted.internet.task import Clock

        clock, path = Clock(), self.mktemp()
        for _ in range(2):
            store = SQLiteStore(clock, path, WINDOW, maybeDeferred)
            if not store.start() and not store.count:
                created = store.create("a", True)
                clock.advance(0)
                self.successResultOf(created)
            self.assertEqual(self.successResultOf(store.find("a")).name, "a")
            stopped = store.stop()
            clock.advance(0)
            self.successResultOf(stopped)


#: Nothing is read in it.
sqlite_form: Any = type("Form", (), {"name": "none", "render": lambda self, streamLog: None})()
