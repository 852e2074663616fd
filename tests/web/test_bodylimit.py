"""
Tests of `sseserver.web.bodylimit`: bodies are kept in memory, and limited.
"""

from __future__ import annotations

import io

from twisted.internet.tcp import Server
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from sseserver.apis.root import StreamResource
from sseserver.settings import MODEL_BODY, NATIVE_BODY, Settings
from sseserver.web.bodylimit import DROPPED, READ_CHUNKED
from sseserver.web.site import StreamRequest, StreamSite
from tests.served import ServedTestCase
from tests.wires import Wire, WireTestCase


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

    def test_smallReads(self) -> None:
        """A body in chunks is read in small pieces, since each chunk takes time; what follows it is not."""
        for plain in (True, False):
            wire = self.post(plain, b"Transfer-Encoding: chunked", b"1\r\n")
            self.assertEqual(wire.transport.bufferSize, READ_CHUNKED)
            wire.send(b"x\r\n0\r\n\r\n")
            self.assertTrue(wire.received.endswith(b"read"), plain)
            self.assertEqual(wire.transport.bufferSize, Server.bufferSize)

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


class ResourceLimitTests(ServedTestCase):
    """Limits of resources, which hold before they are looked for."""

    def begin(self, target: bytes, fields: bytes, mounted: bool = False) -> Wire:
        """Send the head of a POST."""
        root: Resource = StreamResource(self.service)
        if mounted:
            root, below = Resource(), root
            root.putChild(b"chat", below)
        wire = self.connect(StreamSite(root, reactor=self.reactor))
        wire.send(b"POST %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n" % (target, fields))
        return wire

    def test_continue(self) -> None:
        """A body over the limit of its resource is refused at once, and not asked for; others are."""
        fields = b"Content-Length: %d\r\nExpect: 100-continue"
        for target, size, expected in (
            (b"/streams", NATIVE_BODY, b"100"),
            (b"/streams", NATIVE_BODY + 1, b"413"),
            (b"/streams/", NATIVE_BODY + 1, b"413"),
            (b"/%73treams/news/cancel?x=/", NATIVE_BODY + 1, b"413"),
            (b"/v1/chat/completions", NATIVE_BODY + 1, b"100"),
            (b"/api/chat", MODEL_BODY, b"100"),
            (b"/api/chat", MODEL_BODY + 1, b"413"),
            (b"/nothing", NATIVE_BODY + 1, b"100"),
            (b"http://localhost/streams", NATIVE_BODY + 1, b"100"),
        ):
            wire = self.begin(target, fields % size)
            self.assertEqual(wire.received[9:12], expected, target)
            self.assertEqual(wire.received.count(b"HTTP/1.1 "), 1, target)
        self.assertIn(b"has more than 1048576 bytes", self.begin(b"/streams", fields % 2_000_000).received)

    def test_mounted(self) -> None:
        """The limit also holds where the resource is mounted elsewhere."""
        for target, expected in ((b"/chat/streams/a", b"413"), (b"/streams/a", b"100"), (b"/chat/api/chat", b"100")):
            wire = self.begin(target, b"Content-Length: 2000000\r\nExpect: 100-continue", mounted=True)
            self.assertEqual(wire.received[9:12], expected, target)

    def test_chunks(self) -> None:
        """A body of unknown length is refused when it exceeds the limit of its resource."""
        wire = self.begin(b"/streams/a", b"Transfer-Encoding: chunked")
        wire.send(b"100000\r\n%b\r\n" % (b"x" * NATIVE_BODY))
        self.assertEqual(wire.received, b"")
        wire.send(b"1\r\nx\r\n")
        self.assertEqual(wire.received[9:12], b"413")

    def test_option(self) -> None:
        """`--max-body` is the limit of all resources."""
        self.serve(self.source, Settings(maxBody=100_000))
        for target in (b"/streams", b"/v1/chat/completions"):
            root = StreamResource(self.service)
            wire = self.connect(StreamSite(root, reactor=self.reactor, maxBody=self.service.settings.modelBody))
            wire.send(b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100001\r\n\r\n" % target)
            self.assertEqual(wire.received[9:12], b"413")
