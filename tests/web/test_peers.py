"""
Tests of `sseserver.web.peers`: the clients behind proxies, and the connections of each client.
"""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.web.access.proxies import TrustedProxies
from sseserver.web.peers import HEADER_TIMEOUT, Peers
from sseserver.web.site import StreamSite
from tests.fakes import logged
from tests.wires import Wire, WireTestCase

GET = b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n"
HEADER = b"PROXY TCP4 8.8.8.8 10.0.0.1 1234 80\r\n"


class Echo(Resource):
    """Answers with the address of the client, and whether its connection is secure."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """Answer."""
        return f"{request.getClientAddress().host} {request.isSecure()}".encode()


class PeerTestCase(WireTestCase):
    """A site with trusted proxies."""

    peers = Peers(TrustedProxies(["10.0.0.0/8"]), maxConnectionsEach=2)
    plain = False
    host = "10.0.0.1"

    def setUp(self) -> None:
        super().setUp()
        self.factory = StreamSite(Echo(), reactor=self.reactor, peers=self.peers, plain=self.plain)

    def open(self, data: bytes = b"") -> Wire:
        """Open a connection, and send something."""
        wire = self.connect(self.factory)
        wire.send(data)
        self.reactor.advance(0)
        return wire

    def echo(self, *fields: bytes, before: bytes = b"") -> str:
        """Send a request with header fields; return the body of the answer."""
        wire = self.open()
        wire.methods.append("GET")
        wire.send(before + GET % b"".join(field + b"\r\n" for field in fields))
        body: bytes = wire.response.body
        wire.close()
        return body.decode()


class ForwardedTests(PeerTestCase):
    """Headers of trusted proxies."""

    def test_address(self) -> None:
        """The request has the address that a trusted proxy names, and nobody else."""
        self.assertEqual(self.echo(b"X-Forwarded-For: 1.2.3.4, 8.8.8.8"), "8.8.8.8 False")
        self.assertEqual(self.echo(), "10.0.0.1 False")
        self.host = "9.9.9.9"
        self.assertEqual(self.echo(b"X-Forwarded-For: 8.8.8.8", b"X-Forwarded-Proto: https"), "9.9.9.9 False")

    def test_scheme(self) -> None:
        """A request is secure if it has come to the proxy over TLS."""
        self.assertEqual(self.echo(b"X-Forwarded-For: 8.8.8.8", b"X-Forwarded-Proto: https"), "8.8.8.8 True")
        self.assertEqual(self.echo(b"X-Forwarded-Proto: http"), "10.0.0.1 False")

    def test_pipelined(self) -> None:
        """Each request on the connection of a proxy has its own client."""
        wire = self.open()
        for host in (b"8.8.8.8", b"8.8.4.4"):
            wire.methods.append("GET")
            wire.send(GET % b"X-Forwarded-For: %b\r\n" % host)
        self.assertEqual([each.body for each in wire.responses], [b"8.8.8.8 False", b"8.8.4.4 False"])


class PlainForwardedTests(ForwardedTests):
    """The same without speedups."""

    plain = True


class ConnectionLimitTests(PeerTestCase):
    """The limit of connections from one address."""

    def test_limit(self) -> None:
        """Connections above the limit are closed at once; others are served."""
        self.host = "8.8.8.8"
        wires = [self.open() for _ in range(2)]
        with logged() as events:
            self.assertTrue(self.open().closed)
        (text,) = [event["log_format"] for event in events if "refused" in event]
        self.assertIn("--max-connections-per-address", text)
        self.host = "8.8.4.4"
        self.assertFalse(self.open().closed)
        self.host = "8.8.8.8"
        wires[0].close()
        self.assertFalse(self.open().closed)
        self.assertEqual(self.factory.connections.clients.refused, 1)

    def test_network(self) -> None:
        """The addresses of an IPv6 network of 64 bits have one limit."""
        opened = []
        for host in ("2606:4700::1", "2606:4700::2", "2606:4700::3"):
            self.host = host
            opened.append(self.open())
        self.assertEqual([wire.closed for wire in opened], [False, False, True])

    def test_exempt(self) -> None:
        """A trusted proxy and this machine have no limit."""
        for self.host in ("10.0.0.1", "127.0.0.1"):
            self.assertEqual([self.open().closed for _ in range(5)], [False] * 5)
        self.assertEqual(self.factory.connections.clients.counts.count, 0)

    def test_empty(self) -> None:
        """Nothing is kept of clients without connections."""
        self.host = "8.8.8.8"
        wire = self.open()
        self.assertEqual(self.factory.connections.clients.counts.count, 1)
        wire.close()
        self.assertEqual((self.factory.connections.clients.counts.count, self.factory.connections.count), (0, 0))


class ProxyProtocolTests(PeerTestCase):
    """The PROXY protocol."""

    peers = Peers(TrustedProxies(["10.0.0.0/8"]), True, maxConnectionsEach=2)

    def test_address(self) -> None:
        """All requests of the connection have the address of the header."""
        wire = self.open(HEADER)
        for _ in range(2):
            wire.methods.append("GET")
            wire.send(GET % b"X-Forwarded-For: 1.2.3.4\r\n")
        self.assertEqual([each.body for each in wire.responses], [b"8.8.8.8 False"] * 2)

    def test_pieces(self) -> None:
        """The header may come byte by byte, and with the request."""
        self.assertEqual(self.echo(before=HEADER), "8.8.8.8 False")
        wire = self.open()
        wire.methods.append("GET")
        for number in range(len(HEADER)):
            wire.send(HEADER[number : number + 1])
        wire.send(GET % b"")
        self.assertEqual(wire.response.body, b"8.8.8.8 False")

    def test_local(self) -> None:
        """A connection of the proxy's own has its address, and may have `X-Forwarded-For`."""
        before = b"PROXY UNKNOWN\r\n"
        self.assertEqual(self.echo(before=before), "10.0.0.1 False")
        self.assertEqual(self.echo(b"X-Forwarded-For: 8.8.8.8", before=before), "8.8.8.8 False")

    def test_missing(self) -> None:
        """A connection without a header is closed, and one that is too slow."""
        with logged() as events:
            self.assertTrue(self.open(GET % b"").closed)
        self.assertEqual(len([event for event in events if "error" in event]), 1)
        slow = self.open(HEADER[:9])
        self.reactor.run(HEADER_TIMEOUT - 1)
        self.assertFalse(slow.closed)
        self.reactor.run(2)
        self.assertTrue(slow.closed)
        left = self.open(HEADER[:9])
        left.close()
        self.assertEqual((self.factory.connections.count, self.factory.connections.waiting), (0, {}))

    def test_others(self) -> None:
        """Anybody else needs no header, and none is believed."""
        self.host = "9.9.9.9"
        self.assertEqual(self.echo(), "9.9.9.9 False")
        wire = self.open()
        wire.methods.append("GET")
        wire.send(HEADER + GET % b"")
        self.assertEqual(wire.response.status, 400)

    def test_limit(self) -> None:
        """The limit of connections holds for the client that the header names."""
        wires = [self.open(HEADER) for _ in range(3)]
        self.assertEqual([wire.closed for wire in wires], [False, False, True])
        self.assertFalse(self.open(HEADER.replace(b"8.8.8.8", b"8.8.4.4")).closed)
        wires[0].close()
        self.assertFalse(self.open(HEADER).closed)
        self.assertEqual(self.factory.connections.count, 3)


class PlainProxyProtocolTests(ProxyProtocolTests):
    """The same without speedups."""

    plain = True
