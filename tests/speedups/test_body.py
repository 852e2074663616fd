"""
Tests of `sseserver.speedups.body`: a fast body sends the bytes that `Request.write` would send.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet import reactor as realReactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.protocols.policies import WrappingFactory
from twisted.trial.unittest import TestCase
from twisted.web.server import Request, Site

from sseserver.speedups import sendbuffer as bodies
from sseserver.speedups.body import Outbox
from sseserver.speedups.sendbuffer import PIECE, canBypassQueue
from sseserver.speedups.writequeue import isQueueEmpty
from sseserver.timing.turnend import TurnEnd
from tests.certificates import makeCertificate
from tests.fakes import RecordingProducer
from tests.http import makeRequest
from tests.resources import HoldingResource
from tests.speedups.cases import PIECES, BodyTestCase, Write
from tests.wires import Wire, countUnsent, soon


class SameBytesTests(BodyTestCase):
    """The bytes on the wire are those of `Request.write`."""

    def both(self, play: Callable[[Wire, Request, Write], None], **keywords: Any) -> tuple[bytes, bytes]:
        """
        Play a scene twice.

        Returns:
            What came over the wire: written by a Body, and by `Request.write`.
        """
        wires = []
        for direct in (True, False):
            wire, request = self.open(**keywords)
            body = self.outbox.makeBody(request)
            play(wire, request, body.write if direct else request.write)
            if direct:
                body.close()
            wire.take()
            request.finish()
            self.reactor.turn()
            wires.append(wire)
        return wires[0].received, wires[1].received

    def assertSame(self, play: Callable[[Wire, Request, Write], None], **keywords: Any) -> None:
        """
        Check that a scene puts the bytes of `Request.write` on the wire, and a whole response.
        """
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
        However many bytes of a write the socket takes, later writes follow in order, before the
        rest is sent or after.
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
        """A socket that takes a few bytes at a time gets all of them in order."""
        for room in range(1, 40):

            def play(wire: Wire, request: Request, write: Write) -> None:
                for piece in PIECES * 3:
                    write(piece)
                    wire.take(room)  # noqa: B023  (is played at once)

            self.assertSame(play)

    def test_largeInAnyPart(self) -> None:
        """The same for a large write, cut at and near each border of its framing."""
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

    def test_someInAnyPart(self) -> None:
        """The same for large data that are written as the transport takes them: they are one chunk."""
        large = bytes(range(256)) * 600
        size = len(b"%x\r\n%b\r\n" % (len(large), large))
        for taken in (*range(8), 100_000, size - PIECE, *range(size - 4, size + 1)):
            for held in (False, True):
                received = []
                for version in ("1.0", "1.1"):
                    wire, request, body = self.openBody(version)
                    if held:
                        body.cork()
                    body.write(PIECES[0])
                    wire.socket.room = taken
                    place = body.writeSome(large, 0)
                    self.assertLess(countUnsent(wire.transport), PIECE + 300)
                    while place < len(large):
                        wire.take(taken)
                        place = body.writeSome(large, place)
                    body.write(PIECES[1])
                    body.close()
                    wire.take()
                    request.finish()
                    self.reactor.turn()
                    received.append(wire)
                    self.assertEqual(wire.response.body, b"first" + PIECES[0] + large + PIECES[1])
                    self.assertTrue(wire.response.complete)
                self.assertIn(b"\r\n%x\r\n%b\r\n" % (len(large), large), received[1].received)

    def test_headThatWaits(self) -> None:
        """Writes wait behind a head that is still queued."""

        def play(wire: Wire, request: Request, write: Write) -> None:
            wire.stall()
            write(PIECES[0])
            wire.take(10)
            write(PIECES[1])

        self.assertSame(play)

    def test_roomThatComesWithoutATurn(self) -> None:
        """If the socket has room before the queue is sent, the queue goes first."""
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
        """For HTTP/1.0, and with a `Content-Length`, the body has no chunks."""

        def play(wire: Wire, request: Request, write: Write) -> None:
            for piece in PIECES:
                write(piece)
                wire.take(3)

        self.assertSame(play, version="1.0")
        self.assertTrue(self.wires[-1].closed)
        self.assertSame(play, length=sum(map(len, PIECES)))
        self.assertEqual(self.wires[-1].response.body, b"".join(PIECES))

    def test_moreThanOneSendTakes(self) -> None:
        """A write of more than 128 KiB is split and arrives in order."""
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
        Both ways of writing pause the producer; resumed on an empty queue, it writes on in order.
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


class CanBypassQueueTests(BodyTestCase):
    """The transports whose queue can be bypassed."""

    def test_tcp(self) -> None:
        """The queue of a TCP connection can be bypassed."""
        self.assertTrue(canBypassQueue(self.open()[0].transport))

    def test_failedProbe(self) -> None:
        """
        If the probe fails no queue is bypassed, and every write is `Request.write`: a Twisted with
        other private names costs speed, not bytes.
        """
        self.patch(bodies, "seesQueue", lambda: False)
        wire, request = self.open()
        self.assertFalse(canBypassQueue(wire.transport))
        body = self.outbox.makeBody(request)
        for piece in PIECES:
            body.write(piece)
        self.reactor.turn()
        self.assertEqual(wire.response.body, b"".join(PIECES))

    def test_wrappedAndMissing(self) -> None:
        """The queue behind a wrapper cannot be bypassed, nor that of no transport."""
        self.factory = WrappingFactory(self.factory)
        _, request = self.open()
        self.assertFalse(canBypassQueue(request.channel.transport))
        self.assertFalse(canBypassQueue(None))

    def test_tlsOnTheSameTransport(self) -> None:
        """
        The queue of a connection that was turned to TLS is not bypassed: the bytes would leave
        unencrypted.
        """
        wire, request = self.open()
        wire.transport.startTLS(makeCertificate(), False)
        body = self.outbox.makeBody(request)
        for piece in (b"first", b"second"):
            body.write(piece)
            self.reactor.turn()
        wire.transport.abortConnection()
        self.reactor.advance(0)
        self.assertFalse(b"second" in wire.received, "in the clear")
        self.assertFalse(canBypassQueue(wire.transport))


class SlowReader(Protocol):
    """A client that reads a few bytes at a time."""

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
    """Real sockets, on which Twisted's queue is Twisted's own."""

    timeout = 120

    def numbers(self, upTo: int) -> Iterator[bytes]:
        """Make pieces that show their place."""
        for number in range(upTo):
            yield b"%07d," % number * (1 + number % 97)

    async def serve(self, answer: Callable[[Request], Any]) -> bytes:
        """
        Answer one request over two real sockets with small buffers; return the bytes that the
        client read.
        """
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        caught = HoldingResource()
        site = Site(caught)
        client = SlowReader()
        # socketpair makes UNIX sockets: adopted as such on both ends, and closed here, since
        # adopting duplicates them.
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
        """Bursts to a slow reader, partly sent at once and partly queued, arrive in order."""
        pieces = list(self.numbers(600))
        atOnce = []

        async def answer(request: Request) -> None:
            body = Outbox(TurnEnd(realReactor)).makeBody(request)
            transport: Any = request.transport
            for index, piece in enumerate(pieces):
                wasEmpty = isQueueEmpty(transport)
                body.write(piece)
                if wasEmpty and isQueueEmpty(transport):
                    atOnce.append(index)
                if index % 50 == 0:
                    await deferLater(realReactor, 0.005)
            request.finish()

        self.assertEqual(await self.serve(answer), b"".join(pieces))
        self.assertTrue(atOnce)


class _Once(Factory):
    """Builds the protocol that it was made with."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: object) -> Protocol:
        return self._protocol
