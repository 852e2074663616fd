"""
Tests of `sseserver.speedups.body`: when the bytes of a turn are sent.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.web.server import Site

from sseserver.speedups.body import SMALL, FastBody
from tests.speedups.cases import BodyTestCase


class OutboxTests(BodyTestCase):
    """When the socket is written to past the transport's queue, and when not."""

    def test_endOfTheTurn(self) -> None:
        """
        What is written when nothing waits is at the client when the turn
        ends, and the reactor need not look after the socket.
        """
        wire, _, body = self.openBody()
        body.write(b"second")
        self.assertEqual(wire.response.body, b"first")
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"firstsecond")
        self.assertFalse(self.reactor.getWriters())

    def test_together(self) -> None:
        """
        Two bodies share a turn's end; each is sent what it has written, once.
        """
        bodies = [self.openBody() for _ in range(2)]
        for _, _, body in bodies:
            body.write(b"second")
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)
        self.reactor.turn()
        self.assertEqual([wire.response.body for wire, _, _ in bodies], [b"firstsecond"] * 2)
        self.assertFalse(self.reactor.getDelayedCalls())

    def test_eachWriteIsOneSend(self) -> None:
        """
        A chunk, its size and its end go out in one call.
        """
        wire, _, body = self.openBody()
        wire.socket.sends.clear()
        body.write(b"0123456789")
        self.reactor.turn()
        self.assertEqual(wire.socket.sends, [len(b"a\r\n0123456789\r\n")])

    def test_moreWritesInOneTurn(self) -> None:
        """
        All small writes of a turn go out together at its end, in one call.
        """
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
        Small writes that together are large do not wait for the end of the
        turn, so that a full socket is noticed before more is read.
        """
        wire, _, body = self.openBody()
        wire.socket.sends.clear()
        for _ in range(3):
            body.write(b"x" * (SMALL // 2))
        self.assertEqual(wire.response.body, b"first" + b"x" * (SMALL // 2 * 2))
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"first" + b"x" * (SMALL // 2 * 3))
        self.assertEqual(len(wire.socket.sends), 2)

    def test_large(self) -> None:
        """
        What is large goes out at once, so that a full socket is noticed before
        more is read from the log.
        """
        wire, _, body = self.openBody()
        body.write(b"x" * (SMALL + 1))
        self.assertEqual(wire.response.body, b"first" + b"x" * (SMALL + 1))
        self.assertFalse(self.reactor.getDelayedCalls())

    def test_closed(self) -> None:
        """
        What waits when the response ends is sent before its end.
        """
        wire, request, body = self.openBody()
        body.write(b"second")
        body.close()
        request.finish()
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"firstsecond")
        self.assertTrue(wire.response.complete)

    def test_lostInTheTurn(self) -> None:
        """
        What waits for a connection that is lost before the turn ends is
        thrown away, without an error.
        """
        wire, _, body = self.openBody()
        body.write(b"second")
        wire.transport.connectionLost(Failure(ConnectionLost()))
        self.reactor.advance(0)
        self.assertEqual(wire.response.body, b"first")

    def test_firstWriteIsTwistedsOwn(self) -> None:
        """
        On a site of somebody else's the first write, which brings the head,
        waits for the reactor.
        """
        self.factory = Site(self.caught, reactor=self.reactor)
        wire, request = self.open()
        FastBody(request, self.outbox).write(b"first")
        self.assertEqual(wire.received, b"")
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"first")

    def test_firstWriteWithTheHead(self) -> None:
        """
        On our site the head and the first bytes go out when the turn ends, in
        one call, with what is written in the same turn.
        """
        for pieces in ([b"first"], [b"first", b"second"]):
            wire, request = self.open()
            body = FastBody(request, self.outbox)
            for piece in pieces:
                body.write(piece)
            self.assertEqual(wire.received, b"")
            self.reactor.advance(0)
            self.assertEqual(wire.response.body, b"".join(pieces))
            self.assertEqual(wire.socket.sends, [len(wire.received)])

    def test_wholeResponseInOneTurn(self) -> None:
        """
        A response that ends in the turn in which it began goes out in one
        call, its end included.
        """
        wire, request = self.open()
        body = FastBody(request, self.outbox)
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
        """
        What is large does not wait for the end of the response, even when it
        is the last; the order is kept.
        """
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
        """
        A viewer that does not take what is last can be lost meanwhile.
        """
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
        """
        What the socket does not take is sent when it can, and only then.
        """
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
        `written` and the request's own count, which the access log shows, are
        the bytes of the body, without framing, whichever way they went.
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
        A send that fails raises nothing; that the connection is lost shows in
        the next turn, as after `Request.write`.
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
        """
        After the connection is lost a write does nothing.
        """
        wire, _, body = self.openBody()
        wire.close()
        before = wire.received
        body.write(b"second")
        self.reactor.turn()
        self.assertEqual(wire.received, before)

    def test_goneBeforeTheFirstWrite(self) -> None:
        """
        A Body can be made for a request whose client is gone already.
        """
        wire, request = self.open()
        wire.close()
        FastBody(request, self.outbox).write(b"first")
        self.assertEqual(wire.received, b"")

    def test_otherTransports(self) -> None:
        """
        On a transport that is not plainly TCP every write is `Request.write`.
        """
        self.factory = WrappingFactory(self.factory)
        wire, _, body = self.openBody()
        body.write(b"second")
        self.assertEqual(wire.response.body, b"first")
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"firstsecond")
