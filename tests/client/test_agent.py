"""
Tests for `sseserver.client.agent`: name resolution, and connections on this machine. test_upstream.py covers
the pool.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet import reactor as realReactor
from twisted.internet.error import TimeoutError
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.error import SchemeNotSupported

from sseserver.client.agent import LONGEST_HEAD, PlainConnecting, chooseConnecting, makeAgent, makeConnections
from sseserver.client.bodies import BytesProducer, readBodyStart
from sseserver.options import defaultOf
from sseserver.speedups.connecting import FastConnecting

reactor: Any = realReactor


class AgentTests(SynchronousTestCase):
    """An agent on a fake reactor."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.agent = makeAgent(self.reactor, 7.0)
        self.lookedUp: list[str] = []

        def resolve(receiver: Any, name: str, *arguments: object, **more: object) -> Any:
            self.lookedUp.append(name)
            return receiver

        self.patch(self.reactor.nameResolver, "resolveHostName", resolve)

    def connecting(self, url: bytes) -> list[tuple[Any, ...]]:
        """Request a URL, and return host and port of each connection."""
        self.asked = self.agent.request(b"GET", url)
        self.asked.addErrback(lambda failure: failure.type)
        return [(host, port) for host, port, _, _, _ in self.reactor.tcpClients]

    def test_digits(self) -> None:
        """An IP address is connected to at once, without name resolution."""
        self.assertEqual(self.connecting(b"http://127.0.0.1:81/"), [("127.0.0.1", 81)])
        self.assertEqual(self.connecting(b"http://[::1]:82/")[1:], [("::1", 82)])
        self.assertEqual(self.lookedUp, [])

    def test_name(self) -> None:
        """A host name is resolved."""
        self.assertEqual(self.connecting(b"http://localhost:81/"), [])
        self.assertEqual(self.lookedUp, ["localhost"])

    def test_tls(self) -> None:
        """The same holds for TLS."""
        self.assertEqual(self.connecting(b"https://127.0.0.1/"), [("127.0.0.1", 443)])
        self.connecting(b"https://localhost/")
        self.assertEqual(self.lookedUp, ["localhost"])

    def test_F127_limit(self) -> None:
        """F127: a connection has its time, to which a pause of the process does not count; then it fails."""
        for url in (b"http://127.0.0.1:81/", b"http://localhost:81/", b"https://127.0.0.1/"):
            self.connecting(url)
            self.reactor.pump([0.5] * 13)
            self.reactor.advance(60)
            self.assertNoResult(self.asked)
            self.reactor.pump([0.5] * 20)
            self.assertIs(self.successResultOf(self.asked), TimeoutError, url)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_otherScheme(self) -> None:
        """Any scheme but `http` and `https` is refused."""
        self.failureResultOf(self.agent.request(b"GET", b"ftp://127.0.0.1/"), SchemeNotSupported)


class PlainTests(TestCase):
    """The choice of a way to connect, and the plain one on a real reactor."""

    def test_choice(self) -> None:
        """`plain` decides, or else the environment."""
        self.assertIsInstance(chooseConnecting(True), PlainConnecting)
        self.assertIsInstance(chooseConnecting(False), FastConnecting)
        expected = PlainConnecting if defaultOf("plain") else FastConnecting
        self.assertIsInstance(chooseConnecting(), expected)

    async def test_connections(self) -> None:
        """Plain connections are made by the reactor, and used again."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/".encode()
        connections = makeConnections(reactor, 7.0, plain=True)
        pool: Any = connections.pool
        asked: Any = connections.agent.request(b"POST", url, None, BytesProducer(b"body"))
        self.assertRaises(BlockingIOError, server.accept)
        peer, _ = await self.turn(server.accept)
        self.addCleanup(peer.close)
        peer.setblocking(False)
        for _ in range(2):
            received = await self.turn(lambda: peer.recv(65536))
            self.assertTrue(received.endswith(b"\r\n\r\nbody"))
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            self.assertEqual(await readBodyStart(reactor, await asked, 100), b"ok")
            asked = connections.agent.request(b"POST", url, None, BytesProducer(b"body"))
        asked.cancel()
        await self.assertFailure(asked, ResponseNeverReceived)
        await pool.closeCachedConnections()

    async def test_longHead(self) -> None:
        """A response whose head does not end is aborted; so is one that is announced for ever."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/".encode()
        for plain in (True, False):
            for begin, line in ((b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")):
                connections = makeConnections(reactor, 7.0, plain=plain)
                asked: Any = connections.agent.request(b"GET", url)
                peer, _ = await self.turn(server.accept)
                self.addCleanup(peer.close)
                peer.setblocking(False)
                ended: list[Any] = []
                asked.addBoth(ended.append)
                left = begin + line * (4 * LONGEST_HEAD // len(line))
                with contextlib.suppress(ConnectionError):
                    while left and not ended:
                        left = left[await self.turn(partial(peer.send, left[:65536])) :]
                while not ended:
                    await deferLater(reactor, 0.001)
                self.assertIs(ended[0].type, ResponseFailed)

    async def turn(self, act: Callable[[], Any]) -> Any:
        """Let the reactor turn until an act on a socket does not block, and return its result."""
        while True:
            try:
                return act()
            except BlockingIOError:
                await deferLater(reactor, 0.001)
