"""
Tests of `sseserver.apis.session.session`.
"""

from __future__ import annotations

from twisted.web.resource import Resource

from sseserver.apis.root import StreamResource
from sseserver.web.access.sessions import LIFETIME
from tests.http import EVENTSOURCE
from tests.web.access.cases import SecretsTestCase
from tests.web.access.tokens import CLAIMS, NOW, makeToken


class SessionTests(SecretsTestCase):
    """Sessions of browsers."""

    def begin(self, credential: str, path: str = "/session", **headers: str) -> list[str]:
        """Begin a session; return the parts of its cookie."""
        response = self.send(path, "POST", credential, headers=headers).response
        self.assertEqual(response.status, 201, response)
        return response.headers["set-cookie"].split("; ")

    def test_session(self) -> None:
        """The cookie opens what the credential opens, until the end of the session."""
        self.put("chat-1")
        cookie, *fields = self.begin(makeToken({**CLAIMS, "exp": NOW + 86_400}))
        self.assertEqual(fields, ["Path=/", f"Max-Age={LIFETIME}", "HttpOnly", "SameSite=Lax"])
        wire = self.send("/streams/chat-1", accept=EVENTSOURCE, headers={"Cookie": cookie})
        self.assertEqual((wire.response.status, wire.response.complete), (200, False))
        self.assertEqual(self.send("/streams/other", headers={"Cookie": cookie}).response.status, 404)
        self.reactor.advance(LIFETIME + 1)
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.send("/streams/chat-1", headers={"Cookie": cookie}).response.status, 401)

    def test_end(self) -> None:
        """DELETE lets the browser forget the cookie, with a credential or without."""
        response = self.send("/session", "DELETE").response
        self.assertEqual(response.status, 204)
        self.assertEqual(response.headers["set-cookie"][:37], "sseserver_session=; Path=/; Max-Age=0")

    def test_refused(self) -> None:
        """There is no session without a credential."""
        for headers in ({}, {"Authorization": "Bearer a"}, {"Cookie": "sseserver_session=a"}):
            response = self.send("/session", "POST", headers=headers).response
            self.assertEqual((response.status, "set-cookie" in response.headers), (401, False))

    def test_secure(self) -> None:
        """Behind a proxy that speaks TLS the cookie is for TLS only."""
        fields = self.begin(makeToken(), **{"X-Forwarded-Proto": "https"})
        self.assertEqual(fields[-1], "Secure")

    def test_mounted(self) -> None:
        """The cookie is for the mount point."""
        root = Resource()
        root.putChild(b"chat", StreamResource(self.service, None, self.credentials))
        self.guarded = self.site(root)
        self.assertEqual(self.begin(makeToken(), "/chat/session")[1], "Path=/chat")

    def test_without(self) -> None:
        """A server without authentication has no sessions."""
        self.assertEqual(self.ask("/session", method="POST").status, 404)
