"""
Tests of `sseserver.web.heads`: requests that are refused by their heads, on plain and fast channels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from sseserver.web.connection import CLOSE_GRACE, DROPPED
from sseserver.web.heads import CHECKS
from sseserver.web.site import StreamSite
from tests.http import parseResponses
from tests.smuggling import FORMS, SECOND
from tests.speedups.mirror import Mirror
from tests.wires import Wire, WireTestCase

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class HeadTestCase(WireTestCase):
    """Requests to a resource that notes them."""

    def open(self, plain: bool) -> Wire:
        """Connect to a site of its own."""
        self.mirror = Mirror()
        return self.connect(StreamSite(self.mirror, reactor=self.reactor, plain=plain, maxBody=1000))

    def ask(self, data: bytes, name: str = "", before: int = 0) -> tuple[int, str]:
        """
        Send bytes to a plain and to a fast site, and check that the answer to the last request is an error in JSON, and
        that the connection is closed.

        Args:
            data: The bytes.
            name: Names them if the check fails.
            before: Number of requests in them that are answered with success.

        Returns:
            The status, and the message.
        """
        outcomes = []
        for plain in (True, False):
            wire = self.open(plain)
            wire.send(data)
            self.reactor.advance(0)
            self.assertTrue(wire.closed, name)
            self.assertEqual(wire.received.count(b"HTTP/1.1 "), before + 1, name)
            *others, answer = parseResponses(wire.received, ["GET"] * (before + 1), True)
            self.assertEqual([other.status for other in others], [200] * before, name)
            self.assertEqual(len(self.mirror.seen), before, name)
            self.assertEqual(answer.headers["content-type"], "application/json", name)
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff", name)
            self.assertEqual(answer.headers["connection"], "close", name)
            outcomes.append((answer.status, json.loads(answer.body)["error"]["message"]))
            self.assertTrue(answer.complete, name)
        self.assertEqual(*outcomes, name)
        return outcomes[0]


class FormTests(HeadTestCase):
    """Requests whose end is not clear."""

    def test_emptyLine(self) -> None:
        """RFC 9112, 2.2: one empty line before each request is ignored, however it comes; a second one is refused."""
        for plain in (True, False):
            for pieces in ([b"\r\n" + GET], [b"\r\n", GET], [b"\r", b"\n" + GET], [b"\r\nG", GET[1:]]):
                wire = self.open(plain)
                for data in pieces * 2:
                    wire.send(data)
                    self.reactor.advance(0)
                self.assertEqual(
                    [answer.status for answer in parseResponses(wire.received, ["GET"] * 2, False)], [200] * 2
                )
                self.assertEqual(len(self.mirror.seen), 2)
                wire.close()
        for data in (b"\r\n\r\n" + GET, b"\n" + GET, b" \r\n" + GET):
            self.assertEqual(self.ask(data)[0], 400)
            self.assertEqual(self.ask(GET + data, before=1)[0], 400)

    def test_F78_forms(self) -> None:
        """F78, F83: each form gets one answer, an error, and the connection is closed."""
        self.assertGreater(len(FORMS), 100)
        for name, form in FORMS.items():
            status, _ = self.ask(form + SECOND, name)
            self.assertIn(status, {400, 415, 417, 501}, name)

    def test_F78_pipelined(self) -> None:
        """F78: the same behind another request, whose answer comes first."""
        for name, form in FORMS.items():
            self.ask(GET + form + SECOND, name, before=1)

    def test_F78_inPieces(self) -> None:
        """F78: the same if the form comes in pieces."""
        for name, form in FORMS.items():
            if len(form) < 500:
                for plain in (True, False):
                    wire = self.open(plain)
                    for byte in form + SECOND:
                        if not wire.closed:
                            wire.send(bytes([byte]))
                    self.reactor.advance(0)
                    self.assertEqual((wire.received.count(b"HTTP/1.1 "), wire.closed), (1, True), name)
                    self.assertEqual(self.mirror.seen, [], name)


class RefusalTests(HeadTestCase):
    """Single fields, and their statuses."""

    def post(self, *fields: bytes) -> bytes:
        """Return a POST with these fields."""
        return b"POST / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"%b\r\n" % field for field in fields) + b"\r\n"

    def assertAnswered(self, data: bytes, bodies: Iterable[bytes]) -> None:
        """Check that requests reach the resource, with these bodies."""
        for plain in (True, False):
            wire = self.open(plain)
            wire.send(data)
            self.assertEqual([seen[2][0] for seen in self.mirror.seen], list(bodies))  # type: ignore[index]
            self.assertFalse(wire.closed)

    def test_F82_expectation(self) -> None:
        """F82: an unknown expectation gets 417; `100-continue`, in any case, is met."""
        status, message = self.ask(self.post(b"Expect: x", b"Content-Length: 2") + b"ab")
        self.assertEqual(status, 417)
        self.assertIn("100-continue", message)
        self.assertAnswered(self.post(b"expect: 100-Continue", b"Content-Length: 2") + b"ab", [b"ab"])

    def test_F82_compressed(self) -> None:
        """F82: a compressed body gets 415; `identity` means none."""
        status, message = self.ask(self.post(b"Content-Encoding: gzip", b"Content-Length: 2") + b"ab")
        self.assertEqual(status, 415)
        self.assertIn("Content-Encoding", message)
        self.assertAnswered(self.post(b"Content-Encoding: Identity", b"Content-Length: 2") + b"ab", [b"ab"])

    def test_F81_target(self) -> None:
        """F81: a request line over the limit gets 414, a head over the limit 431, also behind a request."""
        for before in (0, 1):
            line = b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
            self.assertEqual(self.ask(GET * before + line, before=before)[0], 414)
            self.assertEqual(self.ask(GET * before + line[:17_000], before=before)[0], 414)
            field = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"
            self.assertEqual(self.ask(GET * before + field, before=before)[0], 431)

    def test_message(self) -> None:
        """A head that Twisted refuses gets an error that says so."""
        status, message = self.ask(b"hello\r\n\r\n")
        self.assertEqual(status, 400)
        self.assertIn("not valid HTTP/1.1", message)

    def test_F82_noContinue(self) -> None:
        """A body that will be refused is not asked for: no `100 Continue` comes before a 413."""
        for fields in (
            (b"Expect: 100-continue", b"Content-Length: 1001"),
            (b"Content-Length: 1001", b"Expect: 100-continue"),
        ):
            for plain in (True, False):
                wire = self.open(plain)
                wire.send(self.post(*fields))
                self.assertTrue(wire.received.startswith(b"HTTP/1.1 413 "), wire.received)
                self.assertEqual(wire.received.count(b"HTTP/1.1 "), 1)

    def test_fastFields(self) -> None:
        """The fast channel hands the fields that are checked to the check."""
        for name in CHECKS:
            self.ask(self.post(name + b": \x04"))


class LingeringTests(HeadTestCase):
    """The end of a connection after a refusal."""

    def refuse(self, plain: bool) -> Wire:
        """Send a request that is refused."""
        wire = self.open(plain)
        wire.send(b"hello\r\n")
        self.assertTrue(wire.socket.ended)
        self.assertFalse(wire.socket.closed)
        return wire

    def test_dropped(self) -> None:
        """The rest of a request is read and dropped, so that the answer is not lost to a reset."""
        for plain in (True, False):
            wire = self.refuse(plain)
            for _ in range(10):
                wire.send(GET)
            self.assertEqual(wire.unread, 0)
            self.assertEqual(wire.received.count(b"HTTP/1.1 "), 1)
            wire.close()
            self.assertTrue(wire.socket.closed)
            self.assertFalse(wire.socket.reset)

    def test_grace(self) -> None:
        """A client that does not close is cut after a grace."""
        for plain in (True, False):
            wire = self.refuse(plain)
            self.reactor.run(CLOSE_GRACE - 0.5)
            self.assertFalse(wire.socket.closed)
            self.reactor.run(2)
            self.assertTrue(wire.socket.closed)

    def test_tooMuch(self) -> None:
        """A client that sends on and on is cut before."""
        for plain in (True, False):
            wire = self.refuse(plain)
            wire.send(b"x" * (DROPPED + 1))
            self.reactor.advance(0)
            self.assertTrue(wire.socket.closed)
