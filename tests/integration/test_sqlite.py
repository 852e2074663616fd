"""
The SQLite store with its thread, on real disks, beside other processes, and under `twistd`.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from threading import Event
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, TestCase

from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IStreamLog
from sseserver.stores.sqlite import SQLiteStore
from sseserver.values import Kind
from tests.integration.servers import ENVIRONMENT, ROOT, ask, freePort, serving, twistd
from tests.stores.test_database import snapshot

WINDOW = 1 << 24

#: Seconds that a process may take; a busy machine needs some only to import Twisted.
PATIENCE = 120

OPEN = "import sys; from sseserver.stores.sqlite.database import Database; Database(sys.argv[1])"


def openElsewhere(path: str) -> str:
    """Let another process open a file; return what it has to say of it."""
    command = [sys.executable, "-c", OPEN, path]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=PATIENCE, check=False)
    return done.stderr.decode()


class StoreTestCase(TestCase):
    """Tests as coroutines, with a store on the reactor."""

    def makeStore(self, path: str) -> SQLiteStore:
        """Start a store that is stopped in the end."""
        store = SQLiteStore(reactor, path, WINDOW)
        store.start()
        self.addCleanup(store.stop)
        return store

    def go(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
        """Run a test."""
        return Deferred.fromCoroutine(coroutine)


class ThreadTests(StoreTestCase):
    """The store's own thread."""

    def test_manyStreams(self) -> Deferred[None]:
        """
        Many streams that are written at once, turn by turn, have all that was written into them, in order; the next
        process finds the same.
        """
        return self.go(self.manyStreams())

    async def manyStreams(self) -> None:
        path = self.mktemp()
        store = self.makeStore(path)
        logs: list[IStreamLog] = await gatherResults([store.create(f"{number}", True) for number in range(50)])
        for turn in range(100):
            for number, streamLog in enumerate(logs):
                for each in range(turn % 3 + 1):
                    streamLog.append(Kind.TOKEN, b"%d %d %d" % (number, turn, each))
            await deferLater(reactor, 0)
        await gatherResults([streamLog.settled() for streamLog in logs])
        expected = [
            [b"%d %d %d" % (number, turn, each) for turn in range(100) for each in range(turn % 3 + 1)]
            for number in range(50)
        ]
        self.assertEqual([streamLog.buffer.entries for streamLog in logs], expected)
        self.assertEqual({streamLog.last for streamLog in logs}, {199})
        await store.stop()
        again = self.makeStore(path)
        found = await gatherResults([again.find(f"{number}") for number in range(50)])
        self.assertEqual([streamLog.buffer.entries for streamLog in found], expected)

    def test_turnsGoOn(self) -> Deferred[None]:
        """
        While a group is still to be written, the reactor turns: that is done in a thread.
        """
        return self.go(self.turnsGoOn())

    async def turnsGoOn(self) -> None:
        store = self.makeStore(self.mktemp())
        streamLog = await store.create(None, True)
        # The thread has something else to do.
        released = Event()
        store._pool.callInThread(released.wait, 60)
        streamLog.append(Kind.TOKEN, b"x")
        settled = streamLog.settled()
        for _ in range(10):
            await deferLater(reactor, 0.01)
            self.assertFalse(settled.called)
        released.set()
        await settled


class ProcessTests(StoreTestCase):
    """One file, many processes."""

    def test_oneProcess(self) -> Deferred[None]:
        """
        A second process on the same file is refused, and the first one goes on; also after the first one tried to
        open it twice, which must not take its lock away. When it has stopped, another may.
        """
        return self.go(self.oneProcess())

    async def oneProcess(self) -> None:
        path = self.mktemp()
        store = self.makeStore(path)
        streamLog = await store.create("a", True)
        self.assertRaises(StoreUnavailable, SQLiteStore(reactor, path, WINDOW).start)
        said = await deferToThread(openElsewhere, path)
        self.assertIn("another process has it open", said)
        streamLog.append(Kind.TOKEN, b"x")
        await streamLog.settled()
        await store.stop()
        self.assertEqual(await deferToThread(openElsewhere, path), "")


class TwistdTests(TestCase):
    """`twistd sseserver` refuses to start on what it cannot use: one line, an exit code, and nothing is touched."""

    def setUp(self) -> None:
        """Make a folder."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "streams.db"

    def command(self, port: int) -> list[str]:
        """Give the command line of a server with this store."""
        return twistd("sseserver", f"--store=sqlite:{self.path}", f"--listen=tcp:{port}:interface=127.0.0.1")

    def refuse(self, words: str) -> None:
        """Run it, and see it end."""
        before = snapshot(self.folder)
        done = subprocess.run(
            self.command(freePort()), cwd=ROOT, env=ENVIRONMENT, capture_output=True, timeout=PATIENCE, check=False
        )
        self.assertNotEqual(done.returncode, 0)
        said = done.stderr.decode().splitlines()
        self.assertEqual(len(said), 1, said)
        self.assertIn(f"sseserver: {self.path} ", said[0])
        self.assertIn(words, said[0])
        self.assertNotIn("Traceback", done.stdout.decode())
        self.assertEqual(snapshot(self.folder), before)

    def test_foreign(self) -> None:
        """
        Another program's file.
        """
        with sqlite3.connect(self.path) as connection:
            connection.execute("CREATE TABLE t (x)")
        connection.close()
        self.refuse("not a file of sseserver")

    def test_damaged(self) -> None:
        """
        A file of ours that was cut, as a copy of a file in use may be.
        """
        self.assertEqual(openElsewhere(str(self.path)), "")
        self.path.write_bytes(self.path.read_bytes()[:3000])
        self.refuse("is damaged")

    def test_folder(self) -> None:
        """
        A folder.
        """
        self.path.mkdir()
        self.refuse("directory")

    def test_used(self) -> None:
        """
        A file that another server has open; that one goes on.
        """
        port = freePort()
        with serving(self.command(port), port, cwd=ROOT, env=ENVIRONMENT) as first:
            # It listens before its store is open, but answers only then.
            self.assertEqual(ask(port, "PUT", "/streams/a")[0], 201)
            self.refuse("another process has it open")
            self.assertIsNone(first.poll())


class DiskTests(StoreTestCase):
    """A disk that is really full."""

    def mount(self) -> Path:
        """Make a small disk; give its folder."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        mount = shutil.which("mount")
        if os.geteuid() or mount is None:
            raise SkipTest("Only root can mount.")
        done = subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if done.returncode:
            raise SkipTest(f"Nothing can be mounted here: {done.stderr.decode()}")
        self.addCleanup(subprocess.run, ["umount", "-l", str(folder)], check=True)
        return folder

    def test_full(self) -> Deferred[None]:
        """
        A full disk refuses what is published, whole; what was taken stays, runs wait. When there is room again both go
        on by themselves, and the next process finds exactly what was taken.
        """
        return self.go(self.full())

    async def full(self) -> None:
        folder = self.mount()
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(5 << 20))
        store = self.makeStore(str(folder / "streams.db"))
        published, run = await store.create("published", True), await store.create("run", False)
        taken = await self.publishUntilFull(published)
        self.assertGreater(taken, 0)
        self.assertEqual((published.last, len(published.entries), published.size), (taken, taken, store.used))
        run.append(Kind.TOKEN, b"y" * 1_000_000)
        await deferLater(reactor, 1.5)
        self.assertEqual(run.last, 0)
        ballast.unlink()
        await run.settled()
        published.append(Kind.DONE, b"{}")
        await published.settled()
        await store.stop()
        again = self.makeStore(str(folder / "streams.db"))
        self.assertEqual((await again.find("published")).last, taken + 1)
        self.assertEqual((await again.find("run")).entries[0], b"y" * 1_000_000)
        await again.stop()
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)

    async def publishUntilFull(self, streamLog: IStreamLog) -> int:
        """Publish pairs of entries until they are refused; return how many were taken."""
        for taken in range(0, 1000, 2):
            for _ in range(2):
                streamLog.append(Kind.TOKEN, b"x" * 10_000)
            try:
                await streamLog.settled()
            except StoreUnavailable:
                return taken
        raise AssertionError("The disk is not full.")
