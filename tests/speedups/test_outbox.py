"""
Tests of `sseserver.speedups.body`: when the bytes of a turn are sent.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.web.server import Site

from sseserver.speedups.body import SENDS_PER_LOOK, Outbox
from sseserver.speedups.sendbuffer import SMALL
from sseserver.timing.turnend import TurnEnd
from tests.speedups.cases import BodyTestCase
from tests.wires import Wire


class OutboxTests(BodyTestCase):
    """The moment at which the bytes of a turn are sent."""

    def makeCalls(self) -> None:
        """Make the delayed calls that are due, once."""
        for call in self.reactor.getDelayedCalls():
            if call.getTime() <= self.reactor.seconds():
                call.func(*call.args, **call.kw)
                call.cancel()

    def test_endOfTheTurn(self) -> None:
        """
        With an empty queue, the writes of a turn reach the client at its end, and the reactor does
        not watch the socket.
        """
        wire, _, body = self.openBody()
        body.write(b"second")
        self.assertEqual(wire.response.body, b"first")
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"firstsecond")
        self.assertFalse(self.reactor.getWriters())

    def test_together(self) -> None:
        """Two bodies share the end of a turn; each is sent once."""
        bodies = [self.openBody() for _ in range(2)]
        before = len(self.reactor.getDelayedCalls())
        for _, _, body in bodies:
            body.write(b"second")
        self.assertEqual(len(self.reactor.getDelayedCalls()), before + 1)
        self.reactor.turn()
        self.assertEqual([wire.response.body for wire, _, _ in bodies], [b"firstsecond"] * 2)
        self.assertEqual(len(self.reactor.getDelayedCalls()), before)

    def test_eachWriteIsOneSend(self) -> None:
        """A chunk, its size and its line end leave in one send."""
        wire, _, body = self.openBody()
        wire.socket.sends.clear()
        body.write(b"0123456789")
        self.reactor.turn()
        self.assertEqual(wire.socket.sends, [len(b"a\r\n0123456789\r\n")])

    def test_moreWritesInOneTurn(self) -> None:
        """All small writes of a turn leave at its end, in one send."""
        wire, _, body = self.openBody()
        wire.socket.sends.clear()
        for data in (b"second", b"third", b"fourth"):
            body.write(data)
        self.assertEqual(wire.response.body, b"first")
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"firstsecondthirdfourth")
        self.assertEqual(len(wire.socket.sends), 1)

    def test_manySmallWritesInOneTurn(self) -> None:
        """
        Small writes that are large together do not wait for the end of the turn: a full socket is
        noticed before more is read.
        """
        wire, _, body = self.openBody()
        wire.socket.sends.clear()
        for _ in range(3):
            body.write(b"x" * (SMALL // 2))
        self.assertEqual(wire.response.body, b"first" + b"x" * (SMALL // 2 * 2))
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"first" + b"x" * (SMALL // 2 * 3))
        self.assertEqual(len(wire.socket.sends), 2)

    def test_eventsFirst(self) -> None:
        """
        #16: when the reactor has something else to do, the rest of many buffers is sent in the next turn, and what is
        written until then leaves behind it, in the same send.
        """
        isAsked = True
        self.outbox = Outbox(TurnEnd(self.reactor, lambda: isAsked))
        opened = [self.openBody() for _ in range(SENDS_PER_LOOK + 3)]
        for wire, _, body in opened:
            wire.socket.sends.clear()
            body.write(b"second")
        self.makeCalls()
        self.assertEqual([len(wire.socket.sends) for wire, _, _ in opened], [1] * SENDS_PER_LOOK + [0] * 3)
        opened[0][2].write(b"third")
        opened[-1][2].write(b"third")
        self.reactor.turn()
        self.assertEqual([len(wire.socket.sends) for wire, _, _ in opened], [2] + [1] * (SENDS_PER_LOOK + 2))
        self.assertEqual(opened[-1][0].response.body, b"firstsecondthird")
        self.assertEqual(opened[-2][0].response.body, b"firstsecond")

    def test_answersFirst(self) -> None:
        """
        Answers to the events that other bytes were postponed for leave before these, and as many of these with them as
        without.
        """
        self.outbox = Outbox(TurnEnd(self.reactor, lambda: True))
        opened = [self.openBody() for _ in range(3 * SENDS_PER_LOOK)]
        order: list[Wire] = []
        for wire, _, _ in opened:
            send = wire.socket.send
            self.patch(wire.socket, "send", lambda data, wire=wire, send=send: (order.append(wire), send(data))[1])
        wires = [wire for wire, _, _ in opened]
        for _, _, body in opened[1:]:
            body.write(b"second")
        self.makeCalls()
        self.assertEqual(order, wires[1 : SENDS_PER_LOOK + 1])
        opened[0][2].write(b"answer")
        self.makeCalls()
        self.assertEqual(order[SENDS_PER_LOOK:], [wires[0], *wires[SENDS_PER_LOOK + 1 : 2 * SENDS_PER_LOOK + 1]])
        # A crowd takes its turn.
        for _, _, body in opened[: SENDS_PER_LOOK + 1]:
            body.write(b"third")
        self.reactor.turn()
        self.assertEqual(order[2 * SENDS_PER_LOOK + 1 :], wires[2 * SENDS_PER_LOOK + 1 :] + wires[: SENDS_PER_LOOK + 1])

    def test_large(self) -> None:
        """
        A large write is sent at once: a full socket is noticed before more is read from the log.
        """
        wire, _, body = self.openBody()
        before = len(self.reactor.getDelayedCalls())
        body.write(b"x" * (SMALL + 1))
        self.assertEqual(wire.response.body, b"first" + b"x" * (SMALL + 1))
        self.assertEqual(len(self.reactor.getDelayedCalls()), before)

    def test_closed(self) -> None:
        """Waiting bytes are sent before the end of the response."""
        wire, request, body = self.openBody()
        body.write(b"second")
        body.close()
        request.finish()
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"firstsecond")
        self.assertTrue(wire.response.complete)

    def test_lostInTheTurn(self) -> None:
        """
        Waiting bytes of a connection that is lost before the turn ends are dropped without an
        error.
        """
        wire, _, body = self.openBody()
        body.write(b"second")
        wire.transport.connectionLost(Failure(ConnectionLost()))
        self.reactor.advance(0)
        self.assertEqual(wire.response.body, b"first")

    def test_firstWriteIsTwistedsOwn(self) -> None:
        """On a site of Twisted's own the first write, with the head, waits for the reactor."""
        self.factory = Site(self.caught, reactor=self.reactor)
        wire, request = self.open()
        self.outbox.makeBody(request).write(b"first")
        self.assertEqual(wire.received, b"")
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"first")

    def test_firstWriteWithTheHead(self) -> None:
        """On a fast site the head and all writes of the turn leave at its end, in one send."""
        for pieces in ([b"first"], [b"first", b"second"]):
            wire, request = self.open()
            body = self.outbox.makeBody(request)
            for piece in pieces:
                body.write(piece)
            self.assertEqual(wire.received, b"")
            self.reactor.advance(0)
            self.assertEqual(wire.response.body, b"".join(pieces))
            self.assertEqual(wire.socket.sends, [len(wire.received)])

    def test_wholeResponseInOneTurn(self) -> None:
        """A response that ends in the turn in which it began leaves in one send, with its end."""
        wire, request = self.open()
        body = self.outbox.makeBody(request)
        body.write(b"first")
        body.write(b"second")
        body.cork()
        body.write(b"last")
        body.close()
        self.assertEqual(wire.received, b"")
        request.finish()
        self.assertEqual(wire.response.body, b"firstsecondlast")
        self.assertTrue(wire.response.complete)
        self.reactor.turn()
        self.assertEqual(wire.socket.sends, [len(wire.received)])

    def test_largeAtTheEnd(self) -> None:
        """A large last write does not wait for the end of the response; the order is kept."""
        wire, request, body = self.openBody()
        body.write(b"second")
        body.cork()
        body.write(b"x" * (SMALL + 1))
        self.assertEqual(wire.response.body, b"firstsecond" + b"x" * (SMALL + 1))
        body.write(b"last")
        body.close()
        request.finish()
        self.assertEqual(wire.response.body, b"firstsecond" + b"x" * (SMALL + 1) + b"last")
        self.assertTrue(wire.response.complete)

    def test_lostBeforeItsEnd(self) -> None:
        """A viewer that does not take the last bytes can be lost before its body is closed."""
        wire, _, body = self.openBody()
        wire.stall()
        body.cork()
        body.write(b"x" * (SMALL + 1))
        body.write(b"last")
        wire.breakDown()
        self.reactor.turn()
        body.close()
        self.assertEqual(wire.response.body, b"first")

    def test_restWaitsForTheReactor(self) -> None:
        """Bytes that the socket does not take are sent when it can take them."""
        wire, _, body = self.openBody()
        wire.socket.room = 5
        body.write(b"second")
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"firstse")
        self.assertEqual(self.reactor.getWriters(), [wire.transport])
        wire.take()
        self.assertEqual(wire.response.body, b"firstsecond")
        self.assertFalse(self.reactor.getWriters())

    def test_counts(self) -> None:
        """
        `written` and `sentLength`, which the access log shows, count the bytes of the body without
        framing.
        """
        wire, request, body = self.openBody()
        body.write(b"second")
        wire.socket.room = 3
        body.write(b"third")
        body.write(b"fourth")
        body.close()
        self.assertEqual(body.written, len(b"firstsecondthirdfourth"))
        self.assertEqual(request.sentLength, body.written)

    def test_brokenConnection(self) -> None:
        """
        A failed send raises nothing. The loss of the connection shows in the next turn, as after
        `Request.write`.
        """
        wire, request, body = self.openBody()
        finished = request.notifyFinish()
        wire.breakDown()
        body.write(b"second")
        self.assertNoResult(finished)
        self.reactor.turn()
        self.failureResultOf(finished)
        self.assertEqual(wire.response.body, b"first")

    def test_connectionThatIsGone(self) -> None:
        """A write after the connection was lost does nothing."""
        wire, _, body = self.openBody()
        wire.close()
        before = wire.received
        body.write(b"second")
        self.reactor.turn()
        self.assertEqual(wire.received, before)

    def test_goneBeforeTheFirstWrite(self) -> None:
        """A body can be made for a request whose client is gone."""
        wire, request = self.open()
        wire.close()
        self.outbox.makeBody(request).write(b"first")
        self.assertEqual(wire.received, b"")

    def test_otherTransports(self) -> None:
        """On a transport that is not plain TCP every write is `Request.write`."""
        self.factory = WrappingFactory(self.factory)
        wire, _, body = self.openBody()
        body.write(b"second")
        self.assertEqual(wire.response.body, b"first")
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"firstsecond")
