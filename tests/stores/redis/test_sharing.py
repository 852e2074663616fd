"""
The contracts of directories and of limits, on those of a store on a real Redis.

Tests of `sseserver.stores.redis.directory` and `sseserver.stores.redis.limits`.
"""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import ICounts, IKeyDirectory, IRate
from sseserver.testing import CountsContract, KeyDirectoryContract, RateContract
from tests.redisservers import findMissing

T = TypeVar("T")

if findMissing() is None:
    from sseserver.stores.redis.limits import SharedRate
    from tests.stores.redis.cases import Pump, sharedServer


class DirectoryTests(KeyDirectoryContract, SynchronousTestCase):
    """A directory in a Redis."""

    skip = findMissing()

    def makeDirectory(self) -> IKeyDirectory:
        self.pump = Pump(Clock())
        self.store = self.pump.makeStore(sharedServer(), 8000)
        self.store.start()
        self.pump.until(lambda: self.store.findProblem() is None)
        return self.store.makeDirectory("starts")

    def settle(self) -> None:
        for _ in range(3):
            self.pump.run(0.1)
            self.pump.until(lambda: self.store.client.awaiting == 0)

    def tearDown(self) -> None:
        self.pump.result(self.store.stop())


class RateTests(RateContract, SynchronousTestCase):
    """The buckets of all processes."""

    skip = findMissing()

    def makeRate(self, period: float) -> IRate:
        return SharedRate(self.clock.seconds, period)


class CountsTests(CountsContract, SynchronousTestCase):
    """The counts of all processes."""

    skip = findMissing()

    def makeCounts(self) -> ICounts:
        return Pump(Clock()).makeStore(sharedServer(), 8000).limits.makeCounts("viewers")
