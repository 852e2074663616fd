"""
A loss of power: what is left of the files of the SQLite store, and what the next server finds in it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import StreamNotFound
from sseserver.interfaces import IStreamLog
from sseserver.stores.sqlite import SQLiteStore
from sseserver.stores.sqlite.database import Database
from sseserver.streams.buffer import joinText
from sseserver.values import Kind, NewEntry
from tests.simulation.chance import Patches
from tests.simulation.disk import Disk

WINDOW = 1 << 24

#: Bytes of an entry: some checkpoints are made meanwhile.
SIZE = 40_000

#: Number of entries, and number of losses of power that are tried after each some of them.
ENTRIES, EVERY, TRIES = 130, 13, 5


class PowerTests(SynchronousTestCase):
    """The promises of `--sync normal` and `--sync full`, on a disk that loses what it may lose."""

    def play(self, full: bool, look: Callable[[Disk, list[str], int], None]) -> None:
        """
        Publish entries, and look at what the disk has after some of them.

        Args:
            full: Whether the store runs with `synchronous=FULL`.
            look: Called with the disk, the entries that were acknowledged, and the number of those that a checkpoint
                has taken to the disk.
        """
        clock = Clock()
        with Patches(7, clock.seconds) as patches:
            disk = Disk(Random(7), patches, full)
            self.addCleanup(disk.remove)
            patches.boot = lambda: disk.boot
            kept = [0]
            acknowledged: list[str] = []

            def inThread(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
                result = maybeDeferred(function, *arguments)
                if function.__name__ == "commit":
                    if disk.written():
                        kept[0] = len(acknowledged)
                    disk.acknowledged()
                return result

            store = SQLiteStore(clock, disk.path, WINDOW, inThread, full=full)
            store.start()
            disk.started()
            created = store.create("a", True)
            clock.advance(0)
            self.epoch = self.successResultOf(created).epoch
            for number in range(ENTRIES):
                data = f"{number}:".ljust(SIZE, "x")
                published = store.publish("a", [NewEntry(Kind.TOKEN, data.encode())], False, None)
                clock.advance(1)
                self.successResultOf(published)
                acknowledged.append(data)
                if number % EVERY == EVERY - 1:
                    look(disk, acknowledged, kept[0])
            disk.losePower()
            look(disk, acknowledged, kept[0])

    def recover(self, path: str, full: bool) -> IStreamLog | None:
        """Let the next server open the files; return its log of the stream, if there is one."""
        clock = Clock()
        store = SQLiteStore(clock, path, WINDOW, maybeDeferred, full=full)
        store.start()
        found: list[IStreamLog] = []
        store.find("a").addCallback(found.append).addErrback(lambda failure: failure.trap(StreamNotFound))
        stopped = store.stop()
        clock.advance(0)
        self.successResultOf(stopped)
        return found[0] if found else None

    def read(self, streamLog: IStreamLog | None) -> list[str]:
        """Return the entries of a stream."""
        if streamLog is None:
            return []
        text = joinText(streamLog.buffer, 1, streamLog.last).decode()
        return [text[start : start + SIZE] for start in range(0, len(text), SIZE)]

    def test_full(self) -> None:
        """With `full` every entry that was acknowledged is there."""

        def look(disk: Disk, acknowledged: list[str], kept: int) -> None:
            for _ in range(TRIES):
                path = disk.copy(disk.lose())
                self.assertEqual(self.read(self.recover(path, True)), acknowledged)
                disk.discard(path)

        self.play(True, look)

    def test_normal(self) -> None:
        """With `normal` the latest entries may be lost, but none before the last checkpoint, and none in between."""
        counts = set()

        def look(disk: Disk, acknowledged: list[str], kept: int) -> None:
            for _ in range(TRIES):
                path = disk.copy(disk.lose())
                read = self.read(self.recover(path, False))
                self.assertEqual(read, acknowledged[: len(read)])
                self.assertGreaterEqual(len(read), kept)
                counts.add(len(acknowledged) - len(read))
                disk.discard(path)

        self.play(False, look)
        # The disk did lose something, and never all.
        self.assertGreater(len(counts), 5)
        self.assertLess(max(counts), ENTRIES)

    def test_synchronous(self) -> None:
        """SQLite synchronizes each commit with `full`, and otherwise at checkpoints."""
        for full, level in ((False, 1), (True, 2)):
            database = Database(self.mktemp(), full)
            self.assertEqual(database.connection.execute("PRAGMA synchronous").fetchone(), (level,))
            database.close()

    def test_epochs(self) -> None:
        """The stream keeps its epoch with `full`. With `normal` it gets a new one: its last entries may be lost."""
        for full in (True, False):
            epochs = []

            def look(disk: Disk, acknowledged: list[str], kept: int) -> None:
                if disk.losses:
                    streamLog = self.recover(disk.path, full)  # noqa: B023
                    epochs.append(streamLog and streamLog.epoch)  # noqa: B023

            self.play(full, look)
            self.assertEqual(len(epochs), 1)
            self.assertEqual(epochs[0] == self.epoch, full)

    def test_otherWay(self) -> None:
        """The server that wrote the file decides: `full` at the next start keeps no epoch of a `normal` one."""
        for before in (True, False):
            epochs = []

            def look(disk: Disk, acknowledged: list[str], kept: int) -> None:
                if disk.losses:
                    streamLog = self.recover(disk.path, not before)  # noqa: B023
                    epochs.append(streamLog and streamLog.epoch)  # noqa: B023

            self.play(before, look)
            self.assertEqual(epochs[0] == self.epoch, before)
