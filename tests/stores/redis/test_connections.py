"""
Connections to a Redis and their ends.

Tests of `sseserver.stores.redis.connection`, `sseserver.stores.redis.link`, `sseserver.stores.redis.client` and
`sseserver.stores.redis.handshake`.
"""

from __future__ import annotations

import signal

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.redisservers import RedisServer, findMissing

if findMissing() is None:
    from sseserver.stores.redis.address import Credentials, readAddress
    from sseserver.stores.redis.client import Client
    from sseserver.stores.redis.connection import Disconnected, Refused, describeLoss
    from sseserver.stores.redis.handshake import Unsuitable, checkServer
    from sseserver.stores.redis.nodescripts import LEASE
    from tests.stores.redis.cases import Pump


class ConnectionTests(SynchronousTestCase):
    """A client and its server."""

    skip = findMissing()

    def setUp(self) -> None:
        self.pump = Pump(Clock())

    def startServer(self, *options: str) -> RedisServer:
        """Start a server for this test only."""
        server = RedisServer(*options)
        self.addCleanup(server.remove)
        return server.start()

    def connect(self, server: RedisServer, credentials: Credentials | None = None, path: str = "") -> Client:
        """Connect to a server."""
        client = Client(self.pump.reactor, readAddress(server.url + path), credentials)
        client.start()
        self.addCleanup(client.stop)
        return client

    def test_commands(self) -> None:
        """Replies come in the order of the commands; an error is the failure of its own command."""
        client = self.connect(self.startServer())
        self.pump.until(lambda: client.up)
        asked = [client.ask("SET", b"a", b"\r\n"), client.ask("INCR", b"a"), client.ask("GET", b"a")]
        self.assertEqual(self.pump.result(asked[0]), b"OK")
        with self.assertRaises(Refused) as caught:
            self.pump.result(asked[1])
        self.assertEqual((caught.exception.word, self.pump.result(asked[2])), ("ERR", b"\r\n"))

    def test_scripts(self) -> None:
        """A script runs although somebody has flushed the scripts."""
        client = self.connect(self.startServer())
        self.pump.until(lambda: client.up)
        self.pump.result(client.ask("SCRIPT", b"FLUSH"))
        self.assertEqual(self.pump.result(client.run(LEASE, [b"nodes"], (b"n", 10)))[:2], [1, []])

    def test_channels(self) -> None:
        """Messages of followed channels come, and no others."""
        client = self.connect(self.startServer())
        confirmed: list[bytes] = []
        messages: list[tuple[bytes, bytes]] = []
        client.onConfirmed = confirmed.append
        client.onMessage = lambda channel, data: messages.append((channel, data))
        self.pump.until(lambda: client.problem is None)
        client.follow(b"a", b"b")
        client.listen(b"c")
        self.pump.until(lambda: len(confirmed) == 3)
        client.leave(b"b")
        for channel, command in ((b"a", "SPUBLISH"), (b"b", "SPUBLISH"), (b"c", "PUBLISH")):
            self.pump.result(client.ask(command, channel, b"x"))
        self.pump.until(lambda: len(messages) >= 2)
        self.assertEqual(messages, [(b"a", b"x"), (b"c", b"x")])

    def test_credentials(self) -> None:
        """A password is sent; a wrong one is the reason why there is no connection."""
        server = self.startServer("requirepass secret")
        good, bad, none = (self.connect(server, Credentials(word)) for word in ("secret", "wrong", ""))
        self.pump.until(
            lambda: good.up and "credentials" in (bad.problem or "") and "credentials" in (none.problem or "")
        )
        self.assertFalse(bad.up or none.up)

    def test_policy(self) -> None:
        """A server that evicts streams is refused, and the client says once that it is unfit."""
        client = self.connect(self.startServer("maxmemory-policy allkeys-lru"))
        unfit: list[Unsuitable] = []
        client.onUnfit = unfit.append
        self.pump.until(lambda: "allkeys-lru" in (client.problem or ""))
        self.pump.until(lambda: client.awaiting == 0)
        self.assertFalse(client.up)
        self.assertEqual([str(each) for each in unfit], [client.problem])
        self.assertIn("Set maxmemory-policy to noeviction", str(unfit[0]))

    def test_policyLater(self) -> None:
        """A server that is made to evict streams while it is used is not used; the process is not told to end."""
        server = self.startServer()
        client = self.connect(server)
        unfit: list[Unsuitable] = []
        client.onUnfit = unfit.append
        self.pump.until(lambda: client.problem is None)
        server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        server.command("CLIENT", "KILL", "TYPE", "normal")
        self.pump.until(lambda: "allkeys-lfu" in (client.problem or ""))
        server.command("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
        self.pump.until(lambda: client.problem is None)
        self.assertEqual(unfit, [])

    def test_unsuitable(self) -> None:
        """Old servers, and servers that load their data are refused."""
        good = {"redis_version": "7.0.15", "role": "master", "run_id": "r", "master_replid": "m", "aof_enabled": "1"}
        self.assertEqual((checkServer(good).generation, checkServer(good).durable), (b"r:m", True))
        self.assertEqual(checkServer({**good, "valkey_version": "8.1.0"}).version, "8.1.0")
        wrong = ("redis_version", "6.2.1"), ("loading", "1")
        for name, value in wrong:
            with self.assertRaises(Unsuitable):
                checkServer({**good, name: value})

    def test_outage(self) -> None:
        """A client waits for its server, fails commands meanwhile, and connects again."""
        server = self.startServer()
        client = self.connect(server)
        self.pump.until(lambda: client.problem is None)
        lost: list[bool] = []
        client.onUp = lost.append
        server.kill()
        self.pump.until(lambda: not client.up)
        with self.assertRaises(Disconnected):
            self.pump.result(client.ask("EXISTS", b"a"))
        self.assertIsNotNone(client.problem)
        server.start()
        self.pump.until(lambda: client.problem is None)
        self.assertEqual(self.pump.result(client.ask("EXISTS", b"a")), 0)
        self.assertEqual(lost, [True])

    def test_frozen(self) -> None:
        """A server that stands still is noticed after some seconds, with and without a command."""
        server = self.startServer()
        client = self.connect(server)
        self.pump.until(lambda: client.problem is None)
        server.signal(signal.SIGSTOP)
        with self.assertRaises(Disconnected):
            self.pump.result(client.ask("EXISTS", b"a"))
        self.pump.until(lambda: client.problem is not None)
        server.signal(signal.SIGCONT)
        self.pump.until(lambda: client.problem is None)


class LossTests(SynchronousTestCase):
    """Messages about lost connections."""

    skip = findMissing()

    def test_tls(self) -> None:
        """A failure of TLS is named: its operator must do something about it."""
        for error, expected in (
            (ConnectionLost(), "The connection to the store was lost."),
            (SSL.Error(), "The connection to the store was lost."),
            (
                SSL.Error([("SSL routines", "", "certificate verify failed")]),
                "TLS .* failed: certificate verify failed",
            ),
            (VerificationError(errors=[]), "TLS .* host name"),
        ):
            self.assertRegex(describeLoss(Failure(error)), expected)
