"""
Tests of `sseserver.command.tlsport`: handshakes in memory, with certificates in files.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.application import strports
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from sseserver.command.listening import BadEndpoint
from sseserver.command.tlsport import TLSReactor, isTLS
from sseserver.web.site import StreamSite
from tests.certificates import makePEM


class Hello(Resource):
    """Answers each request."""

    isLeaf = True

    def render(self, request: object) -> bytes:
        return b"hello"


class Transport(StringTransport):
    """A TCP transport in memory."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See `ITCPTransport.setTcpNoDelay`."""

    def abortConnection(self) -> None:
        """See `ITransport.abortConnection`."""


class Client:
    """
    A TLS client in memory.

    Args:
        factory: Of the server's protocols.
        protocols: The protocols that it offers.
    """

    def __init__(self, factory: Any, *protocols: bytes) -> None:
        self.transport = Transport()
        self._protocol = factory.buildProtocol(None)
        self._protocol.makeConnection(self.transport)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if protocols:
            context.set_alpn_protos(list(protocols))
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()
        self.exchange(self.tls.do_handshake)

    def exchange(self, act: Any) -> Any:
        """Do something, and move bytes in both directions until it is done."""
        for _ in range(10):
            try:
                return act()
            except SSL.WantReadError:
                self.flush()
        raise AssertionError("The server does not answer.")

    def flush(self) -> None:
        """Move bytes in both directions."""
        with contextlib.suppress(SSL.WantReadError):
            self._protocol.dataReceived(self.tls.bio_read(65536))
        if self.transport.value():
            self.tls.bio_write(self.transport.value())
            self.transport.clear()

    def ask(self, clock: MemoryReactorClock) -> bytes:
        """Make a request, and return the answer."""
        self.tls.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.flush()
        clock.advance(0)
        return bytes(self.exchange(lambda: self.tls.recv(65536)))

    @property
    def serial(self) -> int:
        """Serial number of the server's certificate."""
        certificate = self.tls.get_peer_certificate()
        assert certificate is not None
        return certificate.get_serial_number()


class PortTests(SynchronousTestCase):
    """One TLS port."""

    def setUp(self) -> None:
        self.pem = Path(self.mktemp())
        self.pem.write_bytes(b"".join(makePEM()))
        self.clock = MemoryReactorClock()
        description = f"ssl:443:privateKey={self.pem}:certKey={self.pem}:interface=127.0.0.1"
        self.port = TLSReactor(self.clock, description)
        site: Any = StreamSite(Hello(), reactor=self.clock, accessLog=None)
        strports.service(description, site, self.port).startService()
        ((number, self.factory, _, interface),) = self.clock.tcpServers
        self.assertEqual((number, interface), (443, "127.0.0.1"))

    def test_isTLS(self) -> None:
        """Endpoints of the type `ssl` are TLS ports."""
        self.assertEqual([isTLS(each) for each in ("ssl:443", "tcp:443", "unix:ssl:")], [True, False, False])

    def test_onlyHTTP11(self) -> None:
        """A client that offers HTTP/2 as well gets HTTP/1.1, and one that offers nothing too."""
        for protocols, chosen in (((b"h2", b"http/1.1"), b"http/1.1"), ((), b"")):
            client = Client(self.factory, *protocols)
            self.assertEqual(client.tls.get_alpn_proto_negotiated(), chosen)
            self.assertIn(b"hello", client.ask(self.clock))

    def test_reload(self) -> None:
        """A new certificate is for new connections; those that are open go on with theirs."""
        before = Client(self.factory)
        self.pem.write_bytes(b"".join(makePEM()))
        self.assertEqual(Client(self.factory).serial, before.serial)
        self.port.reload()
        after = Client(self.factory)
        self.assertNotEqual(after.serial, before.serial)
        for client in (before, after):
            self.assertIn(b"hello", client.ask(self.clock))

    def test_badReload(self) -> None:
        """A certificate that cannot be used is refused with a reason, and the old one stays."""
        before = Client(self.factory).serial
        (key, _), (_, certificate) = makePEM(), makePEM()
        for content in (b"junk", key + certificate, None):
            self.pem.unlink() if content is None else self.pem.write_bytes(content)
            error = self.assertRaises(BadEndpoint, self.port.reload)
            self.assertRegex(str(error), "No such file|PEM|do not match")
            self.assertEqual(Client(self.factory).serial, before)

    def test_pipe(self) -> None:
        """A pipe in the place of a certificate is refused: nobody waits for its writer."""
        self.pem.unlink()
        os.mkfifo(self.pem)
        self.assertRegex(str(self.assertRaises(BadEndpoint, self.port.reload)), "this is a pipe")

    def test_reloadBefore(self) -> None:
        """A port that does not listen yet reads its certificate when it does."""
        TLSReactor(self.clock, "ssl:1:privateKey=/nowhere").reload()

    def test_plainHTTP(self) -> None:
        """Plain HTTP gets an answer in plain HTTP that names the scheme, and the connection is closed."""
        transport = Transport()
        protocol = self.factory.buildProtocol(None)
        protocol.makeConnection(transport)
        protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 400 Bad Request\r\n"))
        self.assertIn(b"https://", transport.value())
        self.assertTrue(transport.disconnecting)
