"""
Tests of `sseserver.speedups.accesslog`.
"""

from __future__ import annotations

import io
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.web.http import combinedLogFormatter

from sseserver.speedups.accesslog import accessLine
from tests.speedups.cases import FastTestCase, makeFastSite
from tests.speedups.mirror import GOOD, Mirror


class LogTests(FastTestCase):
    """Lines of the access log."""

    def ended(self, request: bytes) -> Any:
        """Make a request, and catch it when it is logged."""
        caught: list[Any] = []
        site = self.site(Mirror())
        self.patch(site, "log", caught.append)
        self.connect(site).send(request)
        return caught[0]

    def test_sameLine(self) -> None:
        """
        A line is what Twisted writes, whatever the client sends.
        """
        heads = [request for name, request in GOOD.items() if name != "star"]
        values = (b"Mozilla/5.0 (X11; Linux) 'x'", b'a "quoted" one', b"back\\slash", b"\xff\x01\t~", b"", b" ")
        head = b"GET /a'b HTTP/1.1\r\nReferer: %b\r\nUser-Agent: %b\r\n\r\n"
        for head in (*heads, *(head % (value, value) for value in values)):
            request = self.ended(head)
            self.assertEqual(accessLine("[now]", request), combinedLogFormatter("[now]", request))
        request.getClientAddress = lambda: UNIXAddress(None)
        self.assertEqual(accessLine("[now]", request), combinedLogFormatter("[now]", request))

    def test_none(self) -> None:
        """
        A site without an access log writes nothing there.
        """
        for accessLog in ("text", None):
            site: Any = makeFastSite(Mirror(), self.reactor, accessLog=accessLog)
            site._logFile = io.StringIO()
            self.connect(site).send(GOOD["plain"])
            self.assertEqual(site._logFile.getvalue().count("GET / HTTP/1.1"), int(accessLog is not None))
