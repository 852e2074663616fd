"""
Tests for `sseserver.speedups.sentheads`.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.test.requesthelper import DummyChannel

from sseserver.speedups.sentheads import SENT, slim


class SentHeadersTests(SynchronousTestCase):
    """The headers that all requests with a written head share."""

    def test_nothingIsAdded(self) -> None:
        """A field that is set after the head was written shows in no other request."""
        SENT.setRawHeaders(b"A", [b"b"])
        SENT.addRawHeader(b"A", b"b")
        self.assertEqual(list(SENT.getAllRawHeaders()), [])

    def test_slim(self) -> None:
        """The headers of a response of Twisted's are released, and its request stays as it is otherwise."""
        request = Request(DummyChannel())
        request.setHeader(b"A", b"b")
        before = {**vars(request), "responseHeaders": SENT}
        slim(request)
        self.assertEqual(vars(request), before)

    def test_slimWithoutChannel(self) -> None:
        """A request whose connection is gone stays as it is."""
        request: Any = Request(DummyChannel())
        headers, request.channel = request.responseHeaders, None
        slim(request)
        self.assertIs(request.responseHeaders, headers)
