"""
Tests of `sseserver.apis.admin.viewerlist`: `admin/viewers.json`.
"""

from __future__ import annotations

from typing import Any

from sseserver.apis import makeAdmin
from sseserver.apis.admin.measured import Measured
from sseserver.timing.reactorlag import ReactorLag
from sseserver.web.access.rights import Access
from tests.http import EVENTSOURCE, Response
from tests.web.access.cases import SecretsTestCase


class ViewerListTests(SecretsTestCase):
    """The viewers of a server, which asks for credentials on one site and for none on the other."""

    def setUp(self) -> None:
        super().setUp()
        self.measured = Measured(self.service, self.factory, ReactorLag(self.reactor))
        self.open = self.site(makeAdmin(self.measured, (), Access(None, self.reactor.seconds)))
        self.closed = self.site(makeAdmin(self.measured, (), Access(self.credentials, self.reactor.seconds)))

    def fetch(self, query: str = "", key: str | None = None) -> Response:
        """Ask for a page of the list, with a key or where none is needed."""
        site = self.open if key is None else self.closed
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return self.connect(site).ask(f"/admin/viewers.json{query}", headers=headers)

    def list(self, query: str = "", key: str | None = None) -> list[Any]:
        """Return a page of the list."""
        response = self.fetch(query, key)
        self.assertEqual(response.status, 200, response)
        viewers: list[Any] = response.json["viewers"]
        return viewers

    def test_viewer(self) -> None:
        """A viewer has its stream, its client, its place, and the bytes that it was sent."""
        self.put("news")
        wire = self.view("/streams/news?format=entries&sig=secret")
        self.publish("news", {"token": "a"}, {"token": "b"})
        self.reactor.advance(1)
        [viewer] = self.list()
        self.assertEqual((viewer["stream"], viewer["format"], viewer["principal"]), ("news", "entries", None))
        self.assertEqual((viewer["cursor"], viewer["behind"], viewer["queued"]), (2, 0, 0))
        self.assertEqual(viewer["address"], "127.0.0.1")
        self.assertEqual(viewer["sent"], len(wire.response.body))
        self.assertFalse(viewer["isPaused"])
        self.assertGreaterEqual(viewer["age"], 0)
        self.assertNotIn("secret", str(viewer))
        wire.close()
        self.assertEqual(self.list(), [])

    def test_slow(self) -> None:
        """A viewer that takes nothing is full, and behind."""
        self.put("news")
        self.view("/streams/news", room=300)
        self.publish("news", *[{"data": "x" * 10_000} for _ in range(40)])
        self.publish("news", *[{"data": "x" * 10_000} for _ in range(40)])
        [viewer] = self.list()
        self.assertTrue(viewer["isPaused"])
        self.assertGreater(viewer["behind"], 0)
        self.assertGreater(viewer["queued"], 0)

    def test_otherAnswers(self) -> None:
        """A completion that waits for its run has no format yet, and a large answer has no stream."""
        body = b'{"messages": [{"role": "user", "content": "a"}]}'
        wire = self.connect(self.factory)
        wire.begin("/v1/chat/completions", method="POST", body=body, headers={"Content-Type": "application/json"})
        [waiting] = self.list()
        self.assertEqual((waiting["format"], waiting["sent"], waiting["isPaused"]), (None, 0, False))
        self.assertEqual(waiting["cursor"], 0)
        wire.close()
        self.put("news")
        for _ in range(3):
            self.publish("news", {"token": "x" * 100_000})
        wire = self.connect(self.factory)
        wire.socket.room = 300
        wire.begin("/streams/news", "text/plain")
        [large] = self.list()
        self.assertEqual((large["stream"], large["cursor"], large["behind"]), (None, None, None))

    def test_pages(self) -> None:
        """The list has pages, the oldest viewers first, and those of one stream by themselves."""
        for name in ("a", "b"):
            self.put(name)
        for name in ("a", "b", "a", "a"):
            self.view(f"/streams/{name}")
        page = self.fetch("?limit=3").json
        self.assertEqual([each["stream"] for each in page["viewers"]], ["a", "b", "a"])
        self.assertEqual((page["total"], page["next"]), (4, 3))
        page = self.fetch("?limit=3&after=3").json
        self.assertEqual(([each["stream"] for each in page["viewers"]], page["next"]), (["a"], None))
        self.assertEqual([each["stream"] for each in self.list("?stream=b")], ["b"])
        self.assertEqual(self.fetch("?after=9").json, {"viewers": [], "total": 4, "next": None})

    def test_malformed(self) -> None:
        """Malformed parameters are refused."""
        for query in ("limit=0", "limit=101", "limit=x", "after=-1", "after=%C2%B2", "after=1234567890", "stream=%FF"):
            self.assertError(self.fetch(f"?{query}"), 400, "bad_request")

    def test_rights(self) -> None:
        """The list has the viewers of streams that the client may list and read, and needs the right to list."""
        for name in ("chat-1", "news"):
            self.put(name)
            self.view(f"/streams/{name}")
        every, some = self.addKey("every", "list,read:*"), self.addKey("some", "list,read:chat-*")
        self.assertEqual([each["stream"] for each in self.list(key=every)], ["chat-1", "news"])
        self.assertEqual([each["stream"] for each in self.list(key=some)], ["chat-1"])
        self.assertEqual(self.list("?stream=news", some), [])
        self.assertError(self.fetch(key=self.addKey("reader", "read:*")), 403, "forbidden")
        self.assertError(self.fetch(key="wrong"), 401, "unauthorized")

    def test_principal(self) -> None:
        """A viewer with a credential has the name of its principal, and nothing of the credential."""
        key = self.addKey("ann", "read,list:*")
        self.put("news")
        self.send("/streams/news", credential=key, accept=EVENTSOURCE)
        [viewer] = self.list(key=key)
        self.assertEqual(viewer["principal"], "key:ann")
        self.assertNotIn(key, str(viewer))

    def test_operatorsThemselves(self) -> None:
        """An operator that reads a stream is one of its viewers, and status asks for the right to list, too."""
        self.put("news")
        key = self.addKey("ann", "read,list:*")
        wire = self.connect(self.closed)
        wire.begin("/streams/news", EVENTSOURCE, headers={"Authorization": f"Bearer {key}"})
        self.assertEqual(wire.response.status, 200)
        self.assertEqual(len(self.list()), 1)
        self.assertEqual(self.connect(self.closed).ask("/admin/status.json").status, 401)
