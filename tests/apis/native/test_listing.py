"""
Tests of `sseserver.apis.native.listing`: `GET /streams`.
"""

from __future__ import annotations

from typing import Any

from sseserver.service.service import Settings
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.cost import STREAM_COST, measureKey, measureStream
from tests.apis.cases import PublishingTestCase


class ListingTests(PublishingTestCase):
    """The list of all streams."""

    settings = Settings(linger=10**6)

    def fetch(self, path: str = "/streams") -> Any:
        """Return a page of the list."""
        response = self.ask(path)
        self.assertEqual(response.status, 200, response)
        return response.json

    def test_F12_list(self) -> None:
        """F12: the list names each stream, published or not, so that an operator finds what to delete."""
        self.assertEqual(self.fetch(), {"streams": [], "next": None})
        self.put("a")
        self.post("a", b"x", "text/plain")
        self.reactor.advance(1)
        path = self.startRun()
        page = self.fetch()
        self.assertEqual([item["url"] for item in page["streams"]], [path, "/streams/a"])
        self.assertIsNone(page["next"])
        newest, oldest = page["streams"]
        self.assertEqual((newest["published"], oldest["published"]), (False, True))
        state = self.state("/streams/a")
        for member in ("name", "epoch", "created", "ended"):
            self.assertEqual(oldest[member], state[member])
        self.assertEqual(oldest["bytes"], state["bytes"] + measureStream("a"))
        self.assertTrue(oldest["open"])
        self.post("a", b"", closed="true")
        self.assertFalse(self.fetch()["streams"][1]["open"])
        self.delete("a")
        self.assertEqual([item["url"] for item in self.fetch()["streams"]], [path])
        self.assertEqual(self.ask("/streams", method="HEAD").status, 200)

    def test_F8_F10_bytes(self) -> None:
        """F8, F10: a stream without entries has a size, and so has an idempotency key, in the list and in the limit."""
        self.serve(self.source, Settings(maxBytes=50_000))
        self.put("a")
        self.assertEqual(self.fetch()["streams"][0]["bytes"], measureStream("a"))
        self.publish("a", {"token": "x"}, key="k" * 255)
        cost = measureKey("k" * 255)
        self.assertEqual(self.fetch()["streams"][0]["bytes"], measureStream("a") + cost + 1 + ENTRY_COST)
        self.assertEqual(self.state("/streams/a")["bytes"], cost + 1 + ENTRY_COST)
        for number in range(50_000 // STREAM_COST):
            self.put(f"n{number}")
        self.assertError(self.put("b"), 503, "overloaded")

    def test_pages(self) -> None:
        """`next` is the URL of the next page; each stream is on one page, whatever is deleted or made meanwhile."""
        for number in range(7):
            self.put(f"n{number}")
            self.reactor.advance(1)
        names, path = [], "/streams?limit=3"
        while path:
            page = self.fetch(path)
            names.append([item["name"] for item in page["streams"]])
            path = page["next"]
            self.delete(names[-1][-1])
            self.put(f"new{len(names)}")
        self.assertEqual(names, [["n6", "n5", "n4"], ["n3", "n2", "n1"], ["n0"]])

    def test_malformed(self) -> None:
        """Malformed parameters are refused."""
        for query in (
            "limit=0",
            "limit=101",
            "limit=x",
            "limit=%C2%B2",
            "before=a",
            "before=1.5",
            "before=,a",
            "before=1,",
            "before=nan,a",
            "before=inf,a",
        ):
            self.assertError(self.ask(f"/streams?{query}"), 400, "bad_request")
