"""
The base of tests with stores on a real cluster.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.redisservers import findMissing

if findMissing() is None:
    from sseserver.stores.redis.store import RedisStore
    from tests.redisclusters import RedisCluster
    from tests.stores.redis.cases import Pump


class ClusterCase(SynchronousTestCase):
    """Two stores on a cluster."""

    skip = findMissing()

    def setUp(self) -> None:
        self.pump = Pump(Clock())
        self.stores: list[RedisStore] = []

    def startStores(self, cluster: RedisCluster) -> None:
        """Start two stores. Their leases are long: these processes do not die."""
        for _ in range(2):
            store = self.pump.makeStore(cluster, 100_000)
            store.session.node.lease = 60.0
            store.start()
            self.stores.append(store)
        self.awaitStores()

    def awaitStores(self) -> None:
        """Wait until all stores work."""
        self.pump.until(lambda: all(store.findProblem() is None for store in self.stores))

    def tearDown(self) -> None:
        for store in self.stores:
            self.pump.result(store.stop())
        self.assertEqual(self.pump.clock.getDelayedCalls(), [])
