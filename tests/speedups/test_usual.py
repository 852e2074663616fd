"""
Tests for `sseserver.speedups.usual`. `tests.speedups.test_channel` compares whole exchanges with those of Twisted.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.error import ConnectionDone

from sseserver.speedups import channel
from sseserver.web.site import StreamSite
from tests.resources import HoldingResource
from tests.wires import WireTestCase

#: A request that has nothing unusual; and fields before the end of its head.
USUAL = b"GET /a HTTP/1.1\r\nHost: a\r\n"
FIELDS = (b"", b"Connection: close\r\n")


class Site(StreamSite):
    """
    A site that keeps the requests that it logs.

    Attributes:
        logged: The requests.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.logged: list[Any] = []

    def log(self, request: Any) -> None:
        """See `Site.log`."""
        self.logged.append(request)


class UsualTests(WireTestCase):
    """Usual requests."""

    def setUp(self) -> None:
        super().setUp()
        self.caught = HoldingResource()
        self.received = 0
        # Its probe has requests, too.
        self.assertTrue(channel.readsHeads())
        receive = channel.receivePlain

        def count(*arguments: Any) -> None:
            self.received += 1
            receive(*arguments)

        self.patch(channel, "receivePlain", count)

    def play(self, plain: bool, sent: bytes, finishes: bool) -> list[object]:
        """Send a request, and answer it or let the client leave; return its traces."""
        site: Any = Site(self.caught, reactor=self.reactor, plain=plain)
        wire = self.connect(site, sent)
        self.reactor.turn()
        request: Any = self.caught.requests.pop()
        content, ended = request.content, []
        request.notifyFinish().addCallbacks(ended.append, lambda failure: ended.append(failure.type))
        request.write(b"one")
        seen = [request.method, request.path, request.args, request.clientproto, content.read(), wire.closed]
        seen += [
            list(request.requestHeaders.getAllRawHeaders()),
            request.channel.persistent,
            len(site.connections.waiting),
        ]
        if finishes:
            request.finish()
        else:
            wire.close()
        self.reactor.turn()
        seen += [ended, content.closed, bool(request.finished), site.logged == [request], wire.closed]
        seen.append(re.sub(rb"Date: [^\r]*", b"Date:", wire.received))
        if finishes:
            self.assertEqual([getattr(request, name, None) for name in ("channel", "content")], [None, None])
        return seen

    def test_same(self) -> None:
        """A usual request is received and ended as Twisted does it, also if its client leaves."""
        for field in FIELDS:
            for finishes, end in ((True, None), (False, ConnectionDone)):
                sent = USUAL + field + b"\r\n"
                seen = self.play(False, sent, finishes)
                self.assertEqual(seen, self.play(True, sent, finishes), sent)
                self.assertIn([end], seen)
        self.assertEqual(self.received, 4)

    def test_unusual(self) -> None:
        """A request that has something for Twisted to look at goes the usual way."""
        for unusual in (
            b"GET /a HTTP/1.0\r\nHost: a\r\n\r\n",
            b"GET http://a/a HTTP/1.1\r\nHost: a\r\n\r\n",
            USUAL + b"Cookie: a=b\r\n\r\n",
            USUAL + b"Connection: Upgrade\r\n\r\n",
            USUAL + b"Content-Length: 0\r\n\r\n",
            USUAL + b"Expect: 100-continue\r\n\r\n",
        ):
            self.assertEqual(self.play(False, unusual, True), self.play(True, unusual, True), unusual)
        self.assertEqual(self.received, 0)
