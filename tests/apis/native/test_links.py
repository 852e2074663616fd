"""
Tests of `sseserver.apis.native.links`: `POST /streams/NAME/links`.
"""

from __future__ import annotations

import json
from typing import Any

from sseserver.web.accept import JSON
from sseserver.web.access.links import LIFETIME, MAX_LIFETIME
from tests.http import EVENTSOURCE, Response
from tests.web.access.cases import SecretsTestCase
from tests.web.access.tokens import CLAIMS, NOW, makeToken


class StreamLinksTests(SecretsTestCase):
    """Links that clients make."""

    def ask_(self, credential: str | None, name: str = "news", **members: Any) -> Response:
        """Ask for a link."""
        return self.post_(f"/streams/{name}/links", credential, json.dumps(members).encode())

    def post_(self, path: str, credential: str | None, body: bytes) -> Response:
        """Post JSON."""
        return self.send(path, "POST", credential, body=body, headers={"Content-Type": JSON}).response

    def test_made(self) -> None:
        """A link opens its stream for an EventSource, for as long as was asked for."""
        self.put("news")
        self.publish("news", {"data": "a"})
        key = self.addKey("a", "read,publish:*")
        for members, seconds in (({}, LIFETIME), ({"seconds": 60}, 60), ({"rights": ["read", "publish"]}, LIFETIME)):
            response = self.ask_(key, **members)
            self.assertEqual((response.status, response.json["expires"]), (201, int(NOW) + seconds), response)
            wire = self.send(response.json["url"], accept=EVENTSOURCE)
            self.assertEqual(wire.response.texts, ["a"])
        url = response.json["url"]
        posted = self.send(url, "POST", body=b"x", headers={"Content-Type": "text/plain"}).response
        self.assertEqual(posted.status, 200)
        for other in (url.replace("/news?", "/other?"), url.replace("/streams/news?", "/streams?")):
            self.assertIn(self.send(other).response.status, {403, 404})

    def test_noMore(self) -> None:
        """A link has no right that its maker does not have, and ends no later than the maker's rights."""
        self.put("news")
        key = self.addKey("a", "read:news")
        self.assertEqual(self.ask_(key, rights=["publish"]).status, 403)
        self.assertEqual(self.ask_(key, rights=["read", "delete"]).status, 403)
        self.assertEqual(self.ask_(key, "other").status, 404)
        self.assertEqual(self.ask_(None).status, 401)
        token = makeToken({**CLAIMS, "sseserver": [{"rights": ["read"], "streams": "news"}], "exp": NOW + 100.5})
        self.assertEqual(self.ask_(token, seconds=3600).json["expires"], NOW + 100)
        again = self.ask_(token, seconds=50).json["url"]
        shared = self.post_(again.replace("?", "/links?"), None, b'{"seconds": 3600}')
        self.assertEqual(shared.json["expires"], NOW + 50)

    def test_refused(self) -> None:
        """A malformed wish is refused."""
        key = self.addKey("a", "read,run:*")
        for members in (
            {"rights": []},
            {"rights": ["root"]},
            {"rights": ["run"]},
            {"rights": "read"},
            {"seconds": 0},
            {"seconds": -1},
            {"seconds": 1.5},
            {"seconds": MAX_LIFETIME + 1},
            {"streams": "*"},
        ):
            self.assertEqual(self.ask_(key, **members).status, 400, members)
        self.assertEqual(self.ask_(key, "%2A").status, 400)
        self.assertEqual(self.send("/streams/news/links", "GET", key).response.status, 405)

    def test_unknown(self) -> None:
        """A link may be made before its stream."""
        key = self.addKey("a", "read:*")
        self.assertEqual(self.ask_(key, "later").status, 201)

    def test_without(self) -> None:
        """A server without a key for links, or without authentication, makes none."""
        key = self.addKey("a", "read:*")
        self.credentials.replace(self.makeSecrets(()))
        self.assertEqual(self.ask_(key).status, 404)
        self.assertEqual(self.ask("/streams/news/links", method="POST").status, 404)
