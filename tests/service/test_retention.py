"""
Tests of `sseserver.service.retention`: how long ended streams are kept.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.internet.defer import fail

from sseserver.errors import StoreUnavailable
from sseserver.service.ledger import Ledger
from sseserver.service.retention import Retention
from sseserver.service.service import Settings
from sseserver.stores.memory import MemoryStore
from sseserver.streams.terminal import packDone
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind, Reason
from tests.fakes import ClockTestCase
from tests.service.cases import SLOT, ServiceTestCase


class KeepTests(ServiceTestCase):
    """How long an ended stream is kept."""

    settings = Settings(keep=600, linger=10_000, stall=10_000)

    def kept(self, *streamLogs: Any) -> list[bool]:
        """Tell which of the streams are still there."""
        found: list[Any] = []
        for streamLog in streamLogs:
            self.service.find(streamLog.name).addCallbacks(lambda _: True, lambda _: False).addCallback(found.append)
        return found

    def test_forgotten(self) -> None:
        """
        A stream is kept for its time after its end, not its start. Then it is deleted, and nothing
        refers to it any more.
        """
        streamLog = self.startLog()
        self.reactor.run(1000, 1)
        self.source.run.end()
        self.reactor.run(599.9, 1)
        self.assertEqual(self.kept(streamLog), [True])
        self.reactor.run(0.1 + SLOT)
        self.assertEqual(self.kept(streamLog), [False])
        gone = weakref.ref(streamLog)
        self.source.runs.clear()
        del streamLog
        gc.collect()
        self.assertIsNone(gone())

    def test_eachAtItsTime(self) -> None:
        """Streams are deleted in the order of their ends; an open stream stays."""
        logs = [self.startLog() for _ in range(4)]
        for run in self.source.runs[:3]:
            run.end()
            self.reactor.run(100, 1)
        self.reactor.run(301, 1)
        self.assertEqual(self.kept(*logs), [False, True, True, True])
        self.reactor.run(100, 1)
        self.assertEqual(self.kept(*logs), [False, False, True, True])
        self.reactor.run(1000, 1)
        self.assertEqual(self.kept(*logs), [False, False, False, True])

    def test_afterAQuietTime(self) -> None:
        """A stream that ends after all others were deleted is deleted at its time, too."""
        for _ in range(2):
            streamLog = self.startLog()
            self.source.run.end()
            self.reactor.run(601, 1)
            self.assertEqual(self.kept(streamLog), [False])

    def test_viewerOfAForgottenStream(self) -> None:
        """A viewer of a stream that is deleted reads it to its end."""
        streamLog = self.startLog()
        wire = self.watch(streamLog)
        wire.stall()
        self.source.run.write("x" * 100_000, "end")
        self.source.run.end()
        self.reactor.run(601, 1)
        self.assertEqual(self.kept(streamLog), [False])
        wire.take()
        self.assertEqual("".join(wire.response.texts), "x" * 100_000 + "end")
        self.assertEqual(wire.response.types[-1], "done")

    def test_storeThatFails(self) -> None:
        """
        A stream that the store cannot delete now is deleted later; the others are deleted at their
        times.
        """
        first = self.startLog()
        self.source.run.end()
        second = self.startLog()
        self.source.run.end()
        store = self.service.store
        delete = store.delete
        full = StoreUnavailable("Full.")
        patched = self.patch(store, "delete", lambda name, *epoch: fail(full) if name == first.name else delete(name))
        self.reactor.run(601, 1)
        self.assertEqual(self.kept(first, second), [True, False])
        patched.restore()
        self.reactor.run(601, 1)
        self.assertEqual(self.kept(first), [False])


class RoomTests(ClockTestCase):
    """The limits of the store."""

    def setUp(self) -> None:
        super().setUp()
        self.store = MemoryStore(self.clock, Settings().kept)
        self.forgotten: list[str] = []
        settings = Settings(maxStreams=3, maxBytes=20_000)
        sweep = Ticker(self.clock, SLOT)
        ledger = Ledger(settings, self.store, self.clock.seconds)
        self.retention = Retention(self.store, ledger, settings, sweep, self.forgotten.append)
        self.stopAtEnd(sweep.stop)
        self.retention.start([])

    def create(self, name: str, size: int = 0, ended: bool = True) -> Any:
        """Create a stream with one entry."""
        streamLog = self.successResultOf(self.store.create(name, True))
        if size:
            streamLog.append(Kind.TOKEN, b"x" * size)
        if ended:
            end = packDone(Reason.STOP, 1)
            streamLog.append(end.kind, end.data)
            self.retention.keepAfter(streamLog)
        return streamLog

    def test_makeRoom(self) -> None:
        """Ended streams are deleted, the oldest first, and no more than necessary."""
        epochs = [self.create(name).epoch for name in "abc"]
        self.assertTrue(self.retention.makeRoom(2, True))
        self.assertEqual((self.store.count, self.forgotten), (1, epochs[:2]))

    def test_noRoom(self) -> None:
        """
        Open streams stay, even if there is no room then.
        """
        ended = self.create("a").epoch
        self.create("b", 20_000, ended=False)
        self.assertFalse(self.retention.makeRoom(0, True))
        self.assertEqual((self.store.count, self.forgotten), (1, [ended]))
