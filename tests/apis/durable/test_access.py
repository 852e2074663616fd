"""
Readers of Durable Streams at a server that asks for credentials: they send none, so the URL that they get has a link.
"""

from __future__ import annotations

import json

from sseserver.streams.followed import FLUSH_TICK
from sseserver.web.access.links import LIFETIME
from tests.http import Response
from tests.web.access.cases import SecretsTestCase

CHAT = json.dumps({"id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hello"}]}]}).encode()


class LinkTests(SecretsTestCase):
    """The links in the answers to chats."""

    def chat(self, key: str) -> str:
        """Start an answer, and return the URL for a reader."""
        answer = self.send("/api/chat", "POST", key, body=CHAT, headers={"Prefer": "respond-async"}).response
        self.assertEqual(answer.status, 202)
        place = answer.headers["location"]
        self.assertEqual(answer.json, {"streamUrl": place})
        return place

    def get(self, url: str, query: str = "offset=-1") -> Response:
        """Read without a credential."""
        return self.send(f"{url}{'&' if '?' in url else '?'}{query}").response

    def test_link(self) -> None:
        """The link lets everyone read the stream of this answer, and nothing else."""
        place = self.chat(self.addKey("user", "run,read:user-*"))
        path, _, query = place.partition("?")
        name = path.rpartition("/")[2]
        self.assertIn(f"rights=read&streams={name}&", query)
        self.source.run.write("a")
        self.reactor.advance(FLUSH_TICK)
        page = self.get(place)
        self.assertEqual((page.status, len(page.json)), (200, 4))
        following = self.send(f"{place}&offset=-1&live=sse").response
        self.assertEqual([event.type for event in following.events], ["data", "control"])
        self.assertEqual(self.get(path).status, 401)
        self.assertEqual(self.get(f"{path}x?{query}").status, 404)
        self.assertEqual(self.get(place.replace("streams=user", "streams=users")).status, 401)
        self.assertEqual(self.send(f"/streams/{name}/cancel?{query}", "POST").response.status, 403)

    def test_events(self) -> None:
        """The answer in events has the same link, and so have those that resume the chat or the run."""
        key = self.addKey("user", "run,read:user-*")
        headers = [self.send("/api/chat", "POST", key, body=CHAT).response.headers]
        run = headers[0]["x-workflow-run-id"]
        headers += [
            self.send(path, "GET", key).response.headers
            for path in ("/api/chat/c/stream", f"/api/chat/{run}/stream?startIndex=0")
        ]
        for each in headers:
            self.assertEqual(self.get(each["location"]).status, 200)

    def test_expiry(self) -> None:
        """A link ends after an hour, or with the rights of its client; so do the readers that follow."""
        for expires, life in (("2033-05-18T03:34:20Z", 60), (None, LIFETIME)):
            place = self.chat(self.addKey(f"user{life}", "run,read:user-*", expires=expires))
            end = int(place.partition("expires=")[2].partition("&")[0])
            self.assertEqual(end, int(self.reactor.seconds()) + life)
            wire = self.send(f"{place}&offset=-1&live=sse")
            self.reactor.run(end + 1 - self.reactor.seconds(), 10)
            self.assertTrue(wire.response.complete)
            self.assertEqual(self.get(place).status, 401)

    def test_noLink(self) -> None:
        """A client that may not read gets a URL without a link, and so does everyone if the server signs none."""
        self.assertNotIn("?", self.chat(self.addKey("runner", "run:user-*")))
        key = self.addKey("user", "run,read:user-*")
        self.credentials.replace(self.makeSecrets(()))
        place = self.chat(key)
        self.assertNotIn("?", place)
        self.assertEqual(self.get(place).status, 401)
        self.assertEqual(self.send(place, "GET", key).response.status, 200)

    def test_forbidden(self) -> None:
        """A name without the right to read is unknown."""
        place = self.chat(self.addKey("user", "run,read:user-*")).partition("?")[0]
        self.assertEqual(self.send(place, "GET", self.addKey("other", "read:other-*")).response.status, 404)
        self.assertEqual(self.send(place, "GET", self.addKey("writer", "publish:*")).response.status, 403)
        poll = self.send(f"{place}?offset=-1&live=long-poll", "GET", self.keys["user"])
        self.lines.clear()
        self.credentials.replace(self.makeSecrets())
        self.service.viewers.rights.recheck(self.credentials.renew)
        self.reactor.advance(1)
        self.assertEqual(poll.response.status, 401)
