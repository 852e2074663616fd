"""
Tests of `sseserver.web.access.credentials`: the credentials of requests to a whole server.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sseserver.apis.root import StreamResource
from sseserver.errors import Overloaded, Unauthorized
from sseserver.interfaces import Principal
from sseserver.web.accept import JSON
from sseserver.web.site import StreamSite
from tests.http import EVENTSOURCE
from tests.web.access.cases import SecretsTestCase, grant
from tests.web.access.tokens import CLAIMS, NOW, forge, makeToken


class Later:
    """A verifier whose answer comes later."""

    def __init__(self) -> None:
        self.came: Deferred[Principal] = Deferred()

    def verify(self, token: str) -> Deferred[Principal]:
        """See `Verifier.verify`."""
        return self.came


class CredentialTests(SecretsTestCase):
    """Credentials of all kinds."""

    def setUp(self) -> None:
        super().setUp()
        self.put("chat-1")
        self.publish("chat-1", {"data": "a"})

    def status(self, path: str = "/streams/chat-1", **headers: str) -> int:
        """Return the status of the answer to a request with headers."""
        return self.send(path, headers=headers).response.status

    def link(self) -> str:
        """Return the query of a link to read the chats."""
        assert self.credentials.links is not None
        return self.credentials.links.make(grant("read:chat-*"), int(NOW) + 600)

    def test_kinds(self) -> None:
        """An API key, a token, a link and a session each open the stream."""
        key = self.addKey("a", "read:chat-*")
        for value in (f"Bearer {key}", f"bearer  {key}", f"Bearer {makeToken()}"):
            self.assertEqual(self.status(Authorization=value), 200)
        for value in (key, makeToken()):
            self.assertEqual(self.status(**{"x-api-key": value}), 200)
        self.assertEqual(self.status(f"/streams/chat-1?{self.link()}"), 200)
        cookie, _ = self.credentials.sessions.make(Principal("jwt:a", (grant("read:chat-*"),)), NOW)
        self.assertEqual(self.status(Cookie=f"a=b; sseserver_session={cookie}; c=d"), 200)

    def test_refused(self) -> None:
        """Anything else gets 401 with a challenge."""
        key = self.addKey("a", "read:chat-*")
        for value in (
            "",
            "Bearer",
            "Bearer ",
            key,
            f"Basic {key}",
            f"Bearer {key} {key}",
            f"Bearer {key},",
            f"Bearer {key[:-1]}",
            f"Bearer sse_{'A' * 43}",
            "Bearer a",
            f"Bearer {'a' * 9000}",
        ):
            response = self.send("/streams/chat-1", headers={"Authorization": value}).response
            self.assertEqual((response.status, response.headers["www-authenticate"][:6]), (401, "Bearer"), value)
            self.assertNotIn(key, response.body.decode())
        for value in ("", f"Bearer {key}", f"{key} {key}", key[:-1], "a" * 9000):
            self.assertEqual(self.status(**{"x-api-key": value}), 401, value)
        # The header `Authorization` decides.
        self.assertEqual(self.status(**{"x-api-key": key, "Authorization": "Bearer a"}), 401)
        self.assertEqual(self.status(), 401)
        for cookie in ("sseserver_session=", "sseserver_session=a.b", f"sseserver_session={key}"):
            self.assertEqual(self.status(Cookie=cookie), 401)

    def test_two(self) -> None:
        """Two headers `Authorization` are refused, whatever is in them."""
        key = self.addKey("a", "read:*")
        wire = self.connect(self.guarded)
        value = f"Bearer {key}\r\nAuthorization: Bearer {key}"
        wire.begin("/streams", None, headers={"Authorization": value})
        self.assertEqual(wire.response.status, 401)

    def test_firstDecides(self) -> None:
        """A bad credential is not made good by another one."""
        cookie, _ = self.credentials.sessions.make(Principal("jwt:a", (grant("read:chat-*"),)), NOW)
        good = {"Cookie": f"sseserver_session={cookie}"}
        self.assertEqual(self.status(**good), 200)
        self.assertEqual(self.status(Authorization="Bearer a", **good), 401)
        self.assertEqual(self.status("/streams/chat-1?sig=a", **good), 401)
        self.assertEqual(self.status(f"/streams/chat-1?{self.link()}", Authorization="Bearer a"), 401)

    def test_forged(self) -> None:
        """Forty and more forged tokens: each gets 401, and nothing is logged."""
        forged = forge()
        self.assertGreater(len(forged), 40)
        for wrong, token in forged.items():
            self.assertEqual(self.status(Authorization=f"Bearer {token}"), 401, wrong)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(len(self.credentials.verdicts), 0)

    def test_expiry(self) -> None:
        """Each credential ends at its time, also one that was verified before; a viewer that it let in ends, too."""
        key = self.addKey("a", "read:chat-*", expires="2033-05-18T03:43:20Z")
        token, link = makeToken({**CLAIMS, "exp": NOW + 600}), self.link()
        requests = (("", f"Bearer {key}"), ("", f"Bearer {token}"), (f"?{link}", None))
        wires = []
        for query, value in requests:
            headers = {} if value is None else {"Authorization": value}
            wires.append(self.send(f"/streams/chat-1{query}", accept=EVENTSOURCE, headers=headers))
        self.reactor.advance(599)
        self.assertEqual([wire.response.complete for wire in wires], [False] * 3)
        self.reactor.run(2)
        self.assertEqual([wire.response.complete for wire in wires], [True] * 3)
        for query, value in requests:
            headers = {} if value is None else {"Authorization": value}
            response = self.send(f"/streams/chat-1{query}", headers=headers).response
            self.assertEqual((response.status, response.headers["www-authenticate"][7:22]), (401, 'error="invalid_'))
        again = {"Last-Event-ID": wires[1].response.events[-1].id or ""}
        renewed = makeToken({**CLAIMS, "exp": NOW + 900})
        resumed = self.send("/streams/chat-1", "GET", renewed, accept=EVENTSOURCE, headers=again)
        self.assertEqual((resumed.response.status, resumed.response.texts), (200, []))

    def test_reload(self) -> None:
        """A key that is taken back, and a right that is taken away, are gone at once, and so are the verdicts."""
        key = self.addKey("a", "read:chat-*")
        self.assertEqual(self.status(Authorization=f"Bearer {key}"), 200)
        self.assertEqual(len(self.credentials.verdicts), 1)
        self.lines[0] = self.lines[0].replace("read:", "list:")
        self.credentials.replace(self.makeSecrets())
        self.assertEqual(self.status(Authorization=f"Bearer {key}"), 403)
        self.lines.clear()
        self.credentials.replace(self.makeSecrets())
        self.assertEqual(self.status(Authorization=f"Bearer {key}"), 401)

    def test_changedRights(self) -> None:
        """A right is looked for again when keys have changed, whatever a connection was allowed before."""
        key = self.addKey("a", "publish:chat-*")
        headers = {"Authorization": f"Bearer {key}", "Content-Type": JSON}
        wire = self.connect(self.guarded)
        for rights, status in (("publish", 200), ("read", 403), ("publish", 200)):
            self.lines[0] = re.sub(r"\w+:chat", f"{rights}:chat", self.lines[0])
            self.credentials.replace(self.makeSecrets())
            self.status("/streams/chat-1", Authorization=f"Bearer {key}")  # the verdict is known now
            for _ in range(2):
                wire.begin("/streams/chat-1", None, "POST", b'{"data": "b"}', headers=headers)
                self.reactor.turn()
                self.assertEqual(wire.response.status, status)

    def test_reloadMeanwhile(self) -> None:
        """A token that is being verified while the keys change is not kept."""
        self.tokens = later = Later()
        self.credentials.replace(self.makeSecrets())
        wire = self.send("/streams/chat-1", "GET", "a.b.c")
        self.credentials.replace(self.makeSecrets())
        later.came.callback(Principal("jwt:a", (grant("read:*"),)))
        self.reactor.turn()
        self.assertEqual((wire.response.status, len(self.credentials.verdicts)), (200, 0))

    def test_later(self) -> None:
        """A token may be refused later, or its keys may be missing."""
        for error, status in ((Unauthorized("No."), 401), (Overloaded("Later."), 503)):
            self.tokens = later = Later()
            self.credentials.replace(self.makeSecrets())
            wire = self.send("/streams/chat-1", "GET", "a.b.c")
            later.came.errback(Failure(error))
            self.reactor.turn()
            self.assertEqual(wire.response.status, status)

    def test_withoutKinds(self) -> None:
        """Without tokens and signing keys there are neither; sessions end with the process."""
        self.tokens = None
        link = self.link()
        self.credentials.replace(self.makeSecrets(()))
        self.assertEqual(self.status(Authorization=f"Bearer {makeToken()}"), 401)
        self.assertEqual(self.status(f"/streams/chat-1?{link}"), 401)
        cookie, _ = self.credentials.sessions.make(Principal("jwt:a", (grant("read:chat-*"),)), NOW)
        self.assertEqual(self.status(Cookie=f"sseserver_session={cookie}"), 200)

    def test_replacedSigningKey(self) -> None:
        """A new key before the old one signs, and the old links stay good until the old key is gone."""
        link = self.link()
        self.credentials.replace(self.makeSecrets((b"2" * 32, b"1" * 32)))
        self.assertEqual(self.status(f"/streams/chat-1?{link}"), 200)
        self.credentials.replace(self.makeSecrets((b"2" * 32,)))
        self.assertEqual(self.status(f"/streams/chat-1?{link}"), 401)


class RecalledTests(SecretsTestCase):
    """Publishing with a credential, without a request object."""

    def setUp(self) -> None:
        super().setUp()
        self.put("news")
        self.made = 0
        process = self.guarded.requestFactory.requestReceived

        def count(request: Any, *arguments: Any) -> None:
            self.made += 1
            process(request, *arguments)

        self.patch(self.guarded.requestFactory, "requestReceived", count)

    def test_verdict(self) -> None:
        """A credential that was verified before needs no request object, until it expires or the keys change."""
        if self.settings.plain:
            return
        key = self.addKey("a", "publish:news", expires="2033-05-18T03:43:20Z")
        wire = self.connect(self.guarded)

        def post(expected: int, made: int) -> None:
            headers = {"Content-Type": "text/plain", "Authorization": bearer}
            wire.begin("/streams/news", None, "POST", b"x", headers=headers)
            self.assertEqual((wire.response.status, self.made), (expected, made))

        bearer = f"Bearer {key}"
        post(200, 1)
        post(200, 1)
        self.credentials.replace(self.makeSecrets())
        post(200, 2)
        post(200, 2)
        bearer = f"Bearer {self.addKey('b', 'publish:other')}"
        post(404, 3)
        post(404, 4)
        bearer = f"Bearer {key}"
        post(200, 5)
        self.reactor.advance(601)
        wire = self.connect(self.guarded)
        post(401, 6)

    def test_sameAnswers(self) -> None:
        """The answers are those of a usual request."""
        key = self.addKey("a", "publish:news")
        for _ in range(3):
            response = self.send(
                "/streams/news", "POST", key, body=b'{"data": "a"}', headers={"Content-Type": JSON}
            ).response
            self.assertEqual(set(response.json), {"first", "last", "ids"})


class AccessLogTests(SecretsTestCase):
    """Principals in the access log."""

    def test_publishes(self) -> None:
        """Each publish has its principal: the first one, whose key is verified, and the direct ones after it."""
        key, path = self.addKey("alice", "publish:*"), self.mktemp()
        site = StreamSite(StreamResource(self.service, None, self.credentials), reactor=self.reactor, logPath=path)
        site.startFactory()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "text/plain"}
        self.connect(site).ask("/streams/news", None, "PUT", None, headers=headers)
        wire = self.connect(site)
        for _ in range(2):
            wire.ask("/streams/news", None, "POST", b"x", headers=headers)
        site.stopFactory()
        for line in Path(path).read_text("ascii").splitlines():
            self.assertTrue(line.startswith('"127.0.0.1" - key:alice ['), line)
