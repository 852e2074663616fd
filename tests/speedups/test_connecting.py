"""Tests for `sseserver.speedups.connecting`: a server on this machine and a real reactor."""

from __future__ import annotations

import errno
import socket
from typing import Any
from unittest.mock import patch

from twisted.internet import reactor as realReactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase
from twisted.web.client import ResponseNeverReceived
from twisted.web.iweb import IResponse

from sseserver.client.agent import ConnectionPool, makeAgent
from sseserver.client.bodies import BytesProducer, readBodyStart

reactor: Any = realReactor


class LoopbackTests(TestCase):
    """Connections and requests over IPv4."""

    host = "127.0.0.1"

    def setUp(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            self.server = socket.create_server((self.host, 0), family=family)
        except OSError:
            raise SkipTest(f"There is no {self.host} on this system.") from None
        self.server.setblocking(False)
        self.port = self.server.getsockname()[1]
        self.pool = ConnectionPool(reactor, plain=False)
        self.agent = makeAgent(reactor, 7.0, self.pool, plain=False)

    async def tearDown(self) -> None:
        self.server.close()
        await self.pool.closeCachedConnections()

    def ask(self, body: bytes) -> Deferred[IResponse]:
        """Send a request."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        asked: Deferred[IResponse] = self.agent.request(
            b"POST", f"http://{host}:{self.port}/".encode(), None, BytesProducer(body)
        )
        return asked

    async def test_atOnce(self) -> None:
        """
        A request is sent before the reactor turns, on a new connection and on one that is used
        again.
        """
        asked = self.ask(b"first")
        peer, _ = self.server.accept()
        peer.setblocking(False)
        for body in (b"first", b"second"):
            self.assertTrue(peer.recv(65536).endswith(b"\r\n\r\n" + body))
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            self.assertEqual(await readBodyStart(reactor, await asked, 100), b"ok")
            asked = self.ask(b"second")
        asked.cancel()
        await self.assertFailure(asked, ResponseNeverReceived)
        peer.close()

    async def test_large(self) -> None:
        """A request that the kernel takes in parts is sent completely."""
        body = b"x" * 8_000_000
        asked = self.ask(body)
        peer, _ = self.server.accept()
        peer.setblocking(False)
        received = bytearray()
        for _ in range(10_000):
            try:
                received += peer.recv(1 << 20)
            except BlockingIOError:
                await deferLater(reactor, 0.001)
            if received.endswith(b"\r\n\r\n" + body):
                break
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.assertEqual(await readBodyStart(reactor, await asked, 100), b"ok")
        peer.close()

    async def test_noDescriptor(self) -> None:
        """A connection that cannot be made at once is made by the reactor."""

        def adopt(*arguments: object) -> None:
            raise OSError(errno.EMFILE, "too many")

        with patch.object(reactor, "adoptStreamConnection", adopt):
            asked = self.ask(b"body")
        self.server.accept()[0].close()
        await deferLater(reactor, 0.01)
        peer, _ = self.server.accept()
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.assertEqual(await readBodyStart(reactor, await asked, 100), b"ok")
        peer.close()

    async def test_refused(self) -> None:
        """A refused connection is reported as by the reactor."""
        self.server.close()
        await self.assertFailure(self.ask(b""), ConnectionRefusedError)


class LoopbackIPv6Tests(LoopbackTests):
    """The same over IPv6."""

    host = "::1"
