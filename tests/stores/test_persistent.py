"""
Tests for `sseserver.stores.persistent`, on an SQLite file. The contract is in `sseserver.testing.StoreContract`.
"""

from __future__ import annotations

import gc
import itertools
from pathlib import Path
from time import monotonic
from unittest.mock import patch

from twisted.internet.task import Clock

from sseserver.errors import StoreUnavailable, StreamNotFound
from sseserver.stores.groups import GROUP_ENTRIES
from sseserver.stores.groupwriter import CHECK, RETRY
from sseserver.stores.sqlite.database import Database
from sseserver.streams.buffer import ENTRY_COST
from sseserver.values import Kind, State
from tests.stores.sqlite.files import StoreTestCase


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
        settled = streamLog.awaitStored()
        for step in (lambda: None, lambda: self.clock.advance(0)):
            step()
            self.assertEqual((streamLog.last, self.entries()), (0, []))
            self.assertNoResult(settled)
        self.thread.work()
        self.assertEqual((streamLog.last, len(self.entries())), (1, 1))
        self.successResultOf(settled)

    def test_listedWhenCommitted(self) -> None:
        """A new stream is listed once the file has it, and never if the file does not take it."""

        def listed() -> list[str]:
            return [each.name for each in self.successResultOf(self.store.list(10))]

        created = self.store.create("a", True)
        self.assertEqual(listed(), [])
        self.result(created)
        self.assertEqual(listed(), ["a"])
        refused = self.store.create("b", True)
        self.assertEqual(listed(), ["a"])
        self.refuse()
        self.refused(refused, StoreUnavailable)
        self.restart()
        self.assertEqual(listed(), ["a"])

    def test_peek(self) -> None:
        """A log that is in memory is found at once: not before it is stored, nor when its stream is being deleted."""
        created = self.store.create("a", True)
        self.assertIsNone(self.store.peek("a"))
        streamLog = self.result(created)
        self.assertIs(self.store.peek("a"), streamLog)
        deleted = self.store.delete("a")
        self.assertIsNone(self.store.peek("a"))
        self.result(deleted)
        self.result(self.store.create("b", True))
        self.restart()
        self.assertIsNone(self.store.peek("b"))
        found = self.result(self.store.find("b"))
        self.assertIs(self.store.peek("b"), found)
        self.result(self.store.stop())
        self.assertIsNone(self.store.peek("b"))

    def test_problem(self) -> None:
        """While somebody asks, the store checks whether it can write: it notices a moved file, and its return."""
        checked = self.store
        path, moved = Path(self.path), Path(f"{self.path}.moved")
        self.assertIsNone(checked.findProblem())
        for move, problem in (
            (lambda: path.rename(moved), "The store cannot write: its file was deleted, renamed or replaced."),
            (lambda: moved.rename(path), None),
        ):
            move()
            self.clock.advance(CHECK)
            checked.findProblem()
            checked.findProblem()
            self.settle()
            self.assertEqual(checked.findProblem(), problem)
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_oneGroup(self) -> None:
        """
        The changes of one turn of the reactor are one group, of however many streams.
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
        Changes that come while a group is being written gather for the next one.
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

    def test_refusedWhileDeleted(self) -> None:
        """
        Entries that are refused while their stream is being deleted are taken off the account once, whether or not the
        deletion is refused, too.
        """
        for refusesDeletion in (False, True):
            streamLog = self.create("a", tokens=2)
            size, used = streamLog.size, self.store.used
            streamLog.append(Kind.TOKEN, b"x" * 1000)
            stored, deleted = streamLog.awaitStored(), self.store.delete("a")
            self.assertEqual(self.store.used, used - size)
            self.refuse()
            self.refused(stored, StoreUnavailable)
            self.assertEqual(self.store.used, used - size)
            if refusesDeletion:
                self.refuse()
                self.refused(deleted, StoreUnavailable)
                self.assertEqual(self.store.used, used)
                self.append(streamLog, 1)
                self.assertEqual((self.store.used, streamLog.size), (used + ENTRY_COST + 1, size + ENTRY_COST + 1))
                deleted = self.store.delete("a")
            self.clock.advance(RETRY)
            self.result(deleted)
            self.assertEqual(self.store.used, 0)

    def refuse(self) -> None:
        """Let the disk refuse the next group."""
        with patch.object(Database, "commit", side_effect=StoreUnavailable("The disk is full.")):
            self.clock.advance(RETRY)
            self.thread.work()
        self.flushLoggedErrors(StoreUnavailable)

    def test_listWhileDeleted(self) -> None:
        """
        Streams that are being deleted take no place of a page of the list: a page that is not full is the last one.
        Seed 313 of the simulation found pages that were short.
        """
        for name in "abcd":
            self.create(name)
        deleted = [self.store.delete("d"), self.store.delete("b")]
        self.assertEqual([stream.name for stream in self.successResultOf(self.store.list(2))], ["c", "a"])
        self.settle()
        for each in deleted:
            self.successResultOf(each)


class RestartTests(StoreTestCase):
    """The store is stopped."""

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


class TimeTests(StoreTestCase):
    """The times of a stream, on a clock that moves between any two looks at it."""

    def test_constant(self) -> None:
        """The times at which a stream was made and ended are the same at once, in lists and after a restart."""
        microseconds = itertools.count()
        self.patch(self.clock, "seconds", lambda: Clock.seconds(self.clock) + next(microseconds) * 1e-6)
        streamLog = self.create("a", tokens=5)
        created = streamLog.created
        streamLog.append(Kind.DONE, b"{}")
        self.settle()
        times = created, streamLog.ended
        for _ in range(2):
            (listed,) = self.successResultOf(self.store.list(1))
            self.assertEqual((listed.created, listed.ended), times)
            found = self.result(self.store.find("a"))
            self.assertEqual((found.created, found.ended), times)
            self.restart()


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
        self.assertEqual(self.store.used, streamLog.size)

    def test_interruptedInFullWindow(self) -> None:
        """
        A run whose window was full when a crash interrupted it keeps all its entries beside its end.
        """
        self.restart(window=8000)
        streamLog = self.create("a", published=False)
        self.append(streamLog, 8, b"x" * (1000 - ENTRY_COST))
        self.settle()
        self.assertEqual((streamLog.buffer.first, streamLog.buffer.size), (1, 8000))
        assert self.store.persistence.database is not None
        self.store.persistence.database.abandon()
        self.store = self.makeStore(window=8000)
        self.store.start()
        found = self.result(self.store.find("a"))
        self.assertEqual((found.state, found.buffer.first, found.last), (State.FAILED, 1, 9))
        self.assertEqual(self.store.used, found.size)
