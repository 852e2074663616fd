"""
Tests of `sseserver.delivery.head`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel, Request

from sseserver.delivery.head import jitter, trimHead
from sseserver.speedups.body import KEPT_HEAD


class JitterTests(SynchronousTestCase):
    """The reconnection time of each viewer."""

    def test_spread(self) -> None:
        """It differs between viewers, by up to a third both ways."""
        times = [jitter(3000) for _ in range(1000)]
        self.assertGreaterEqual(min(times), 2000)
        self.assertLessEqual(max(times), 4000)
        self.assertLess(min(times), 2100)
        self.assertGreater(max(times), 3900)
        self.assertTrue(all(type(time) is int for time in times))

    def test_neverNone(self) -> None:
        """It is at least one millisecond."""
        self.assertEqual({jitter(1) for _ in range(100)}, {1})


class TrimTests(SynchronousTestCase):
    """Large heads of requests whose responses last."""

    def makeRequest(self, *fields: tuple[bytes, bytes], uri: bytes = b"/streams/a") -> Any:
        """Make a request with a head."""
        channel = HTTPChannel()
        channel.transport = StringTransport()
        request = Request(channel)
        request.uri, request.path = uri, uri.partition(b"?")[0]
        request.args = {b"a": [b"b"]}
        request.prepath = request.postpath = [b"streams"]
        for name, value in fields:
            request.requestHeaders.addRawHeader(name, value)
        return request

    def test_small(self) -> None:
        """A usual head is kept."""
        request = self.makeRequest((b"X-A", b"x" * 900))
        headers = request.requestHeaders
        trimHead(request)
        self.assertIs(request.requestHeaders, headers)
        self.assertEqual(request.args, {b"a": [b"b"]})

    def test_large(self) -> None:
        """Of a large head the beginnings of the URL and of the fields in access logs are kept."""
        fields = ((b"User-Agent", b"u" * 9000), (b"Cookie", b"c" * 5000), (b"Referer", b"r"), (b"Referer", b"s"))
        request = self.makeRequest(*fields, uri=b"/?" + b"x" * 2000)
        trimHead(request)
        kept = dict(request.requestHeaders.getAllRawHeaders())
        self.assertEqual(kept, {b"User-Agent": [b"u" * 256], b"Referer": [b"r"]})
        self.assertEqual((len(request.uri), request.path, request.args), (KEPT_HEAD, b"/", {}))
        self.assertEqual((request.prepath, request.postpath), ([], []))

    def test_known(self) -> None:
        """A head that was read as one piece, and is not large, is not measured again."""
        request = self.makeRequest((b"X-A", b"x" * 9000))
        request.hasLargeHead = False
        headers = request.requestHeaders
        trimHead(request)
        self.assertIs(request.requestHeaders, headers)
