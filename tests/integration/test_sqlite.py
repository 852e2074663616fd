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
from tests.integration.servers import ENVIRONMENT, ask, freePort, runServer, serving, twistd
from tests.stores.sqlite.test_database import snapshot

WINDOW = 1 << 24

#: Seconds. Longest time for a process, which must import Twisted on a busy machine.
PATIENCE = 120

OPEN = "import sys; from sseserver.stores.sqlite.database import Database; Database(sys.argv[1])"


def openElsewhere(path: str) -> str:
    """Let another process open a file, and return its output."""
    command = [sys.executable, "-c", OPEN, path]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=PATIENCE, check=False)
    return done.stderr.decode()


class StoreTestCase(TestCase):
    """Tests as coroutines, with a store on the reactor."""

    def makeStore(self, path: str) -> SQLiteStore:
        """Start a store that is stopped at the end of the test."""
        store = SQLiteStore(reactor, path, WINDOW)
        store.start()
        self.addCleanup(store.stop)
        return store

    def go(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
        """Run a test."""
        return Deferred.fromCoroutine(coroutine)


class ThreadTests(StoreTestCase):
    """The thread of the store."""

    def test_manyStreams(self) -> Deferred[None]:
        """Many streams that are written turn by turn keep all entries in order, also for the next process."""
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
        await gatherResults([streamLog.awaitStored() for streamLog in logs])
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
        """The reactor turns while a group is written, since a thread writes it."""
        return self.go(self.turnsGoOn())

    async def turnsGoOn(self) -> None:
        store = self.makeStore(self.mktemp())
        streamLog = await store.create(None, True)
        # Keep the thread busy.
        released = Event()
        waited = store.persistence.inThread(released.wait, 60)
        streamLog.append(Kind.TOKEN, b"x")
        settled = streamLog.awaitStored()
        for _ in range(10):
            await deferLater(reactor, 0.01)
            self.assertFalse(settled.called)
        released.set()
        await gatherResults([waited, settled])


class ProcessTests(StoreTestCase):
    """Several processes and one file."""

    def test_oneProcess(self) -> Deferred[None]:
        """
        A second process on the same file is refused, and the first one goes on.

        A second opening by the first process must not take its lock away. After its stop another process may open the
        file.
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
        await streamLog.awaitStored()
        await store.stop()
        self.assertEqual(await deferToThread(openElsewhere, path), "")


class TwistdTests(TestCase):
    """`twistd sseserver` refuses to start on an unusable file: one line, an exit code, and an untouched file."""

    def setUp(self) -> None:
        """Make a folder."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "streams.db"

    def command(self, port: int) -> list[str]:
        """Return the command line of a server with a store."""
        return twistd("sseserver", f"--store=sqlite:{self.path}", f"--listen=tcp:{port}:interface=127.0.0.1")

    def refuse(self, words: str) -> None:
        """Run the server, and check that it refuses to start."""
        before = snapshot(self.folder)
        done = runServer(self.command(freePort()))
        self.assertNotEqual(done.returncode, 0)
        said = done.stderr.splitlines()
        self.assertEqual(len(said), 1, said)
        self.assertIn(f"sseserver: {self.path} ", said[0])
        self.assertIn(words, said[0])
        self.assertNotIn("Traceback", done.stdout)
        self.assertEqual(snapshot(self.folder), before)

    def test_foreign(self) -> None:
        """A file of another program is refused."""
        with sqlite3.connect(self.path) as connection:
            connection.execute("CREATE TABLE t (x)")
        connection.close()
        self.refuse("not a file of sseserver")

    def test_damaged(self) -> None:
        """A truncated file, such as a copy of a file in use, is refused."""
        self.assertEqual(openElsewhere(str(self.path)), "")
        self.path.write_bytes(self.path.read_bytes()[:3000])
        self.refuse("is damaged")

    def test_folder(self) -> None:
        """A folder is refused."""
        self.path.mkdir()
        self.refuse("directory")

    def test_used(self) -> None:
        """A file that another server has open is refused; that server goes on."""
        port = freePort()
        with serving(self.command(port), port, env=ENVIRONMENT) as first:
            # The server listens before its store is open, but answers only afterwards.
            self.assertEqual(ask(port, "PUT", "/streams/a")[0], 201)
            self.refuse("another process has it open")
            self.assertIsNone(first.poll())


class DiskTests(StoreTestCase):
    """A disk that is really full."""

    def mount(self) -> Path:
        """Make a small disk, and return its folder."""
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
        On a full disk publishes are refused as a whole and runs wait; stored entries stay.

        With room again both go on by themselves, and the next process finds exactly the accepted entries.
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
        self.assertEqual((published.last, len(published.buffer.entries)), (taken, taken))
        self.assertEqual(published.size + run.size, store.used)
        run.append(Kind.TOKEN, b"y" * 1_000_000)
        await deferLater(reactor, 1.5)
        self.assertEqual(run.last, 0)
        ballast.unlink()
        await run.awaitStored()
        published.append(Kind.DONE, b"{}")
        await published.awaitStored()
        await store.stop()
        again = self.makeStore(str(folder / "streams.db"))
        self.assertEqual((await again.find("published")).last, taken + 1)
        self.assertEqual((await again.find("run")).buffer.entries[0], b"y" * 1_000_000)
        await again.stop()
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)

    async def publishUntilFull(self, streamLog: IStreamLog) -> int:
        """Publish pairs of entries until one is refused, and return the number of accepted ones."""
        for taken in range(0, 1000, 2):
            for _ in range(2):
                streamLog.append(Kind.TOKEN, b"x" * 10_000)
            try:
                await streamLog.awaitStored()
            except StoreUnavailable:
                return taken
        raise AssertionError("The disk is not full.")
