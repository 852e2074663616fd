"""
Tests of `sseserver.web.deadlines`: the time and the size of the parts of a request.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.web.resource import Resource

from sseserver.web.deadlines import BODY_RATE, BODY_TIMEOUT, HEAD_TIMEOUT
from sseserver.web.site import IDLE_TIMEOUT, StreamSite
from tests.resources import HoldingResource
from tests.wires import Wire, WireTestCase

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class ReadingResource(Resource):
    """A resource that answers any request."""

    isLeaf = True

    def render(self, request: object) -> bytes:
        return b"answer"


class DeadlineTests(WireTestCase):
    """F15: a client has its time for each part of a request, and bytes that trickle do not extend it."""

    def open(self) -> Iterator[Wire]:
        """Connect to a plain and to a fast site."""
        for plain in (True, False):
            yield self.connect(StreamSite(ReadingResource(), reactor=self.reactor, plain=plain))

    def trickle(self, wire: Wire, data: bytes, seconds: float) -> None:
        """Send bytes one by one within some time."""
        for byte in data:
            if not wire.closed:
                wire.send(bytes([byte]))
                self.reactor.run(seconds / len(data))

    def assertTimesOut(self, wire: Wire, seconds: float, received: bytes = b"") -> None:
        """Check that a connection is closed after a time, with the bytes that were received until then."""
        self.reactor.run(seconds - 0.3)
        self.assertFalse(wire.closed)
        self.reactor.run(0.6)
        self.assertTrue(wire.closed)
        self.assertIn(received, wire.received)
        if not received:
            self.assertEqual(wire.received, b"")

    def test_F15_silent(self) -> None:
        """A client that sends nothing is disconnected after the time for a head, without an answer."""
        for wire in self.open():
            self.assertTimesOut(wire, HEAD_TIMEOUT)

    def test_F15_trickling(self) -> None:
        """A head has its time from the connection on, however often a byte of it comes."""
        for wire in self.open():
            self.trickle(wire, b"GET / HTTP/1.1\r\nX: aaaaaaaaaaaaa", HEAD_TIMEOUT - 2)
            self.assertTimesOut(wire, 2, b"HTTP/1.1 408 Request Timeout\r\n")
            self.assertIn(b'"code": "request_timeout"', wire.received)

    def test_F15_nextHead(self) -> None:
        """The next head has its time from its first byte on, alone or behind a request, in any part of a line."""
        for start in (b"G", b"GET / HTTP/1.1\r\n", GET[:-1], GET + b"G", GET + b"GET / HTTP/1.1\r\nX"):
            for wire in self.open():
                wire.send(GET)
                self.reactor.run(60)
                wire.send(start)
                self.trickle(wire, b"xxxxxxxx", HEAD_TIMEOUT - 2)
                self.assertTimesOut(wire, 2, b"HTTP/1.1 408 ")

    def test_F15_idle(self) -> None:
        """Between two requests a connection has the idle time of the site, each time anew."""
        for wire in self.open():
            for _ in range(3):
                wire.send(GET)
                self.reactor.run(IDLE_TIMEOUT - 1)
                self.assertFalse(wire.closed)
            self.reactor.run(1.3)
            self.assertTrue(wire.closed)
            self.assertNotIn(b"408", wire.received)

    def test_F15_noIdleLimit(self) -> None:
        """A site without an idle limit has the other limits."""
        for plain in (True, False):
            wire = self.connect(StreamSite(ReadingResource(), reactor=self.reactor, plain=plain, timeout=None))
            wire.send(GET)
            self.reactor.run(500, 1)
            wire.send(b"G")
            self.assertTimesOut(wire, HEAD_TIMEOUT, b"408")

    def test_F15_body(self) -> None:
        """A body has its time, and more the more of it comes."""
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n"
        for wire in self.open():
            wire.send(head)
            self.trickle(wire, b"x" * 20, BODY_TIMEOUT - 2)
            self.assertTimesOut(wire, 2, b"HTTP/1.1 408 ")
        for wire in self.open():
            wire.send(head)
            for _ in range(20):
                wire.send(b"x" * BODY_RATE)
                self.reactor.run(2)
            self.assertFalse(wire.closed)
            self.assertTimesOut(wire, BODY_TIMEOUT + 20 - 40, b"HTTP/1.1 408 ")

    def test_F15_bodyWithItsHead(self) -> None:
        """A body that came with its head has a deadline as well; one that is complete has none."""
        for wire in self.open():
            wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nx")
            self.assertTimesOut(wire, BODY_TIMEOUT, b"408")

    def test_F15_response(self) -> None:
        """A response may take any time; afterwards the connection is idle, and has its deadlines again."""
        for plain in (True, False):
            held = HoldingResource()
            wire = self.connect(StreamSite(held, reactor=self.reactor, plain=plain))
            wire.send(GET)
            self.reactor.run(1000, 1)
            self.assertFalse(wire.closed)
            held.requests[-1].finish()
            self.reactor.run(IDLE_TIMEOUT - 1)
            wire.send(b"G")
            self.assertTimesOut(wire, HEAD_TIMEOUT, b"408")

    def test_F15_refusedOnce(self) -> None:
        """A body that was refused, and does not end, gets no second answer."""
        for plain in (True, False):
            wire = self.connect(StreamSite(ReadingResource(), reactor=self.reactor, plain=plain, maxBody=10))
            wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nx")
            self.reactor.run(BODY_TIMEOUT + 1)
            self.assertTrue(wire.closed)
            self.assertEqual(wire.received.count(b"HTTP/1.1 "), 1)
            self.assertIn(b"413 Content Too Large", wire.received)

    def test_F15_nothingLeft(self) -> None:
        """A connection that is closed leaves no timer, whatever it was doing."""
        for data in (b"", b"G", GET, GET + b"G", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nx"):
            for wire in self.open():
                wire.send(data)
                self.reactor.run(1)
                wire.close()
                self.reactor.advance(0)
                self.assertEqual(self.reactor.getDelayedCalls(), [], data)


class SizeTests(WireTestCase):
    """F15: the head of a request has at most 16 KiB."""

    def ask(self, head: bytes) -> bytes:
        """Send a head to a plain and to a fast site, and return the first line of the answer."""
        lines = set()
        for plain in (True, False):
            wire = self.connect(StreamSite(ReadingResource(), reactor=self.reactor, plain=plain))
            for place in range(0, len(head), 1000):
                if not wire.closed:
                    wire.send(head[place : place + 1000])
            self.reactor.advance(0)
            self.assertEqual(wire.closed, b" 200 " not in wire.received)
            lines.add(wire.received.partition(b"\r\n")[0])
        (line,) = lines
        return line

    def test_F15_size(self) -> None:
        """F81: one that is larger is answered 431, or 414 if its first line is, and only then closed."""
        start, end = b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"\r\n\r\n"
        fits = 16 * 1024 - len(start) - len(end)
        self.assertEqual(self.ask(start + b"a" * fits + end), b"HTTP/1.1 200 OK")
        refusal = b"HTTP/1.1 431 Request Header Fields Too Large"
        self.assertEqual(self.ask(start + b"a" * (fits + 1) + end), refusal)
        self.assertEqual(self.ask(start + b"a" * 20_000), refusal)
        self.assertEqual(self.ask(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n"), b"HTTP/1.1 414 URI Too Long")
        self.assertEqual(self.ask(b"GET / HTTP/1.1\r\n" + b"X: %b\r\n" % (b"a" * 50) * 400 + b"\r\n"), refusal)

    def test_F15_eachHead(self) -> None:
        """Each head on a connection has this size."""
        for plain in (True, False):
            wire = self.connect(StreamSite(ReadingResource(), reactor=self.reactor, plain=plain))
            for _ in range(5):
                wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 10_000 + b"\r\n\r\n")
            self.assertEqual(wire.received.count(b"200 OK"), 5)
