"""
Stores on a real Redis, in tests that wait for their results.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock

from sseserver.stores.redis.address import readAddress
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.store import RedisStore, StoreTerms
from tests.redisclusters import RedisCluster
from tests.redisservers import RedisServer

T = TypeVar("T")

#: Seconds of real time after which a test fails that waits for something.
PATIENCE = 60.0

#: Seconds. The leases in these tests.
LEASE = 0.5

_shared: list[RedisServer] = []
_clusters: list[RedisCluster] = []


def sharedServer() -> RedisServer:
    """Return the server that all tests use which do not harm it; empty it."""
    if not _shared:
        _shared.append(RedisServer().start())
        atexit.register(_shared[0].remove)
    _shared[0].command("FLUSHALL")
    return _shared[0]


def sharedCluster() -> RedisCluster:
    """Return the cluster that all tests use which do not harm it; empty it."""
    if not _clusters:
        _clusters.append(RedisCluster(0).start())
        atexit.register(_clusters[0].remove)
    _clusters[0].empty()
    return _clusters[0]


class HasURL(Protocol):
    """A Redis of any kind."""

    url: str


class Pump:
    """
    Runs a reactor of its own, and a `Clock`, until something has happened.

    Attributes:
        reactor: The reactor of the connections.
        clock: The clock of the stores; it runs as the pump does.
    """

    #: Its own: the reactor of the process cannot be run here.
    reactor: Any = EPollReactor()

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def run(self, seconds: float) -> None:
        """Run for some time on the clock: everything that is in Redis meanwhile has come."""
        steps = 20
        for _ in range(steps):
            self.clock.advance(seconds / steps)
            self.reactor.iterate(0.0005)

    def until(self, condition: Callable[[], object]) -> None:
        """
        Run until a condition holds.

        Args:
            condition: The condition.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "It did not happen."
            self.clock.advance(0.002)
            self.reactor.iterate(0.001)

    def result(self, deferred: Deferred[T]) -> T:
        """Run until a Deferred fires, and return its result, or raise its exception."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.until(lambda: results)
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]  # type: ignore[no-any-return]

    def makeStore(self, server: HasURL, window: int = 8000, **keywords: Any) -> RedisStore:
        """Make a store on a server. Its leases are short."""
        terms = StoreTerms(window, **keywords)
        store = RedisStore(self.clock, Client(self.reactor, readAddress(server.url)), terms)
        store.session.node.lease = LEASE
        return store
