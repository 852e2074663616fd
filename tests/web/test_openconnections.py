"""
Tests of `sseserver.web.openconnections`: the number of connections is bounded.
"""

from __future__ import annotations

from sseserver.web.openconnections import OpenConnections
from sseserver.web.peers import Peers
from sseserver.web.site import StreamSite
from tests.fakes import logged
from tests.resources import HoldingResource
from tests.wires import Wire, WireTestCase

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class ConnectionTests(WireTestCase):
    """F15: connections are counted from `accept` on, and bounded."""

    def setUp(self) -> None:
        super().setUp()
        self.held = HoldingResource()
        self.factory = StreamSite(self.held, reactor=self.reactor, peers=Peers(maxConnections=3))

    def open(self, data: bytes = b"") -> Wire:
        """Connect, and send something."""
        wire = self.connect(self.factory)
        if data:
            wire.send(data)
        self.reactor.advance(0)
        return wire

    def test_F15_refused(self) -> None:
        """If all connections have a request, a new one is closed at once, without an answer."""
        busy = [self.open(GET) for _ in range(3)]
        refused = self.open(GET)
        self.assertEqual((refused.closed, refused.received), (True, b""))
        self.assertEqual([wire.closed for wire in busy], [False] * 3)
        self.assertEqual(self.factory.connections.count, 3)
        busy[0].close()
        self.assertFalse(self.open(GET).closed)

    def test_F15_makesRoom(self) -> None:
        """The connection that has waited longest for a request makes room for a new one."""
        slow = self.open(b"GET / HTTP/1.1\r\nX: ")
        busy = self.open(GET)
        idle = self.open(GET)
        self.held.requests[-1].finish()
        slow.send(b"a")
        self.assertFalse(self.open(GET).closed)
        self.assertEqual((slow.closed, busy.closed, idle.closed), (True, False, False))
        self.assertFalse(self.open(GET).closed)
        self.assertEqual((busy.closed, idle.closed), (False, True))
        self.assertTrue(self.open(GET).closed)
        self.assertEqual(self.factory.connections.count, 3)

    def test_F15_unsent(self) -> None:
        """A connection whose client has not taken its last response does not make room."""
        slow, later = self.open(GET), self.open(GET)
        for wire, request in zip((slow, later), list(self.held.requests), strict=True):
            wire.socket.room = 0 if wire is slow else None
            request.write(b"x" * 5000)
            request.finish()
        self.open(GET)
        self.assertFalse(self.open(GET).closed)
        self.assertEqual((slow.closed, later.closed), (False, True))
        self.assertTrue(self.open(GET).closed)
        slow.take()
        self.assertIn(b"x" * 5000, slow.received)

    def test_F15_descriptorIsFree(self) -> None:
        """The socket of the connection that makes room is closed before the new one is taken."""
        first = self.open()
        for _ in range(2):
            self.open(GET)
        self.factory.buildProtocol(None)
        self.assertTrue(first.socket.closed)

    def test_F15_count(self) -> None:
        """Each connection that ends is counted down, however it ends."""
        for data in (b"", b"G", GET):
            wire = self.open(data)
            self.assertEqual(self.factory.connections.count, 1)
            wire.close()
            self.reactor.advance(0)
            self.assertEqual(self.factory.connections.count, 0)
        self.open()
        self.reactor.run(11)
        self.assertEqual((self.factory.connections.count, self.factory.connections.waiting), (0, {}))

    def test_F15_log(self) -> None:
        """Refused connections are logged, but not each of them: a line has the number of all so far."""
        connections = OpenConnections(0, self.reactor)
        with logged() as events:
            for _ in range(100):
                self.assertFalse(connections.admit())
                self.reactor.advance(0.25)
        refused = [event["refused"] for event in events if "refused" in event]
        self.assertEqual(refused, [1, 41, 81])
