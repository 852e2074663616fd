"""
Tests of `sseserver.web.connection`: connections whose client does not take what it was sent.
"""

from __future__ import annotations

from typing import Any

from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.resource import IResource
from twisted.web.server import Request

from sseserver.web.connection import CLOSE_GRACE
from sseserver.web.site import IDLE_TIMEOUT, StreamSite
from tests.http import makeRequest
from tests.web.cases import HTTPTestCase
from tests.wires import Wire

#: Seconds. The stall limit of the site.
STALL = 8.0

#: More than a transport queues before it is full.
LARGE = b"x" * 100_000


class DeafPeer(ProtocolWrapper):
    """A transport that waits for its peer before it closes, as that of TLS does."""

    def loseConnection(self) -> None:
        """Wait for ever."""


class ConnectionTests(HTTPTestCase):
    """One connection to a resource with short answers; without speedups in the class below."""

    plain = False

    def setUp(self) -> None:
        super().setUp()
        self.asked = 0
        self.body = LARGE

        def answer(request: Request) -> bytes:
            self.asked += 1
            return self.body

        self.resource.answer = answer

    def site(self, resource: IResource) -> StreamSite:
        return StreamSite(resource, reactor=self.reactor, plain=self.plain, stall=STALL)

    def pipeline(self, count: int) -> Wire:
        """Send several requests at once on a connection that takes nothing."""
        wire = self.connect(self.factory)
        wire.stall()
        wire.methods += ["GET"] * count
        wire.send(makeRequest("/it") * count)
        return wire

    def test_F1_fullTransport(self) -> None:
        """F1: while a response waits for its transport, the next pipelined request is not begun."""
        wire = self.pipeline(5)
        self.assertEqual(self.asked, 1)
        wire.send(b"x" * 1000)
        self.assertEqual(wire.unread, 1000)
        wire.take(len(LARGE) + 10_000)
        self.assertEqual(self.asked, 2)
        wire.take()
        self.assertEqual(self.asked, 5)
        self.assertEqual([response.body for response in wire.responses[:5]], [LARGE] * 5)

    def test_F1_steadyReader(self) -> None:
        """F1: a client that reads slowly gets all of its responses."""
        wire = self.pipeline(3)
        for _ in range(31):
            wire.take(10_000)
            self.reactor.run(STALL / 2)
        self.assertEqual([response.complete for response in wire.responses], [True] * 3)
        self.assertFalse(wire.closed)

    def test_F2_stalledReader(self) -> None:
        """F2: a client that takes nothing of a held response is cut by the stall limit."""
        wire = self.pipeline(3)
        self.reactor.run(STALL - 1)
        self.assertFalse(wire.closed)
        self.reactor.run(2)
        self.assertTrue(wire.closed and wire.socket.reset)
        self.assertEqual(self.asked, 1)

    def test_F1_lostWhileHeld(self) -> None:
        """F1: a connection that breaks with a held response begins no other request."""
        wire = self.pipeline(3)
        wire.breakDown()
        self.reactor.turn()
        self.assertTrue(wire.closed)
        self.assertEqual(self.asked, 1)

    def test_F3_slowReaderIsNotIdle(self) -> None:
        """F3: the idle timer does not close a connection whose client still takes bytes."""
        self.body = b"x" * 1000
        wire = self.connect(self.factory)
        wire.socket.arrived = 0
        wire.ask("/it")
        for _ in range(5):
            self.reactor.run(IDLE_TIMEOUT - 5, 1)
            wire.socket.arrived += 10
            self.assertFalse(wire.closed)
        self.reactor.run(IDLE_TIMEOUT * 2, 1)
        self.assertTrue(wire.closed)

    def test_F3_idle(self) -> None:
        """F3: a connection whose client has everything is closed after the idle time."""
        wire = self.connect(self.factory)
        wire.ask("/it")
        self.reactor.run(IDLE_TIMEOUT - 1, 1)
        self.assertFalse(wire.closed)
        self.reactor.run(2)
        self.assertTrue(wire.closed)

    def test_F5_closing(self) -> None:
        """F5: a connection that closes after its response is cut if the client takes nothing, and not before."""
        for version, headers in (("1.0", {}), ("1.1", {"Connection": "close"})):
            wire = self.connect(self.factory)
            wire.stall()
            wire.begin("/it", version=version, headers=headers)
            for _ in range(4):
                self.reactor.run(STALL - 1)
                wire.take(10_000)
            self.assertFalse(wire.closed)
            self.reactor.run(STALL + 2)
            self.assertTrue(wire.closed and wire.socket.reset)

    def test_F5_refusal(self) -> None:
        """F5: the same holds for requests that twisted.web refuses."""
        wire = self.pipeline(1)
        wire.send(b"GET\r\n\r\n" * 2)
        self.reactor.run(STALL + 2)
        self.assertTrue(wire.closed)

    def test_F6_deafPeer(self) -> None:
        """F6: a closing connection whose peer has everything and does not close its end is cut after the grace."""
        factory = WrappingFactory(self.site(self.root))
        factory.protocol = DeafPeer
        wire = self.connect(factory)
        self.assertTrue(wire.ask("/it", headers={"Connection": "close"}).complete)
        self.reactor.run(CLOSE_GRACE - 1)
        self.assertFalse(wire.closed)
        self.reactor.run(2.5)
        self.assertTrue(wire.closed and wire.socket.reset)

    def test_closedInTime(self) -> None:
        """A connection that closes in good order leaves no timer."""
        wire = self.connect(self.factory)
        self.assertTrue(wire.ask("/it", headers={"Connection": "close"}).complete)
        self.assertTrue(wire.closed)
        self.assertFalse(wire.socket.reset)
        timers: list[Any] = self.reactor.getDelayedCalls()
        self.assertEqual(timers, [])


class PlainConnectionTests(ConnectionTests):
    """The same without speedups."""

    plain = True
