"""
Sentinels that name the master of a Redis; fail-overs are in `tests.integration.test_redis_sentinel`.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.redisservers import findMissing

if findMissing() is None:
    from sseserver.stores.redis.address import Address, Credentials, readAddress
    from sseserver.stores.redis.client import Client
    from tests.redissentinels import WatchedRedis
    from tests.stores.redis.cases import Pump


class NamingTests(SynchronousTestCase):
    """A master, a replica and a Sentinel."""

    skip = findMissing()

    def setUp(self) -> None:
        self.pump = Pump(Clock())
        self.redis = WatchedRedis()
        self.addCleanup(self.redis.remove)
        self.redis.start()

    def test_unknown(self) -> None:
        """An unknown service is the problem of the store."""
        address = readAddress(self.redis.url)
        client = Client(self.pump.reactor, Address(address.servers, service="other"))
        client.start()
        self.addCleanup(client.stop)
        self.pump.until(lambda: "does not know this service" in (client.problem or ""))

    def test_password(self) -> None:
        """A Sentinel that wants a password gets that of the Redis."""
        self.assertEqual(self.redis.sentinel.call("ACL", "SETUSER", "default", "resetpass", ">secret"), b"OK")
        for server in (self.redis.replica, self.redis.master):
            server.call("CONFIG", "SET", "requirepass", "secret")
        address = readAddress(self.redis.url)
        good, bad = (
            Client(self.pump.reactor, address, credentials) for credentials in (Credentials("secret"), Credentials("x"))
        )
        for client in (good, bad):
            client.start()
            self.addCleanup(client.stop)
        self.pump.until(lambda: good.problem is None)
        self.pump.until(lambda: "WRONGPASS" in (bad.problem or ""))
