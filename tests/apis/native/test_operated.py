"""
Tests of `sseserver.apis.native.operated`: `/streams` for operators.
"""

from __future__ import annotations

from typing import Any

from sseserver.apis.native.operated import MAX_READ, OperatedStreams
from sseserver.web.access.rights import Access
from sseserver.web.resource import NotFoundResource
from tests.apis.cases import PublishingTestCase
from tests.http import EVENTSOURCE
from tests.wires import Wire


class OperatedTests(PublishingTestCase):
    """The streams of a server on a site for operators, beside those on the site of its clients."""

    def setUp(self) -> None:
        super().setUp()
        root = NotFoundResource()
        root.putChild(b"streams", OperatedStreams(self.service, lambda *_: b"page", Access(None, self.reactor.seconds)))
        self.operators = self.site(root)
        self.put("news")

    def operate(self, path: str, method: str = "GET", accept: str | None = None) -> Any:
        """Send a request of an operator."""
        return self.connect(self.operators).ask(path, accept, method)

    def follow(self) -> Wire:
        """Let an operator read the stream."""
        wire = self.connect(self.operators)
        wire.begin("/streams/news", EVENTSOURCE)
        return wire

    def test_read(self) -> None:
        """Operators list streams, and read their state, their text and their events."""
        self.publish("news", {"token": "a"})
        for path in ("/streams", "/streams/"):
            self.assertEqual([item["name"] for item in self.operate(path).json["streams"]], ["news"])
        self.assertEqual(self.operate("/streams/news", accept="application/json").json["last"], 1)
        self.assertEqual(self.operate("/streams/news/", accept="text/plain").body, b"a")
        self.assertEqual(self.follow().response.events[-1].data, "a")

    def test_end(self) -> None:
        """Operators cancel and delete streams."""
        self.assertEqual(self.operate("/streams/news/cancel", "POST").json["state"], "cancelled")
        self.assertEqual(self.operate("/streams/news", "DELETE").status, 204)
        self.assertError(self.operate("/streams/news", "DELETE"), 404, "stream_not_found")

    def test_nothingElse(self) -> None:
        """Operators neither publish nor start runs nor make links here."""
        for path, method in (("/streams", "POST"), ("/streams/news", "POST"), ("/streams/news", "PUT")):
            self.assertError(self.operate(path, method), 405, "method_not_allowed")
        for path in ("/streams/news/links", "/streams/news/cancel/x"):
            self.assertEqual(self.operate(path, "POST").status, 404, path)

    def test_few(self) -> None:
        """Only a few streams are read at a time: the other connections are for health checks."""
        wires = [self.follow() for _ in range(MAX_READ)]
        self.assertError(self.follow().response, 503, "overloaded")
        self.assertEqual(self.operate("/streams").status, 200)
        wires.pop().close()
        wires.append(self.follow())
        self.assertEqual(wires[-1].response.status, 200)
        self.post("news", b"", closed="true")
        # Readers of ended streams count no longer, nor do refusals.
        for _ in range(2 * MAX_READ):
            self.assertEqual(self.operate("/streams/news", accept="application/json").status, 200)
            self.assertEqual(self.operate("/streams/nothing", accept="application/json").status, 404)
