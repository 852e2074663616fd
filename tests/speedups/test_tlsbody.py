"""
Tests of `sseserver.speedups.tlsbody`: the fast body over TLS sends what `Request.write` would send, in few records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.web.server import Request

from sseserver.command.tlsport import Certificate, TLSFactory
from sseserver.speedups.body import FastBody
from sseserver.speedups.tlsbody import TLSBody, makeSendBuffer
from tests.certificates import makeCertificate
from tests.fakes import RecordingProducer
from tests.speedups.cases import PIECES, BodyTestCase
from tests.tlswires import TLSWire, secure
from tests.wires import countUnsent

#: Bytes. What TLS 1.3 adds to each record: its head, the type of its content, and the tag of AES-GCM.
OVERHEAD = 5 + 1 + 16

#: Bytes. Text of a full record.
RECORD = 16 * 1024


class TLSBodyTests(BodyTestCase):
    """Responses over our own TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.factory = secure(self.factory, self.reactor, False)

    def connect(self, factory: Any) -> TLSWire:
        """Open a connection."""
        wire = TLSWire(factory, self.reactor)
        self.wires.append(wire)
        return wire

    def begin(self) -> tuple[TLSWire, Request, Any]:
        """Begin a response; return the connection without the sizes of its sends so far."""
        wire, request, body = self.openBody()
        assert isinstance(wire, TLSWire)
        self.assertIsInstance(body, TLSBody)
        wire.socket.sends.clear()
        return wire, request, body

    def finish(self, wire: TLSWire, request: Request, body: Any) -> bytes:
        """Finish a response, and return its body."""
        body.close()
        wire.take()
        request.finish()
        self.reactor.turn()
        self.assertTrue(wire.response.complete)
        return wire.response.body

    def test_head(self) -> None:
        """The head and the first bytes leave in one record, at once."""
        wire, request = self.open()
        body = self.outbox.makeBody(request)
        wire.socket.sends.clear()
        body.write(b"first")
        body.write(b"second")
        self.reactor.turn()
        self.assertEqual(len(wire.socket.sends), 1)
        self.assertEqual(self.finish(wire, request, body), b"firstsecond")  # type: ignore[arg-type]

    def test_oneRecord(self) -> None:
        """The writes of a turn are one record, and a turn without writes sends nothing."""
        wire, request, body = self.begin()
        for _ in range(3):
            for piece in PIECES:
                body.write(piece)
            self.assertEqual(wire.socket.sends, [])
            self.reactor.turn()
            size = sum(len(b"%x\r\n%b\r\n" % (len(piece), piece)) for piece in PIECES)
            self.assertEqual(wire.socket.sends, [size + OVERHEAD])
            wire.socket.sends.clear()
        self.assertEqual(self.finish(wire, request, body), b"first" + b"".join(PIECES) * 3)

    def test_fullRecords(self) -> None:
        """A large write leaves in full records and one send, with the bytes that waited."""
        wire, request, body = self.begin()
        large = bytes(range(256)) * 200
        body.write(PIECES[0])
        body.write(large)
        size = sum(len(b"%x\r\n%b\r\n" % (len(piece), piece)) for piece in (PIECES[0], large))
        self.assertEqual(wire.socket.sends, [size + OVERHEAD * -(-size // RECORD)])
        self.assertEqual(self.finish(wire, request, body), b"first" + PIECES[0] + large)

    def test_anyRoom(self) -> None:
        """However many bytes the socket takes of a record, later ones follow in order."""
        for room in range(120):
            for turns in (False, True):
                wire, request, body = self.begin()
                wire.socket.room = room
                for piece in PIECES:
                    body.write(piece)
                    if turns:
                        self.reactor.turn()
                wire.take(7)
                body.write(PIECES[0])
                self.assertEqual(self.finish(wire, request, body), b"first" + b"".join(PIECES) + PIECES[0])

    def test_someInAnyPart(self) -> None:
        """Large data that are written as the transport takes them are one chunk, and little of them is queued."""
        large = bytes(range(256)) * 3000
        for taken in (0, 1, 1000, 70_000, 200_000, 300_000, 400_000, 1_000_000):
            for corked in (False, True):
                wire, request, body = self.begin()
                if corked:
                    body.cork()
                body.write(PIECES[0])
                wire.socket.room = taken
                place = body.writeSome(large, 0)
                self.assertLess(countUnsent(wire.transport), 66_000)
                while place < len(large):
                    wire.take(max(taken, 10_000))
                    place = body.writeSome(large, place)
                body.write(PIECES[1])
                self.assertEqual(self.finish(wire, request, body), b"first" + PIECES[0] + large + PIECES[1])

    def test_turns(self) -> None:
        """However much the socket takes, the producer is paused after some pieces: others have their turn."""
        wire, request, body = self.begin()
        producer = RecordingProducer()
        request.registerProducer(producer, True)
        large = b"x" * 10_000_000
        place = 0
        while "pause" not in producer.told:
            place = body.writeSome(large, place)
        self.assertLess(place, 400_000)
        self.reactor.turn()
        self.assertEqual(producer.told, ["pause", "resume"])
        request.unregisterProducer()
        while place < len(large):
            place = body.writeSome(large, place)
        self.assertEqual(len(self.finish(wire, request, body)), 5 + len(large))

    def test_ownRecords(self) -> None:
        """Records that OpenSSL makes itself, such as the answer to a `KeyUpdate`, leave before later ones."""
        certificate = Certificate(makeCertificate(), False)
        self.factory = TLSFactory(certificate, self.factory.wrappedFactory, self.reactor)
        wire, request, body = self.begin()
        server: Any = certificate.server
        connection: Any = request.transport
        body.write(PIECES[1])
        self.reactor.turn()
        before = len(wire.socket.sent)
        wire.client.sendall(b"G")
        server.outgoing.write(b"a record")
        connection.dataReceived(wire.client.bio_read(1 << 16))
        body.write(PIECES[0])
        # Before the reactor writes what is queued.
        body.flush()
        self.reactor.turn()
        sent = bytes(wire.socket.sent[before:])
        self.assertEqual(sent[:8], b"a record")
        self.assertGreater(len(sent), 8 + len(PIECES[0]))

    def test_pause(self) -> None:
        """A full socket pauses the producer; resumed on an empty queue, it writes on in order."""
        wire, request, body = self.begin()
        producer = RecordingProducer()
        request.registerProducer(producer, True)
        wire.stall()
        body.write(b"x" * 70_000)
        wire.take(100)
        wire.take()
        self.assertEqual(producer.told, ["pause", "resume"])
        body.write(PIECES[1])
        request.unregisterProducer()
        self.assertEqual(self.finish(wire, request, body), b"first" + b"x" * 70_000 + PIECES[1])

    def test_lost(self) -> None:
        """Writes to a connection that is closed, aborted or broken go nowhere."""

        def abort(wire: TLSWire, request: Request) -> None:
            request.transport.abortConnection()  # type: ignore[attr-defined]

        def shutDown(wire: TLSWire, request: Request) -> None:
            wire.shutDown()

        def breakDown(wire: TLSWire, request: Request) -> None:
            wire.breakDown()

        ends: tuple[Callable[[TLSWire, Request], None], ...] = (abort, shutDown, breakDown)
        for end in ends:
            wire, request, body = self.begin()
            end(wire, request)
            before = wire.received
            for data in (PIECES[0], b"x" * 5000):
                body.write(data)
            body.writeSome(b"x" * 500_000, 0)
            self.reactor.advance(0)
            self.assertEqual((wire.received, wire.closed), (before, True))
            body.close()

    def test_closed(self) -> None:
        """Bytes that wait for the end of the turn leave before the connection is closed."""
        wire, request, body = self.begin()
        body.write(PIECES[0])
        transport: Any = request.transport
        transport.loseConnection()
        transport.unregisterProducer()
        self.reactor.turn()
        self.assertIn(PIECES[0], wire.received)
        self.assertEqual(wire.client.get_shutdown(), SSL.RECEIVED_SHUTDOWN)
        body.close()

    def test_corked(self) -> None:
        """The last writes of a response leave with its end, in one record."""
        wire, request, body = self.begin()
        body.cork()
        body.write(PIECES[0])
        self.reactor.turn()
        self.assertEqual(wire.socket.sends, [])
        self.assertEqual(self.finish(wire, request, body), b"first" + PIECES[0])
        self.assertEqual(len(wire.socket.sends), 1)

    def test_makeSendBuffer(self) -> None:
        """A connection without TLS has the other kind."""
        self.assertIs(type(makeSendBuffer(None)), FastBody)
