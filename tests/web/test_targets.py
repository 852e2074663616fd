"""
Tests of `sseserver.web.targets`: targets of requests that are no paths.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import BadRequest
from sseserver.web.site import StreamSite
from sseserver.web.targets import MethodNotSupported, Target, readTarget
from tests.speedups.mirror import Mirror
from tests.wires import WireTestCase


class TargetTests(SynchronousTestCase):
    """The forms of targets."""

    def test_F79_absolute(self) -> None:
        """An absolute form is a path, and an authority."""
        for target, expected in (
            (b"http://a/x?y=http://b/", Target(b"/x?y=http://b/", b"a")),
            (b"HTTPS://127.0.0.1:8000", Target(b"/", b"127.0.0.1:8000")),
            (b"http://[::1]:80?x", Target(b"/?x", b"[::1]:80")),
        ):
            self.assertEqual(readTarget(b"GET", target), expected)

    def test_asterisk(self) -> None:
        """The asterisk form stays as it is."""
        self.assertEqual(readTarget(b"OPTIONS", b"*"), Target(b"*", None))

    def test_refused(self) -> None:
        """Anything else is refused, and so are proxy requests."""
        for target in (
            b"x",
            b"a:80",
            b"http:/a",
            b"http:///a",
            b"http://u@a/",
            b"ftp://a/",
            b"http://a/#x",
            b"?x",
            b"*",
            b"**",
        ):
            self.assertRaises(BadRequest, readTarget, b"GET", target)
        self.assertRaises(MethodNotSupported, readTarget, b"CONNECT", b"a:80")


class RequestTests(WireTestCase):
    """Requests with such targets."""

    def test_F80_asterisk(self) -> None:
        """F80: a request for the whole server needs one `Host` as well; no resource sees it."""
        for fields, status in ((b"Host: a\r\n", b"200"), (b"", b"400"), (b"Host: a\r\nHost: a\r\n", b"400")):
            for plain in (True, False):
                wire = self.connect(StreamSite(Mirror(), reactor=self.reactor, plain=plain))
                wire.send(b"OPTIONS * HTTP/1.1\r\n" + fields + b"\r\n")
                self.assertTrue(wire.received.startswith(b"HTTP/1.1 " + status), wire.received)
                self.reactor.advance(0)
                self.assertEqual(wire.closed, status == b"400")

    def see(self, head: bytes) -> tuple[bytes, list[bytes]]:
        """Send a head to a plain and to a fast site; return the target and the `Host` fields that the resource sees."""
        outcomes = []
        for plain in (True, False):
            mirror = Mirror()
            wire = self.connect(StreamSite(mirror, reactor=self.reactor, plain=plain))
            wire.send(head + b"\r\n")
            ((line, fields, *_),) = mirror.seen  # type: ignore[misc]
            outcomes.append((line[1], dict(fields).get(b"Host", [])))
        self.assertEqual(*outcomes)
        return outcomes[0]

    def test_F79_host(self) -> None:
        """F79: the authority of an absolute form replaces the `Host` field; a missing or repeated one stays."""
        line = b"GET http://a:80/x HTTP/1.1\r\n"
        self.assertEqual(self.see(line + b"Host: b\r\n"), (b"/x", [b"a:80"]))
        self.assertEqual(self.see(line), (b"/x", []))
        self.assertEqual(self.see(line + b"Host: b\r\nHost: c\r\n"), (b"/x", [b"b", b"c"]))
