"""
Tests for `sseserver.stores.sqlite.store`, beside `sseserver.testing.StoreContract`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import GapError, StoreUnavailable
from sseserver.stores.sqlite import SQLiteStore
from sseserver.stores.sqlite import store as sqlite
from sseserver.values import Kind
from tests.stores.sqlite.files import WINDOW, StoreTestCase


class FileTests(StoreTestCase):
    """Rows of streams that change or go, and what another process finds."""

    def test_trims(self) -> None:
        """
        Trimmed entries leave the file.
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

    def crash(self) -> None:
        """Let the process die, and another one start on what it left."""
        paths = [Path(self.path), Path(self.path + "-wal")]
        contents = [path.read_bytes() for path in paths]
        self.result(self.store.stop())
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        self.store = self.makeStore()
        self.store.start()

    def copy(self) -> str:
        """Copy the files while the store is running, as an operator may."""
        copy = self.mktemp()
        for end in ("", "-wal"):
            shutil.copy(self.path + end, copy + end)
        return copy

    def test_F64_copy(self) -> None:
        """
        F64: what viewers saw after a copy was made does not share its ID with what is published into the copy.
        """
        streamLog = self.create("a", tokens=1)
        copy = self.copy()
        self.append(streamLog, 1, b"SEEN")
        self.settle()
        epoch, original = streamLog.epoch, self.path
        self.crash()
        self.assertEqual(self.result(self.store.find("a")).epoch, epoch)
        self.result(self.store.stop())
        self.path = copy
        self.store = self.makeStore()
        self.store.start()
        found = self.result(self.store.find("a"))
        self.append(found, 1, b"OTHER")
        self.settle()
        self.assertEqual((found.last, found.buffer.entries), (2, [b"x", b"OTHER"]))
        gap = self.assertRaises(GapError, found.locate, f"{epoch}-2")
        self.assertEqual(gap.reason, "lost")
        # The copy is an original from now on, and so is the file that was copied.
        for path, expected in ((copy, found.epoch), (original, epoch)):
            self.result(self.store.stop())
            self.path = path
            self.store = self.makeStore()
            self.store.start()
            self.assertEqual(self.result(self.store.find("a")).epoch, expected)

    def test_F64_cleanCopy(self) -> None:
        """
        F64: the same holds for a copy of a file that was closed in good order.
        """
        epoch = self.create("a", tokens=1).epoch
        self.result(self.store.stop())
        copy = self.mktemp()
        shutil.copy(self.path, copy)
        self.path = copy
        self.store = self.makeStore()
        self.store.start()
        self.assertNotEqual(self.result(self.store.find("a")).epoch, epoch)

    def test_boot(self) -> None:
        """
        After a crash of the process IDs go on. After a crash of the machine open streams have new epochs, so a viewer
        that returns gets the gap `lost`.
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
        The system tells the present boot.
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


class SynchronousTests(SynchronousTestCase):
    """Without a thread at all."""

    def test_find(self) -> None:
        """
        `inThread` may call at once: a log that is read at once is found at once.
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
