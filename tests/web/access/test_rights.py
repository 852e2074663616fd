"""
Tests of `sseserver.web.access.rights`: each API asks for the right that it needs.
"""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource

from sseserver.apis.root import StreamResource
from sseserver.streams.followed import FLUSH_TICK
from sseserver.web.accept import JSON
from tests.http import CHROME, EVENTSOURCE, Response
from tests.web.access.cases import AccessTestCase

ASK = b'{"messages": [{"role": "user", "content": "x"}]}'
CHAT = json.dumps({"id": "c", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "x"}]}]})

#: Every request that needs a right on the stream `news`: the right, the method, the path, the body.
NAMED = (
    ("read", "GET", "/streams/news", None),
    ("read", "HEAD", "/streams/news", None),
    ("read", "GET", "/streams/news/", None),
    ("read", "GET", "/durable/news", None),
    ("read", "HEAD", "/durable/news", None),
    ("publish", "POST", "/streams/news", b"x"),
    ("publish", "PUT", "/streams/news", None),
    ("cancel", "POST", "/streams/news/cancel", b""),
    ("delete", "DELETE", "/streams/news", None),
)

#: Every request that needs a right on some name, and one that needs only a credential.
OTHERS = (
    ("list", "GET", "/streams", None),
    ("run", "POST", "/streams", b"{}"),
    ("run", "POST", "/v1/chat/completions", ASK),
    ("run", "POST", "/api/chat", CHAT.encode()),
    ("run", "GET", "/?format=text", None),
    (None, "GET", "/v1/models", None),
    (None, "GET", "/v1/models/script", None),
    (None, "GET", "/api/chat/c/stream", None),
)

RIGHTS = ("read", "publish", "run", "cancel", "delete", "list")


class RightTests(AccessTestCase):
    """The rights that requests need."""

    def send(self, name: str | None, method: str, path: str, body: bytes | None) -> Response:
        """Send a request of the tables above."""
        kind = "text/plain" if path == "/streams/news" else JSON
        headers = {} if body is None else {"Content-Type": kind}
        return self.askAs(name, path, method, body=body, headers=headers)

    def test_nobody(self) -> None:
        """A request without a credential is answered 401, whatever it asks for; page and assets are open."""
        self.put("news")
        for _, method, path, body in NAMED + OTHERS:
            response = self.send(None, method, path, body)
            self.assertEqual((response.status, response.headers.get("www-authenticate")), (401, "Bearer"), path)
        self.assertEqual(self.source.runs, [])
        for path in ("/", "/assets/app.js", "/favicon.ico"):
            self.assertEqual(self.askAs(None, path, accept=CHROME).status, 200, path)

    def test_nobodyInABrowser(self) -> None:
        """A browser without a credential gets the page of a stream, which asks for a key, whether it exists or not."""
        self.put("news")
        response = self.askAs(None, "/streams/news", accept=CHROME)
        self.assertEqual((response.status, response.headers["www-authenticate"]), (401, "Bearer"))
        self.assertIn(b"assets/app.js", response.body)
        self.assertEqual(self.askAs(None, "/streams/none", accept=CHROME).body, response.body)
        refused = self.askAs(None, "/streams/news?format=events", accept=CHROME)
        self.assertEqual(refused.status, 401)
        self.assertNotIn(b"assets/app.js", refused.body)

    def test_named(self) -> None:
        """Each request on a name needs its right on that name; any other right gets 403, and changes nothing."""
        for needed, method, path, body in NAMED:
            for right in RIGHTS:
                with self.subTest(method=method, path=path, right=right):
                    self.put("news")
                    before = self.state("/streams/news")
                    self.admit("a", f"{right}:ne*")
                    response = self.send("a", method, path, body)
                    if right == needed:
                        self.assertIn(response.status, {200, 204})
                        self.delete("news")
                    else:
                        self.assertEqual(response.status, 403)
                        self.assertEqual(self.state("/streams/news"), before)

    def test_others(self) -> None:
        """Each other request needs its right on any name."""
        for needed, method, path, body in OTHERS:
            for right in RIGHTS:
                self.admit("a", f"{right}:x*")
                wire = self.beginAs("a", path, method, body=body, headers={"Content-Type": JSON})
                # A completion waits for its first token.
                refused = bool(wire.responses) and wire.response.status == 403
                self.assertEqual(refused, needed not in {None, right}, (method, path, right))

    def test_unknownAndForbidden(self) -> None:
        """A name that is forbidden and one that is unknown get the same bytes, in every representation."""
        self.put("news")
        self.admit("a", "read,publish,cancel,delete:mine-*")
        self.admit("b", "read,publish,cancel,delete:*")
        for accept in (None, JSON, EVENTSOURCE, "text/plain", CHROME):
            for _, method, path, body in NAMED:
                if method == "PUT":
                    continue
                forbidden = self.askAs("a", path, method, body=body, accept=accept)
                self.assertEqual(forbidden.status, 404, path)
                self.delete("news")
                unknown = self.askAs("a", path, method, body=body, accept=accept)
                self.assertEqual(forbidden, unknown)
                if body is None:
                    self.assertEqual(self.askAs("b", path, method, body=body, accept=accept), unknown)
                self.put("news")

    def test_openingForbidden(self) -> None:
        """PUT of a forbidden name is answered 403, whether or not there is such a stream."""
        self.admit("a", "publish:mine-*")
        unknown = self.askAs("a", "/streams/news", "PUT")
        self.put("news")
        self.assertEqual(self.askAs("a", "/streams/news", "PUT"), unknown)
        self.assertEqual((unknown.status, unknown.error["code"]), (403, "forbidden"))

    def test_list(self) -> None:
        """The list has the streams that may be listed and read, in whole pages, and its links name no other one."""
        for number in range(30):
            self.put(f"a{number}" if number % 3 else f"hidden{number}")
            self.reactor.advance(1)
        self.admit("a", "read:a*", "list:*")
        names, path = [], "/streams?limit=7"
        while path:
            page = self.askAs("a", path).json
            names.append([stream["name"] for stream in page["streams"]])
            path = page["next"]
            self.assertNotIn("hidden", path or "")
        self.assertEqual([len(each) for each in names], [7, 7, 6])
        shown = [name for page in names for name in page]
        self.assertEqual(shown, [f"a{number}" for number in reversed(range(30)) if number % 3])
        self.admit("b", "list:a*", "read:hidden*")
        self.assertEqual(self.askAs("b", "/streams").json, {"streams": [], "next": None})

    def test_listPlace(self) -> None:
        """A place in the list that names a hidden stream shows neither that nor when it was made."""
        for name in ("a1", "hidden", "a2"):
            self.put(name)
        created = self.state("/streams/hidden")["created"]
        self.admit("a", "read,list:a*")
        answers = [self.askAs("a", f"/streams?before={created!r},{name}").json for name in ("hidden", "nothing")]
        self.assertEqual(answers[0], answers[1])

    def test_resume(self) -> None:
        """A viewer that resumes needs the right again."""
        self.put("news")
        (event,) = self.publish("news", {"data": "a"})
        self.admit("a", "read:news")
        wire = self.beginAs("a", "/streams/news", accept=EVENTSOURCE)
        self.assertEqual(wire.response.texts, ["a"])
        again = {"accept": EVENTSOURCE, "headers": {"Last-Event-ID": event}}
        self.assertEqual(self.askAs("a", "/streams/news", **again).status, 200)
        self.admit("a", "read:other")
        self.assertEqual(self.askAs("a", "/streams/news", **again).status, 404)

    def test_resumeRun(self) -> None:
        """A run of `/` is resumed with the right to read it, and without that is over."""
        self.admit("a", "run,read:*")
        wire = self.beginAs("a", "/", accept=EVENTSOURCE)
        self.source.run.write("x")
        self.reactor.advance(FLUSH_TICK)
        again = {"accept": EVENTSOURCE, "headers": {"Last-Event-ID": self.lastEventID(wire.response)}}
        self.assertEqual(self.askAs("a", "/", **again).status, 200)
        self.admit("a", "run:*")
        self.assertEqual(self.askAs("a", "/", **again).status, 204)
        self.assertEqual(self.askAs(None, "/", **again).status, 401)

    def lastEventID(self, response: Response) -> str:
        """Return the ID of the last event."""
        return response.events[-1].id or ""

    def test_chats(self) -> None:
        """The chat of an ID belongs to its principal: nobody else follows it, or replaces it."""
        for name in ("a", "b"):
            self.admit(name, "run,read:*")
        self.send("a", "POST", "/api/chat", CHAT.encode())
        self.assertEqual(self.askAs("b", "/api/chat/c/stream").status, 204)
        self.send("b", "POST", "/api/chat", CHAT.encode())
        urls = [self.askAs(name, "/api/chat/c/stream").status for name in ("a", "b")]
        self.assertEqual(urls, [200, 200])
        self.admit("a", "run:*")
        self.assertEqual(self.askAs("a", "/api/chat/c/stream").status, 204)


class KeyTests(AccessTestCase):
    """Idempotency keys belong to their principals."""

    def test_runs(self) -> None:
        """The same key starts a run for each principal, and one only."""
        for name in ("a", "b"):
            self.admit(name, "run:*")
        sent = {"method": "POST", "body": b"", "headers": {"Idempotency-Key": "k"}}
        urls = [self.askAs(name, "/streams", **sent).headers["location"] for name in "abab"]
        self.assertEqual((urls[0], urls[1]), (urls[2], urls[3]))
        self.assertNotEqual(urls[0], urls[1])

    def test_publishes(self) -> None:
        """The same key publishes once for each principal."""
        for name in ("a", "b"):
            self.admit(name, "publish:*")
        self.put("news")
        sent = {"method": "POST", "body": b"x", "headers": {"Idempotency-Key": "k", "Content-Type": "text/plain"}}
        ids = [self.askAs(name, "/streams/news", **sent).json["first"][-1] for name in "abab"]
        self.assertEqual(ids, ["1", "2", "1", "2"])


class PrincipalTests(AccessTestCase):
    """Principals that come late, or have expired."""

    def test_later(self) -> None:
        """A principal may come later."""
        self.put("news")
        self.admit("a", "read:*")
        self.names.later = Deferred()
        wire = self.beginAs("a", "/streams/news")
        self.assertEqual(wire.responses, [])
        self.names.later.callback(None)
        self.reactor.turn()
        self.assertEqual(wire.response.status, 200)

    def test_goneMeanwhile(self) -> None:
        """A client that leaves before it has a principal leaves nothing behind."""
        self.put("news")
        self.admit("a", "read:*")
        self.names.later = Deferred()
        wire = self.beginAs("a", "/streams/news", accept=EVENTSOURCE)
        wire.close()
        self.names.later.callback(None)
        self.assertEqual(self.service.viewers.count, 0)

    def test_expired(self) -> None:
        """A principal whose rights have ended has none; the answer says what helps."""
        self.put("news")
        self.admit("a", "read:*", expires=self.reactor.seconds())
        response = self.askAs("a", "/streams/news")
        self.assertEqual((response.status, response.headers["www-authenticate"]), (401, 'Bearer error="invalid_token"'))
        self.assertIn("Ask for a new one.", response.error["message"])

    def test_onceEach(self) -> None:
        """The authenticator is asked once for each request, and not at all for the page."""
        self.admit("a", "read,publish,list:*")
        for count, path in enumerate(("/streams", "/streams/news", "/v1/models"), 1):
            self.askAs("a", path)
            self.assertEqual(self.names.asked, count)
        self.askAs("a", "/", accept=CHROME)
        self.assertEqual(self.names.asked, count)

    def test_expiry(self) -> None:
        """A viewer is told to return when its rights end, between two events, whatever its heartbeat."""
        self.put("news")
        self.admit("a", "read:*", expires=self.reactor.seconds() + 7)
        self.admit("b", "read:*")
        wires = [self.beginAs(name, "/streams/news", accept=EVENTSOURCE) for name in ("a", "b")]
        self.reactor.run(6)
        self.publish("news", {"data": "x"})
        self.assertEqual([wire.response.complete for wire in wires], [False, False])
        self.reactor.run(1.5)
        self.assertEqual([wire.response.complete for wire in wires], [True, False])
        self.assertEqual(wires[0].response.texts, ["x"])
        self.assertRegex(wires[0].response.body, rb"\n\nretry: \d+\n\n$")

    def test_expirySlow(self) -> None:
        """A viewer whose transport is full ends as well."""
        self.put("news")
        self.admit("a", "read:*", expires=self.reactor.seconds() + 7)
        wire = self.connect(self.guarded)
        wire.socket.room = 100
        wire.begin("/streams/news", EVENTSOURCE, headers={"X-Name": "a"})
        for _ in range(20):
            self.publish("news", {"data": "x" * 10_000})
        self.reactor.run(8)
        wire.socket.room = None
        self.reactor.run(1)
        self.assertTrue(wire.response.complete)
        self.assertRegex(wire.response.body, rb"\n\nretry: \d+\n\n$")


class DirectTests(AccessTestCase):
    """Publishing without a request object."""

    def test_embedder(self) -> None:
        """With an authenticator of an embedder every request is a request object."""
        self.assertIsNotNone(StreamResource(self.service).direct)
        self.assertIsNone(StreamResource(self.service, None, self.names).direct)
        root = Resource()
        root.putChild(b"below", StreamResource(self.service, None, self.names))
        self.guarded = self.site(root)
        self.assertEqual(self.askAs(None, "/below/streams").status, 401)
