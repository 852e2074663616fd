"""
The contract of stores, on a real Redis and on a real cluster.

Tests of `sseserver.stores.redis.store`, `sseserver.stores.redis.registry` and `sseserver.stores.redis.listing`.
"""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import IStreamStore
from sseserver.testing import StoreContract
from sseserver.values import EndedStream
from tests.redisservers import findMissing

T = TypeVar("T")

if findMissing() is None:
    from sseserver.stores.redis.layout import Layout
    from tests.stores.redis.cases import Pump, sharedCluster, sharedServer


class RedisStoreTests(StoreContract, SynchronousTestCase):
    """In a Redis."""

    skip = findMissing()
    survives = True
    shared = True

    def setUp(self) -> None:
        self.server = self.makeServer()
        super().setUp()
        self.pump.until(lambda: self.store.findProblem() is None)

    def makeServer(self) -> Any:
        """Return an empty Redis."""
        return sharedServer()

    def makeStore(self, window: int) -> IStreamStore:
        if not hasattr(self, "pump"):
            self.pump = Pump(self.clock)
        return self.pump.makeStore(self.server, window)

    def settle(self) -> None:
        for _ in range(3):
            self.pump.run(0.1)
            self.pump.until(lambda: self.store.client.awaiting == 0)

    def result(self, deferred: Deferred[T]) -> T:
        self.pump.run(0.1)
        self.pump.until(lambda: deferred.called)
        self.settle()
        return self.successResultOf(deferred)

    def crash(self) -> None:
        """Its connections end without a word."""
        self.store.client.stop()
        self.result(self.store.stop())

    def test_afterStop(self) -> None:
        """Answers of groups that were on their way at the stop let no further group be written; a start does."""
        writer, clock = self.store.session.writer, self.pump.clock
        self.result(self.store.stop())
        before = list(clock.getDelayedCalls())
        writer.schedule()
        self.assertEqual(clock.getDelayedCalls(), before)
        self.store.start()
        writer.schedule()
        self.assertIn("Writer._writeGroups", str([str(call) for call in clock.getDelayedCalls()]))
        self.awaitStart()

    def restart(self) -> list[EndedStream]:
        super().restart()
        return self.awaitStart()

    def startAfterCrash(self) -> list[EndedStream]:
        super().startAfterCrash()
        return self.awaitStart()

    def awaitStart(self) -> list[EndedStream]:
        """Wait until the store is connected, and the runs of dead ones have ended."""
        self.pump.until(lambda: self.store.findProblem() is None)
        base = Layout().findBase
        self.pump.until(lambda: not any(self.server.call("EXISTS", base(n) + b"runs") for n in range(64)))
        listed = self.result(self.store.list(100))
        return sorted(EndedStream(each.ended, each.name, each.epoch, each.published) for each in listed if each.ended)


class ClusterStoreTests(RedisStoreTests):
    """In a cluster of three."""

    def makeServer(self) -> Any:
        return sharedCluster()
