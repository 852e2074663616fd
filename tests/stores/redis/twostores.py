"""
The base of tests with two stores on one Redis.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.redisservers import findMissing

if findMissing() is None:
    from sseserver.stores.redis.store import RedisStore
    from tests.stores.redis.cases import HasURL, Pump


class TwoStoresCase(SynchronousTestCase):
    """Two stores on one Redis."""

    skip = findMissing()

    def setUp(self) -> None:
        self.pump = Pump(Clock())
        self.stores: list[RedisStore] = []

    def startStores(self, server: HasURL, window: int = 8000, lease: float = 60.0) -> None:
        """
        Start both stores.

        Args:
            server: The Redis.
            window: Bytes that each stream keeps.
            lease: Seconds. By default long: these processes do not die.
        """
        for _ in range(2):
            store = self.pump.makeStore(server, window)
            store.session.node.lease = lease
            store.start()
            self.stores.append(store)
        self.awaitStores()

    def awaitStores(self) -> None:
        """Wait until both stores work."""
        self.pump.until(lambda: all(store.findProblem() is None for store in self.stores))

    def tearDown(self) -> None:
        for store in self.stores:
            self.pump.result(store.stop())
        self.assertEqual(self.pump.clock.getDelayedCalls(), [])
