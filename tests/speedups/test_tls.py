"""
Tests of `sseserver.speedups.tls`: connections with TLS, over our own transport and over Twisted's.
"""

from __future__ import annotations

import contextlib
import random
from typing import Any

from OpenSSL import SSL
from twisted.web.resource import Resource

from sseserver.speedups.tls import TLSConnection
from tests.resources import HoldingResource
from tests.speedups.cases import FastTestCase
from tests.tlswires import TLSWire, secure
from tests.wires import Wire, countUnsent

#: Bytes of a large body.
LARGE = 1_500_000

VERSIONS = (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)


def makeContext(version: int = SSL.TLS1_3_VERSION) -> SSL.Context:
    """Make the context of a client that speaks one version of TLS."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    return context


class Echo(Resource):
    """Answers with the body of the request, and its scheme if there is none."""

    isLeaf = True

    def render(self, request: Any) -> bytes:
        return request.content.read() or (b"https" if request.isSecure() else b"http")


class TLSTestCase(FastTestCase):
    """Connections with TLS to a site that echoes bodies."""

    plain = False

    def setUp(self) -> None:
        super().setUp()
        self.serve(Echo())

    def serve(self, resource: Resource) -> None:
        """Serve a resource."""
        self.factory: Any = secure(self.site(resource), self.reactor, self.plain)

    def open(self, context: SSL.Context | None = None, session: Any = None) -> TLSWire:
        """Open a connection."""
        wire = TLSWire(self.factory, self.reactor, context, session)
        self.wires.append(wire)
        return wire


class ConnectionTests(TLSTestCase):
    """Our own transport."""

    def test_kind(self) -> None:
        """The transport is the one that is tested here."""
        protocol = self.factory.buildProtocol(None)
        self.assertEqual(isinstance(protocol, TLSConnection), not self.plain)

    def test_versions(self) -> None:
        """TLS 1.2 and 1.3 are spoken; requests are known to be secure."""
        for version in VERSIONS:
            wire = self.open(makeContext(version))
            self.assertEqual(wire.ask().body, b"https")
            self.assertEqual(wire.client.get_protocol_version(), {771: 771, 772: 772}[version])

    def test_oldVersion(self) -> None:
        """TLS 1.1 is refused with an alert, and the connection is closed."""
        wire = self.connect(self.factory)
        context = makeContext(SSL.TLS1_1_VERSION)
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        client = SSL.Connection(context, None)
        client.set_connect_state()
        self.assertRaises(SSL.WantReadError, client.do_handshake)
        wire.send(client.bio_read(65536))
        self.assertTrue(wire.received.startswith(b"\x15\x03"))
        self.assertTrue(wire.closed)

    def test_protocols(self) -> None:
        """HTTP/1.1 is chosen where it is offered."""
        for offered, chosen in (([b"h2", b"http/1.1"], b"http/1.1"), ([b"http/1.1"], b"http/1.1"), ([], b"")):
            context = makeContext()
            if offered:
                context.set_alpn_protos(offered)
            wire = self.open(context)
            self.assertEqual((wire.client.get_alpn_proto_negotiated(), wire.ask().status), (chosen, 200))

    def test_otherProtocols(self) -> None:
        """A client that knows only HTTP/2 gets an alert, and the connection is closed."""
        for version in VERSIONS:
            context = makeContext(version)
            context.set_alpn_protos([b"h2", b"h3"])
            error = self.assertRaises(SSL.Error, self.open, context)
            self.assertIn("alert internal error" if self.plain else "alert no application protocol", str(error))

    def test_largeBodies(self) -> None:
        """Large bodies come and go whole, in pieces of any size."""
        chance = random.Random(16)
        body = chance.randbytes(LARGE)
        for version in VERSIONS:
            wire = self.open(makeContext(version))
            wire.begin(method="POST", body=b"", headers={"Content-Length": str(LARGE)})
            rest = memoryview(body)
            while rest:
                size = min(chance.choice((1, 100, 16 * 1024, 16 * 1024 + 1, 300_000)), len(rest))
                wire.send(bytes(rest[:size]))
                rest = rest[size:]
            self.assertEqual(wire.response.body, body)

    def test_brokenRecords(self) -> None:
        """Records that come in pieces, those of several connections in turn, are decrypted all the same."""
        wires = [self.open() for _ in range(3)]
        for number, wire in enumerate(wires):
            wire.methods.append("POST")
            wire.client.sendall(
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + b"%d" % number * 20_000
            )
        records = [wire.client.bio_read(65536) for wire in wires]
        for start in range(0, max(map(len, records)), 97):
            for wire, record in zip(wires, records, strict=True):
                Wire.send(wire, record[start : start + 97])
        self.assertEqual([wire.response.body for wire in wires], [b"%d" % number * 20_000 for number in range(3)])

    def test_damage(self) -> None:
        """A damaged record ends its own connection, and no other."""
        other, wire = self.open(), self.open()
        wire.client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        record = bytearray(wire.client.bio_read(65536))
        record[-1] ^= 1
        other.client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        half = other.client.bio_read(65536)
        Wire.send(other, half[:30])
        # Another one behind it is not looked at.
        Wire.send(wire, bytes(record) + bytes(record))
        Wire.send(other, half[30:])
        other.methods.append("GET")
        self.assertEqual(other.response.status, 200)
        self.assertTrue(wire.closed)
        self.assertEqual(wire.received, b"")

    def test_renegotiation(self) -> None:
        """A client that asks for a new handshake does not get one."""
        wire = self.open(makeContext(SSL.TLS1_2_VERSION))
        wire.client.renegotiate()
        self.assertRaises(SSL.WantReadError, wire.client.do_handshake)
        wire.exchange()
        self.assertIn("no renegotiation", str(self.assertRaises(SSL.Error, wire.client.do_handshake)))

    def test_closeByClient(self) -> None:
        """The `close_notify` of a client is answered, and the connection is closed."""
        for begun in (False, True):
            wire = self.open()
            if begun:
                self.assertEqual(wire.ask().status, 200)
            wire.shutDown()
            self.assertRaises(SSL.ZeroReturnError, wire.client.recv, 1)
            self.assertTrue(wire.closed)

    def test_closeByServer(self) -> None:
        """The server sends a `close_notify`, and closes the connection when it has that of the client."""
        wire = self.open()
        self.assertEqual(wire.ask(headers={"Connection": "close"}).body, b"https")
        self.assertEqual(wire.client.get_shutdown() & SSL.RECEIVED_SHUTDOWN, SSL.RECEIVED_SHUTDOWN)
        self.assertFalse(wire.closed)
        wire.shutDown()
        self.assertTrue(wire.closed)

    def test_closeNotAnswered(self) -> None:
        """A client that does not answer the `close_notify` is cut after a grace period."""
        wire = self.open()
        wire.ask(headers={"Connection": "close"})
        self.reactor.run(10, 1)
        self.assertTrue(wire.closed)

    def test_truncated(self) -> None:
        """A request whose connection ends without its end, and without a `close_notify`, is not answered."""
        self.serve(resource := HoldingResource())
        wire = self.open()
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        wire.close()
        self.assertEqual((resource.requests, wire.received, wire.closed), ([], b"", True))

    def test_timeoutInHandshake(self) -> None:
        """A client that does not go on with its handshake is cut by the deadline of a head."""
        for sent in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
            wire = self.connect(self.factory)
            wire.send(sent)
            self.reactor.run(9, 1)
            self.assertFalse(wire.closed)
            self.reactor.run(30, 1)
            self.assertTrue(wire.closed)
            self.assertEqual(wire.received, b"")

    def test_junk(self) -> None:
        """Bytes that are neither TLS nor HTTP end the connection, at once or at the deadline."""
        for junk in (
            b"\x16" * 300,
            b"\x80" * 300,
            b"\x00",
            b"\x15\x03\x01\x00\x02\x02\x28",
            b"\x17\x03\x03\x00\x01\x00",
        ):
            wire = self.connect(self.factory)
            wire.send(junk)
            self.reactor.run(30, 1)
            self.assertTrue(wire.closed, junk)

    def test_plainHTTP(self) -> None:
        """Plain HTTP is answered in plain HTTP; nothing more is read, and nothing more is sent."""
        wire = self.connect(self.factory)
        wire.stall()
        wire.begin()
        wire.send(b"GET / HTTP/1.1\r\n\r\n")
        wire.take()
        self.assertEqual((wire.response.status, wire.closed), (400, True))

    def test_stalled(self) -> None:
        """A client that takes nothing pauses the response, is read no more, and is cut by the stall limit."""
        self.serve(resource := HoldingResource())
        wire = self.open()
        wire.begin()
        wire.stall()
        (request,) = resource.requests
        for _ in range(20):
            request.write(b"x" * 10_000)
            self.reactor.turn()
        transport: Any = request.transport
        self.assertGreater(countUnsent(transport.transport), 64 * 1024)
        request.finish()
        self.reactor.run(200, 1)
        self.assertTrue(wire.closed)

    def test_abort(self) -> None:
        """An aborted connection is gone in the next turn, with a reset, and takes and gives no more bytes."""
        self.serve(resource := HoldingResource())
        wire = self.open()
        wire.begin()
        (request,) = resource.requests
        transport: Any = request.transport
        transport.abortConnection()
        transport.write(b"late")
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.reactor.advance(0)
        self.assertEqual((wire.closed, wire.socket.reset, wire.received), (True, True, b""))

    def test_writeWhileClosing(self) -> None:
        """A connection that is being closed is closed when its producer has ended, and takes bytes until then."""
        self.serve(resource := HoldingResource())
        wire = self.open()
        wire.begin()
        (request,) = resource.requests
        transport: Any = request.transport
        transport.loseConnection()
        transport.writeSequence([b"still", b" taken"])
        self.reactor.advance(0)
        self.assertEqual(wire.received, b"still taken")
        transport.unregisterProducer()
        transport.write(b"too late")
        self.reactor.advance(0)
        self.assertEqual(wire.received, b"still taken")
        self.assertEqual(wire.client.get_shutdown(), SSL.RECEIVED_SHUTDOWN)


class TwistedTests(ConnectionTests):
    """Twisted's transport, which serves without speedups: the same."""

    plain = True


class Shaking:
    """
    A handshake, step by step.

    Args:
        wire: The connection.
        version: The version of TLS.

    Attributes:
        client: The client's side of TLS.
        flights: What the client has sent each time.
        received: Bytes from the server, decrypted.
    """

    def __init__(self, wire: Wire, version: int = SSL.TLS1_3_VERSION) -> None:
        self.client = SSL.Connection(makeContext(version), None)
        self.client.set_connect_state()
        self.flights: list[bytes] = []
        self.received = b""
        self._wire = wire
        self._given = 0

    def step(self, size: int = 65536, text: bytes = b"") -> bool:
        """
        Take one step.

        Args:
            size: Bytes that are sent to the server at a time.
            text: Is sent at the end of the handshake, with what belongs to that.

        Returns:
            Whether the handshake is over.
        """
        isOver = False
        with contextlib.suppress(SSL.WantReadError):
            self.client.do_handshake()
            isOver = True
            if text:
                self.client.send(text)
        self.exchange(size)
        return isOver

    def exchange(self, size: int = 65536) -> None:
        """Move bytes in both directions."""
        with contextlib.suppress(SSL.WantReadError):
            self.flights.append(self.client.bio_read(65536))
            for start in range(0, len(self.flights[-1]), size):
                self._wire.send(self.flights[-1][start : start + size])
        sent = self._wire.received
        if len(sent) > self._given:
            self.client.bio_write(sent[self._given :])
            self._given = len(sent)
        with contextlib.suppress(SSL.Error):
            self.received += self.client.recv(65536)


class HandshakeTests(TLSTestCase):
    """Handshakes in pieces, and those that are cut."""

    def shake(self, version: int = SSL.TLS1_3_VERSION, size: int = 65536, text: bytes = b"") -> Shaking:
        """Shake hands; see `Shaking.step`."""
        shaking = Shaking(self.connect(self.factory), version)
        for _ in range(5):
            if shaking.step(size, text):
                return shaking
        raise AssertionError("The handshake has no end.")

    def test_anyCut(self) -> None:
        """A handshake may end after each of its bytes."""
        for version in VERSIONS:
            flights = self.shake(version).flights
            for size in range(sum(map(len, flights))):
                wire, left = self.connect(self.factory), size
                for flight in flights:
                    wire.send(flight[:left])
                    left = max(0, left - len(flight))
                wire.close()
                self.assertTrue(wire.closed)
                self.wires.remove(wire)

    def test_byteByByte(self) -> None:
        """A handshake that comes byte by byte is served, and so is the request behind it."""
        for version in VERSIONS:
            shaking = self.shake(version, 1, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            shaking.exchange()
            self.assertIn(b"https", shaking.received)

    def test_requestAtOnce(self) -> None:
        """A request that comes with the last bytes of the handshake is answered."""
        self.assertIn(b"https", self.shake(text=b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").received)

    def test_answerBefore(self) -> None:
        """Bytes that are written before the end of the handshake follow it; the connection is closed then."""
        wire = self.connect(self.factory)
        protocol: Any = wire.transport.protocol
        protocol.write(b"wa")
        protocol.writeSequence([b"it", b"s"])
        protocol.unregisterProducer()
        protocol.loseConnection()
        protocol.write(b"too late")
        shaking = Shaking(wire)
        while not shaking.step():
            pass
        self.assertEqual(shaking.received, b"waits")
        self.assertRaises(SSL.ZeroReturnError, shaking.client.recv, 1)

    def test_tickets(self) -> None:
        """A client that returns resumes its session with its ticket: it gets no certificate again."""
        for version in VERSIONS:
            context = makeContext(version)
            first = self.open(context)
            self.assertEqual(first.ask().status, 200)
            before = len(self.open(context).socket.sent)
            again = self.open(context, first.client.get_session())
            self.assertLess(len(again.socket.sent), before - 300)
            self.assertEqual(again.ask().status, 200)

    def test_options(self) -> None:
        """The options of the TCP connection can be set through that of TLS."""
        transport: Any = self.open().transport.protocol
        for name in ("NoDelay", "KeepAlive"):
            getattr(transport, f"setTcp{name}")(True)
            self.assertFalse(getattr(transport, f"getTcp{name}")())
        self.assertIsNone(transport.getPeerCertificate())
        self.assertEqual((transport.getPeer().port, transport.getHost().port), (54321, 8000))
        transport.stopProducing()
        self.assertTrue(transport.disconnecting)
