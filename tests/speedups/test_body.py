"""
Tests for `sseserver.speedups.body`.

What is sent at once is compared with what `Request.write` would have sent, on
a TCP transport whose socket takes as much as the test says, and on real
sockets.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet import reactor as realReactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from sseserver.speedups import body as bodies
from sseserver.speedups.body import SMALL, FastBody, Outbox, canBypassQueue
from sseserver.timing.turnend import TurnEnd
from tests.certificates import makeCertificate
from tests.fakes import RecordingProducer
from tests.http import makeRequest
from tests.wires import Wire, WireTestCase, soon

PIECES = (b"retry: 3000\n\n", b"data: one\n\n", b"data: zw\xc3\xb6lf\n\n")

Write = Callable[[bytes], None]


class Caught(Resource):
    """Keeps the requests that come, for the test to answer."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    def render(self, request: Request) -> int:
        self.requests.append(request)
        return NOT_DONE_YET


class BodyTestCase(WireTestCase):
    """Requests that wait for their answers."""

    def setUp(self) -> None:
        super().setUp()
        self.caught = Caught()
        self.outbox = Outbox(TurnEnd(self.reactor))
        self.factory: Any = self.site(self.caught)

    def open(self, version: str = "1.1", length: int | None = None) -> tuple[Wire, Request]:
        """Make a request; its answer gets no `Date`, which would differ from one to the other."""
        wire = self.connect(self.factory)
        wire.begin(version=version)
        request = self.caught.requests[-1]
        request.responseHeaders.removeHeader(b"Date")
        if length is not None:
            request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % length])
        return wire, request

    def openBody(self, version: str = "1.1") -> tuple[Wire, Request, FastBody]:
        """Make a request whose head and first bytes are gone to the socket."""
        wire, request = self.open(version)
        body = FastBody(request, self.outbox)
        body.write(b"first")
        self.reactor.turn()
        return wire, request, body


class SameBytesTests(BodyTestCase):
    """What comes over the wire is what `Request.write` alone would send."""

    def both(self, play: Callable[[Wire, Request, Write], None], **keywords: Any) -> tuple[bytes, bytes]:
        """
        Play a scene twice.

        Returns:
            What came over the wire: written by a Body, and by `Request.write`.
        """
        wires = []
        for direct in (True, False):
            wire, request = self.open(**keywords)
            body = FastBody(request, self.outbox)
            play(wire, request, body.write if direct else request.write)
            if direct:
                body.close()
            wire.take()
            request.finish()
            self.reactor.turn()
            wires.append(wire)
        return wires[0].received, wires[1].received

    def assertSame(self, play: Callable[[Wire, Request, Write], None], **keywords: Any) -> None:
        """Check that a scene comes over the wire as if `Request.write` had played it, and whole."""
        ours, theirs = self.both(play, **keywords)
        self.assertEqual(ours, theirs)
        self.assertTrue(self.wires[-1].response.complete)

    def test_headIsWrittenFirst(self) -> None:
        """
        Head, body and end come in order, with a chunk for each write.
        """
        ours, theirs = self.both(lambda wire, request, write: [write(piece) for piece in PIECES] and None)
        self.assertEqual(ours, theirs)
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in PIECES)
        self.assertTrue(ours.endswith(b"\r\n\r\n" + chunks + b"0\r\n\r\n"))

    def test_socketThatTakesAnyPart(self) -> None:
        """
        However many bytes of a write the socket takes, none to all, what
        follows comes in order behind it, whether it is written before the
        rest is gone or after.
        """
        size = len(b"%x\r\n%b\r\n" % (len(PIECES[1]), PIECES[1]))
        for taken in range(size + 1):
            for turns in (False, True):

                def play(wire: Wire, request: Request, write: Write) -> None:
                    write(PIECES[0])
                    self.reactor.turn()
                    wire.socket.room = taken  # noqa: B023  (is played at once)
                    write(PIECES[1])
                    if turns:  # noqa: B023
                        self.reactor.turn()
                    write(PIECES[2])
                    self.reactor.turn()

                self.assertSame(play)

    def test_socketThatTakesLittleEachTime(self) -> None:
        """
        A socket that takes a few bytes at a time gets all of them in order,
        whatever the few are.
        """
        for room in range(1, 40):

            def play(wire: Wire, request: Request, write: Write) -> None:
                for piece in PIECES * 3:
                    write(piece)
                    wire.take(room)  # noqa: B023  (is played at once)

            self.assertSame(play)

    def test_largeInAnyPart(self) -> None:
        """
        The same for what is too large to wait, at each border of its framing
        and near it.
        """
        large = bytes(range(256)) * 9
        size = len(b"%x\r\n%b\r\n" % (len(large), large))
        for taken in (*range(8), 2000, *range(size - 5, size + 1)):

            def play(wire: Wire, request: Request, write: Write) -> None:
                write(PIECES[0])
                self.reactor.turn()
                wire.socket.room = taken  # noqa: B023  (is played at once)
                write(PIECES[1])
                write(large)
                write(PIECES[2])
                self.reactor.turn()

            self.assertSame(play)
            self.assertSame(play, version="1.0")

    def test_headThatWaits(self) -> None:
        """
        While the head is still queued, what is written waits behind it.
        """

        def play(wire: Wire, request: Request, write: Write) -> None:
            wire.stall()
            write(PIECES[0])
            wire.take(10)
            write(PIECES[1])

        self.assertSame(play)

    def test_roomThatComesWithoutATurn(self) -> None:
        """
        When the socket has room again but the queue is not gone yet, the queue
        goes first: the rest of a write that was cut, and what waits behind it.
        """
        for cut in (0, 1, 7):
            for turns in (False, True):

                def play(wire: Wire, request: Request, write: Write) -> None:
                    write(PIECES[0])
                    self.reactor.turn()
                    wire.socket.room = cut  # noqa: B023  (is played at once)
                    write(PIECES[1])
                    if turns:  # noqa: B023
                        wire.take(2)
                    wire.socket.room = None
                    write(PIECES[2])

                self.assertSame(play)

    def test_withoutChunks(self) -> None:
        """
        To a client of HTTP/1.0, and where the length is told, the bytes go
        without chunks.
        """

        def play(wire: Wire, request: Request, write: Write) -> None:
            for piece in PIECES:
                write(piece)
                wire.take(3)

        self.assertSame(play, version="1.0")
        self.assertTrue(self.wires[-1].closed)
        self.assertSame(play, length=sum(map(len, PIECES)))
        self.assertEqual(self.wires[-1].response.body, b"".join(PIECES))

    def test_moreThanOneSendTakes(self) -> None:
        """
        A write of more than the transport sends at once (128 KiB) is split
        and comes in order.
        """
        large = bytes(range(256)) * 1500

        def play(wire: Wire, request: Request, write: Write) -> None:
            write(PIECES[0])
            self.reactor.turn()
            write(large)
            write(PIECES[1])

        self.assertSame(play)
        self.assertEqual(self.wires[-1].response.body, PIECES[0] + large + PIECES[1])

    def test_pauseAndResume(self) -> None:
        """
        A producer that is paused in the midst and goes on when the queue is
        empty writes on in order; both ways of writing pause it.
        """
        large = b"x" * 70_000
        told = []

        def play(wire: Wire, request: Request, write: Write) -> None:
            producer = RecordingProducer()
            told.append(producer.told)
            request.registerProducer(producer, True)
            write(PIECES[0])
            self.reactor.turn()
            wire.stall()
            write(large)
            wire.take(100)
            wire.take()
            write(PIECES[1])
            request.unregisterProducer()

        self.assertSame(play)
        self.assertEqual(told, [["pause", "resume"]] * 2)


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


class CanBypassQueueTests(BodyTestCase):
    """Which transports can be passed."""

    def test_tcp(self) -> None:
        """
        A TCP connection of Twisted's can.
        """
        self.assertTrue(canBypassQueue(self.open()[0].transport))

    def test_failedProbe(self) -> None:
        """
        Where the probe does not see the queue of a transport none can be bypassed, and every write is
        `Request.write`: a Twisted with other private names costs speed, not bytes.
        """
        self.patch(bodies, "seesQueue", lambda: False)
        wire, request = self.open()
        self.assertFalse(canBypassQueue(wire.transport))
        body = FastBody(request, self.outbox)
        for piece in PIECES:
            body.write(piece)
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"".join(PIECES))

    def test_wrappedAndMissing(self) -> None:
        """
        What stands before a transport cannot, nor can none at all.
        """
        self.factory = WrappingFactory(self.factory)
        _, request = self.open()
        self.assertFalse(canBypassQueue(request.channel.transport))
        self.assertFalse(canBypassQueue(None))

    def test_tlsOnTheSameTransport(self) -> None:
        """
        A TCP connection that was turned to TLS (`startTLS`, `ssl.Server`)
        cannot: what is sent past TLS would go out in the clear.
        """
        wire, request = self.open()
        wire.transport.startTLS(makeCertificate(), False)
        body = FastBody(request, self.outbox)
        for piece in (b"first", b"second"):
            body.write(piece)
            self.reactor.turn()
        wire.transport.abortConnection()
        self.reactor.advance(0)
        self.assertFalse(b"second" in wire.received, "in the clear")
        self.assertFalse(canBypassQueue(wire.transport))


class SlowReader(Protocol):
    """A client that reads some bytes now and then."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.closed: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)
        transport: Any = self.transport
        transport.pauseProducing()
        realReactor.callLater(0.001, transport.resumeProducing)

    def connectionLost(self, reason: Any = None) -> None:
        self.closed.callback(None)


class RealSocketTests(TestCase):
    """
    Twisted's own semantics, of which the private names are a part: these fail
    when a release of Twisted changes what they mean.
    """

    timeout = 120

    def numbers(self, upTo: int) -> Iterator[bytes]:
        """Bytes of which each piece tells its place."""
        for number in range(upTo):
            yield b"%07d," % number * (1 + number % 97)

    async def serve(self, answer: Callable[[Request], Any]) -> bytes:
        """Answer one request on a pair of real sockets with small buffers; give what the client read."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        caught = Caught()
        site = Site(caught)
        client = SlowReader()
        # socketpair makes UNIX sockets: adopted as such on both ends, and closed here, since adopting duplicates them.
        realReactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, site)
        realReactor.adoptStreamConnection(theirs.fileno(), socket.AF_UNIX, _Once(client))
        ours.close()
        theirs.close()
        client.transport.write(makeRequest(version="1.0"))
        for _ in soon(lambda: caught.requests):
            await deferLater(realReactor, 0.001)
        await answer(caught.requests[0])
        await client.closed
        return b"".join(client.received).partition(b"\r\n\r\n")[2]

    async def test_orderOnARealSocket(self) -> None:
        """
        Bytes that are written in bursts to a slow reader, partly at once and
        partly queued, come in the order in which they were written; and some
        did go at once.
        """
        pieces = list(self.numbers(600))
        atOnce = []

        async def answer(request: Request) -> None:
            body = FastBody(request, Outbox(TurnEnd(realReactor)))
            transport: Any = request.transport
            for index, piece in enumerate(pieces):
                before = len(transport._tempDataBuffer) + len(transport.dataBuffer)
                body.write(piece)
                if not before and not transport._tempDataBuffer and not transport.dataBuffer:
                    atOnce.append(index)
                if index % 50 == 0:
                    await deferLater(realReactor, 0.005)
            request.finish()

        self.assertEqual(await self.serve(answer), b"".join(pieces))
        self.assertTrue(atOnce)


class _Once(Factory):
    """Builds the one protocol that it was given."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: object) -> Protocol:
        return self._protocol
