"""
The contract of directories of keys, in a Redis.
"""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import IKeyDirectory
from sseserver.testing import KeyDirectoryContract
from tests.redisservers import findMissing

T = TypeVar("T")

if findMissing() is None:
    from sseserver.stores.redis.address import readAddress
    from sseserver.stores.redis.client import Client
    from sseserver.stores.redis.directory import RedisDirectory
    from sseserver.stores.redis.layout import Layout
    from tests.stores.redis.cases import Pump, sharedServer


class DirectoryTests(KeyDirectoryContract, SynchronousTestCase):
    """In a Redis."""

    skip = findMissing()

    def makeDirectory(self) -> IKeyDirectory:
        self.pump = Pump(Clock())
        self.client = Client(self.pump.reactor, readAddress(sharedServer().url))
        self.client.start()
        self.addCleanup(self.client.stop)
        self.pump.until(lambda: self.client.problem is None)
        return RedisDirectory(self.pump.reactor, self.client, Layout(), "starts", lambda: b"node")

    def settle(self) -> None:
        for _ in range(3):
            self.pump.until(lambda: self.client.awaiting == 0)

    def result(self, deferred: Deferred[T]) -> T:
        self.pump.until(lambda: deferred.called)
        return super().result(deferred)
