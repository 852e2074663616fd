"""Tests for `sseserver.sources.upstreamproxy`; tests/integration/test_upstream.py has more, over sockets."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.error import ConnectError, TimeoutError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import AccumulatingProtocol, StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase

from sseserver.sources.upstreamproxy import Proxy, TunnelEndpoint, findProxy, readProxy


class URLTests(SynchronousTestCase):
    """`readProxy`."""

    def test_F87_urls(self) -> None:
        """F87: a proxy has a host, a port, and perhaps credentials."""
        credentials = b"Basic " + b64encode(b"a@b:c:d")
        for url, proxy in (
            ("http://proxy:3128", Proxy("proxy", 3128, None)),
            ("http://proxy/", Proxy("proxy", 80, None)),
            ("proxy:3128", Proxy("proxy", 3128, None)),
            ("http://[::1]:3128", Proxy("::1", 3128, None)),
            ("http://a%40b:c%3Ad@proxy:1", Proxy("proxy", 1, credentials)),
        ):
            self.assertEqual(readProxy(url), proxy)

    def test_badURLs(self) -> None:
        """Any other URL is refused in a message that does not repeat it."""
        for url in ("", "http://", "socks5://x:hunter2@p:1", "https://hunter2", "http://p/hunter2", "http://p:99999"):
            self.assertNotIn("hunter2", str(self.assertRaises(ValueError, readProxy, url)))


class EnvironmentTests(SynchronousTestCase):
    """`findProxy`."""

    def test_F87_environment(self) -> None:
        """F87: the variables are read as other clients read them; this machine needs no proxy."""
        both = {"HTTPS_PROXY": "http://s", "http_proxy": "http://h"}
        for environment, url, proxy in (
            ({}, "https://api.example", None),
            (both, "https://api.example/v1", "http://s"),
            (both, "http://api.example:81/v1", "http://h"),
            ({"ALL_PROXY": "http://a"}, "https://api.example", "http://a"),
            ({**both, "NO_PROXY": "example,other"}, "https://api.example", None),
            ({**both, "no_proxy": "api.example:443"}, "https://api.example:443", None),
            ({**both, "NO_PROXY": "*"}, "https://api.example", None),
            (both, "http://127.0.0.1:11434/v1", None),
            (both, "http://localhost:11434/v1", None),
            (both, "http://[::1]:11434/v1", None),
        ):
            self.patch(os, "environ", environment)
            self.assertEqual(findProxy(url), proxy, (environment, url))


class ProxyEndpoint:
    """An endpoint with one transport in memory."""

    def connect(self, factory: Any) -> Any:
        """See `IStreamClientEndpoint.connect`."""
        self.transport = StringTransportWithDisconnection()
        self.transport.protocol = factory.buildProtocol(None)
        self.transport.protocol.makeConnection(self.transport)
        return succeed(self.transport.protocol)


class Accumulating(Factory):
    """Makes protocols that keep what they get."""

    protocol = AccumulatingProtocol
    protocolConnectionMade = None


class TunnelTests(SynchronousTestCase):
    """`TunnelEndpoint`."""

    def setUp(self) -> None:
        """Open a tunnel."""
        self.clock = Clock()
        self.endpoint: Any = ProxyEndpoint()
        tunnel = TunnelEndpoint(self.clock, self.endpoint, b"CONNECT a:443 HTTP/1.1\r\n\r\n", 5.0)
        self.connecting = tunnel.connect(Accumulating())
        self.transport = self.endpoint.transport
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def receive(self, data: bytes) -> None:
        """Receive bytes from the proxy."""
        self.transport.protocol.dataReceived(data)

    def test_F87_tunnel(self) -> None:
        """F87: after the proxy's answer the connection belongs to the protocol, which gets what came with it."""
        self.assertEqual(self.transport.value(), b"CONNECT a:443 HTTP/1.1\r\n\r\n")
        for piece in (b"HTTP/1.1 200 Connection est", b"ablished\r\nX: y\r", b"\n\r\nfirst "):
            self.receive(piece)
        protocol = self.successResultOf(self.connecting)
        self.receive(b"second")
        self.assertEqual((protocol.data, protocol.transport), (b"first second", self.transport))
        self.transport.loseConnection()
        self.assertTrue(protocol.closed)

    def test_refused(self) -> None:
        """Any other answer, or none, fails and closes the connection."""
        for data in (b"HTTP/1.1 407 No\r\n\r\n", b"SSH-2.0\r\n\r\n", b"x" * 20_000):
            self.setUp()
            self.receive(data)
            self.failureResultOf(self.connecting, ConnectError)
            self.assertFalse(self.transport.connected)
        self.setUp()
        self.transport.loseConnection()
        self.failureResultOf(self.connecting, ConnectError)
        self.setUp()
        self.clock.advance(5)
        self.failureResultOf(self.connecting, TimeoutError)

    def tearDown(self) -> None:
        """Give up a tunnel that is not open yet."""
        self.connecting.addErrback(lambda _: None)
        self.connecting.cancel()

    def test_cancel(self) -> None:
        """A connection that is cancelled is closed."""
        self.connecting.cancel()
        self.failureResultOf(self.connecting)
        self.assertFalse(self.transport.connected)
