"""
Tests of `sseserver.apis.native.listing`: `GET /streams`.
"""

from __future__ import annotations

from typing import Any

from sseserver.apis.native.listing import STEP
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

    def test_prefix(self) -> None:
        """`prefix` lists the streams whose names begin so, in pages, however many others are between them."""
        for number in range(3):
            self.put(f"chat-{number}")
            self.put(f"news-{number}")
            self.reactor.advance(1)
        page = self.fetch("/streams?limit=2&prefix=chat-")
        self.assertEqual([item["name"] for item in page["streams"]], ["chat-2", "chat-1"])
        page = self.fetch(page["next"])
        self.assertEqual([item["name"] for item in page["streams"]], ["chat-0"])
        self.assertIsNone(page["next"])
        self.assertEqual(self.fetch("/streams?prefix=CHAT")["streams"], [])

    def test_open(self) -> None:
        """`open` lists the streams that are open, or those that have ended."""
        for name in ("a", "b", "c"):
            self.put(name)
            self.reactor.advance(1)
        self.post("b", b"", closed="true")
        for query, names in (("open=true", ["c", "a"]), ("open=false", ["b"]), ("open=false&prefix=a", [])):
            self.assertEqual([item["name"] for item in self.fetch(f"/streams?{query}")["streams"]], names, query)
        page = self.fetch("/streams?open=true&limit=1")
        self.assertEqual([item["name"] for item in self.fetch(page["next"])["streams"]], ["a"])

    def test_manyOthers(self) -> None:
        """A list of few among thousands of streams is searched in steps."""
        self.put("x")
        for number in range(STEP):
            self.put(f"n{number}")
        steps: list[int] = []
        read = self.service.store.list
        self.patch(self.service.store, "list", lambda limit, before: steps.append(limit) or read(limit, before))
        self.assertEqual([item["name"] for item in self.fetch("/streams?prefix=x&limit=1")["streams"]], ["x"])
        self.assertEqual(steps, [STEP, STEP])

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
            "prefix=a%2Fb",
            "prefix=%C3%B6",
            f"prefix={'a' * 129}",
            "open=yes",
        ):
            self.assertError(self.ask(f"/streams?{query}"), 400, "bad_request")
