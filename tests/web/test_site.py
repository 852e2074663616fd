"""
Tests of `sseserver.web.site`.
"""

from __future__ import annotations

import io

from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from sseserver.apis.root import StreamResource
from sseserver.service.service import Settings
from sseserver.web.site import (
    DROPPED,
    FastStreamChannel,
    FastStreamRequest,
    PlainStreamChannel,
    PlainStreamRequest,
    StreamRequest,
    StreamSite,
    chooseConnection,
)
from tests.apis.cases import ScriptedTestCase
from tests.wires import Wire, WireTestCase


class SiteTests(ScriptedTestCase):
    """The site."""

    def test_onlyHTTP11(self) -> None:
        """HTTP/2 is never offered under TLS, even if `h2` is installed."""
        self.patch(Site, "acceptableProtocols", lambda self: [b"h2", b"http/1.1"])
        self.assertEqual(StreamSite(Resource()).acceptableProtocols(), [b"http/1.1"])

    def test_idleConnection(self) -> None:
        """An idle connection is closed after 75 s, more than the 60 s of common load balancers."""
        wire = self.connect(self.factory)
        wire.ask("/assets/app.js")
        self.reactor.run(74)
        self.assertFalse(wire.closed)
        self.reactor.run(2)
        self.assertTrue(wire.closed)

    def test_streamIsNotIdle(self) -> None:
        """A connection with an active stream is not closed, however quiet the stream is."""
        self.serve(self.source, Settings(heartbeat=1000))
        wire = self.view()
        self.reactor.run(500, 1)
        self.assertFalse(wire.closed)
        self.write("a")
        self.assertEqual(wire.response.texts, ["", "a"])

    def test_keywords(self) -> None:
        """Other keywords of Twisted's site are passed on, such as the idle time."""
        site = StreamSite(Resource(), timeout=5, reactor=self.reactor)
        self.assertEqual(site.timeOut, 5)

    def test_deadlinesWhileListening(self) -> None:
        """While a port listens, the loop of the deadlines outlives a connection, afterwards it does not."""
        site = StreamSite(Resource(), reactor=self.reactor)
        site.doStart()
        before = len(self.reactor.getDelayedCalls())
        self.connect(site).close()
        self.assertEqual(len(self.reactor.getDelayedCalls()), before + 1)
        site.doStop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.connect(site).close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_plainSite(self) -> None:
        """The resource works on a site of Twisted."""
        self.factory = Site(StreamResource(self.service), reactor=self.reactor)
        wire = self.view()
        self.write("a")
        self.assertEqual(wire.response.texts, ["", "a"])


class Reading(Resource):
    """A resource that answers any request."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        """Answer."""
        return b"read"


class OwnSiteTests(WireTestCase):
    """F11: a stock site with `StreamRequest`."""

    def refuse(self, site: Site, head: bytes) -> Wire:
        """Send the head of a request whose body is too large."""
        wire = self.connect(site)
        wire.send(b"POST /chat/streams HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n")
        self.assertIn(b"413 Content Too Large", wire.received)
        return wire

    def test_F11_limit(self) -> None:
        """F11: a body that is too large is refused with its head; one within the limit is kept in memory."""
        for limit, length in ((None, b"9000000000"), (10, b"11")):
            site = Site(Reading(), requestFactory=StreamRequest, parsePOSTFormSubmission=False, reactor=self.reactor)
            if limit is not None:
                site.maxBody = limit
            self.refuse(site, b"Content-Length: " + length)
        site.maxBody = 200_000
        contents = []
        self.patch(Reading, "render", lambda self, request: contents.append(type(request.content)) or b"read")
        wire = self.connect(site)
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 150000\r\n\r\n" + b"x" * 150_000)
        self.assertTrue(wire.received.endswith(b"read"))
        self.assertEqual(contents, [io.BytesIO])


class LimitTests(WireTestCase):
    """The limits of a site, which are the same with and without speedups."""

    def post(self, plain: bool, head: bytes, *pieces: bytes) -> Wire:
        """Send a request in pieces to a site whose limit is 10 bytes, as long as it is open."""
        site = StreamSite(Reading(), reactor=self.reactor, plain=plain, maxBody=10)
        wire = self.connect(site)
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n")
        for piece in pieces:
            if not wire.closed:
                wire.send(piece)
        self.reactor.advance(0)
        return wire

    def test_connections(self) -> None:
        """A plain site has connections and requests of Twisted's own, with limits."""
        self.assertEqual(chooseConnection(True), (PlainStreamChannel, PlainStreamRequest))
        self.assertEqual(chooseConnection(False), (FastStreamChannel, FastStreamRequest))

    def test_length(self) -> None:
        """A body within the limit is read; a longer one is refused with its head, and the connection is closed."""
        for plain in (True, False):
            wire = self.post(plain, b"Content-Length: 10", b"x" * 10)
            self.assertTrue(wire.received.endswith(b"read"), plain)
            self.assertFalse(wire.closed)
            wire = self.post(plain, b"Content-Length: 11\r\nExpect: 100-continue")
            self.assertIn(b"413 Content Too Large", wire.received)
            self.assertNotIn(b"100 Continue", wire.received)
            wire.send(b"x" * 11)
            self.reactor.advance(0)
            self.assertTrue(wire.closed)

    def test_chunks(self) -> None:
        """A body of unknown length is refused when it exceeds the limit."""
        for plain in (True, False):
            wire = self.post(plain, b"Transfer-Encoding: chunked", b"a\r\n0123456789\r\n")
            self.assertEqual(wire.received, b"")
            wire.send(b"1\r\nx\r\n")
            self.assertIn(b"413 Content Too Large", wire.received)
            self.assertFalse(wire.closed)
            wire.send(b"0\r\n\r\n")
            self.reactor.advance(0)
            self.assertTrue(wire.closed)

    def test_endless(self) -> None:
        """A refused body is read on up to 16 MiB more; then the connection is closed."""
        for plain in (True, False):
            wire = self.post(plain, b"Content-Length: 100000000", b"x" * 10, *[b"x" * (DROPPED // 16)] * 16)
            self.assertFalse(wire.closed)
            wire.send(b"x")
            self.reactor.advance(0)
            self.assertTrue(wire.closed)
