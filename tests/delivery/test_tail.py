"""
Tests of `sseserver.delivery.tail`: the bytes of finished responses.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory

from sseserver.delivery.tail import INTERVAL, LARGE, Tail, Tails
from tests.certificates import makeCertificate
from tests.tlswires import TLSWire
from tests.wires import Wire, WireTestCase

#: Seconds. The limit, and the grace.
LIMIT = 20.0
GRACE = 5.0


class Factory:
    """Makes protocols that do nothing, and has the newest."""

    def buildProtocol(self, address: object) -> Protocol:
        self.made = Protocol()
        return self.made

    def doStart(self) -> None:
        """See `Factory.doStart` of Twisted."""

    doStop = doStart


class TailCase(WireTestCase):
    """Connections with bytes on their way."""

    def setUp(self) -> None:
        super().setUp()
        self.ended: list[Tail] = []

    def wire(self, size: int = 1000, room: int | None = None) -> Wire:
        """Make a connection, write to it, and let nothing be acknowledged."""
        wire = self.connect(Factory())
        wire.socket.room = room
        wire.socket.arrived = 0
        wire.transport.write(b"x" * size)
        self.reactor.turn()
        return wire


class TailTests(TailCase):
    """One tail."""

    def tail(self, wire: Wire, grace: float | None = None) -> Tail:
        """Watch a connection."""
        return Tail(wire.transport, self.reactor, LIMIT, self.ended.append, grace)

    def test_acknowledged(self) -> None:
        """A tail ends when everything is acknowledged; the connection stays."""
        wire = self.wire()
        tail = self.tail(wire)
        self.reactor.run(LIMIT - 1)
        self.assertEqual(self.ended, [])
        wire.socket.arrived = None
        self.reactor.run(2)
        self.assertEqual(self.ended, [tail])
        self.assertFalse(wire.closed)

    def test_F3_steady(self) -> None:
        """F3: a peer that takes some bytes within each limit is not cut."""
        wire = self.wire(room=100)
        tail = self.tail(wire)
        for number in range(10):
            wire.socket.arrived = number
            self.reactor.run(LIMIT - 2)
        self.assertEqual((self.ended, wire.closed), ([], False))
        tail.stop()

    def test_F5_stalled(self) -> None:
        """F5: a peer that takes nothing is cut after the limit."""
        for room in (None, 100):
            wire = self.wire(room=room)
            self.tail(wire)
            self.reactor.run(LIMIT + 2)
            self.assertTrue(wire.closed and wire.socket.reset)
        self.assertEqual(len(self.ended), 2)

    def test_F127_pause(self) -> None:
        """F127: a pause of the process does not count against the peer; afterwards the rest of the limit does."""
        for grace in (None, GRACE):
            wire = self.wire()
            self.tail(wire, grace)
            self.reactor.run(LIMIT / 2)
            self.reactor.advance(10 * LIMIT)
            self.reactor.run(LIMIT / 2 - 2)
            self.assertFalse(wire.closed)
            self.reactor.run(4)
            self.assertTrue(wire.closed)

    def test_F127_dueMeanwhile(self) -> None:
        """F127: a limit that ends during a pause cuts nobody in the first turn after it."""
        wire = self.wire()
        self.tail(wire)
        self.reactor.run(LIMIT - 0.5)
        self.reactor.advance(LIMIT)
        self.assertFalse(wire.closed)
        wire.socket.arrived = None
        self.reactor.run(2)
        self.assertEqual((len(self.ended), wire.closed), (1, False))

    def test_lost(self) -> None:
        """A tail ends with its connection."""
        wire = self.wire(room=100)
        self.tail(wire)
        wire.breakDown()
        self.reactor.run(1)
        self.assertEqual(len(self.ended), 1)

    def test_F6_grace(self) -> None:
        """F6: a connection that is being closed is cut if it has everything, and does not close for the grace."""
        wire = self.wire()
        self.tail(wire, GRACE)
        self.reactor.run(LIMIT - 2)
        wire.socket.arrived = None
        self.reactor.run(GRACE - 1)
        self.assertFalse(wire.closed)
        self.reactor.run(3)
        self.assertTrue(wire.closed)

    def test_stopped(self) -> None:
        """A stopped tail does nothing; it can be stopped again."""
        wire = self.wire()
        tail = self.tail(wire)
        tail.stop()
        tail.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertFalse(wire.closed)


class TailsTests(TailCase):
    """The tails of a service."""

    def setUp(self) -> None:
        super().setUp()
        self.tails = Tails(self.reactor, LIMIT)

    def test_sentAtOnce(self) -> None:
        """A small response that the kernel has is no tail; one in the queue is, until it is sent."""
        self.tails.add(self.wire().transport)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        wire = self.wire(room=100)
        self.tails.add(wire.transport)
        self.reactor.run(INTERVAL * 2)
        self.assertEqual(len(self.tails), 1)
        wire.take()
        wire.socket.arrived = None
        self.reactor.run(2)
        self.assertEqual(len(self.tails), 0)

    def test_nextTurn(self) -> None:
        """A response that is sent in the next turn is no tail."""
        wire = self.wire(size=0)
        wire.transport.write(b"x" * 1000)
        self.tails.add(wire.transport)
        self.reactor.turn()
        self.reactor.run(INTERVAL * 2)
        self.assertEqual((len(self.tails), self.reactor.getDelayedCalls()), (0, []))

    def test_F5_large(self) -> None:
        """F5: a large response is a tail until it is acknowledged, and cut if that takes too long."""
        wire = self.wire()
        self.tails.add(wire.transport, LARGE + 1)
        self.reactor.run(LIMIT - 1)
        self.assertEqual(len(self.tails), 1)
        self.reactor.run(3)
        self.assertEqual((len(self.tails), wire.closed), (0, True))

    def test_noConnection(self) -> None:
        """A transport without a connection has no tail, nor has one whose connection is lost."""
        self.tails.add(None)
        self.tails.add(object(), LARGE + 1)
        wire = self.wire(room=100)
        wire.breakDown()
        self.tails.add(wire.transport, LARGE + 1)
        self.reactor.run(1)
        self.assertEqual(len(self.tails), 0)

    def test_F4_drain(self) -> None:
        """F4: a drain waits for all tails, and ends soon after the last one."""
        wire = self.wire(room=100)
        self.tails.add(wire.transport)
        drained: Any = self.tails.drain(True)
        self.reactor.run(LIMIT - 1)
        self.assertNoResult(drained)
        wire.take()
        wire.socket.arrived = None
        self.reactor.advance(INTERVAL)
        self.successResultOf(drained)

    def test_nothingToDrain(self) -> None:
        """Without tails a drain ends at once; on demand it waits for those of this turn."""
        self.successResultOf(self.tails.drain(True))
        drained = self.tails.drain(False)
        self.assertNoResult(drained)
        self.reactor.advance(INTERVAL)
        self.successResultOf(drained)

    def test_cut(self) -> None:
        """All tails can be cut, those of this turn, too."""
        wires = [self.wire(room=100), self.wire(room=100)]
        self.tails.add(wires[0].transport)
        self.reactor.run(1)
        self.tails.add(wires[1].transport)
        self.tails.cut()
        self.reactor.run(1)
        self.assertEqual([wire.socket.reset for wire in wires], [True, True])
        self.assertEqual((len(self.tails), self.reactor.getDelayedCalls()), (0, []))

    def test_cutLost(self) -> None:
        """A connection with TLS that is lost in the turn of the cut stops no other cut."""
        factory = Factory()
        lost = TLSWire(TLSMemoryBIOFactory(makeCertificate(), False, factory, self.reactor), self.reactor)
        self.tails.add(factory.made.transport, LARGE + 1)
        wire = self.wire(room=100)
        self.tails.add(wire.transport)
        self.reactor.run(INTERVAL * 2)
        self.assertEqual(len(self.tails), 2)
        lost.breakDown()
        self.reactor.turn()
        self.tails.cut()
        self.reactor.turn()
        self.assertEqual((wire.socket.reset, len(self.tails)), (True, 0))
