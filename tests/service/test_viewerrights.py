"""
Tests of `sseserver.service.viewerrights`: viewers whose keys are taken back while they read.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sseserver.delivery.waiter import Waiter
from sseserver.errors import Unauthorized
from sseserver.interfaces import Principal
from sseserver.service.viewerrights import CHECKED, ViewerRights
from sseserver.settings import Settings
from sseserver.timing.ticker import Ticker
from sseserver.web.access.jwts import FixedKey, TokenRules, TokenVerifier
from tests.fakes import TurnClock
from tests.http import EVENTSOURCE
from tests.web.access.cases import SecretsTestCase, grant
from tests.web.access.tokens import NOW, OTHER, SHARED, makeToken
from tests.wires import Wire

JSON = {"Content-Type": "application/json"}
ASK = b'{"messages": [{"role": "user", "content": "x"}], "stream": true}'


class ViewerRightsTests(SecretsTestCase):
    """Viewers after a reload of the keys."""

    settings = Settings(heartbeat=15)

    def setUp(self) -> None:
        super().setUp()
        self.put("chat-1")
        self.publish("chat-1", {"data": "a"})

    def view(self, credential: str | None = None, query: str = "", **headers: str) -> Wire:
        """Open the stream."""
        wire = self.send(f"/streams/chat-1{query}", "GET", credential, accept=EVENTSOURCE, headers=headers)
        self.assertEqual(wire.response.texts, ["a"])
        return wire

    def reload(self, *signingKeys: bytes) -> None:
        """Read the keys again."""
        self.credentials.replace(self.makeSecrets(signingKeys or (b"1" * 32,)))
        self.reactor.run(1)

    def ended(self, *wires: Wire) -> list[bool]:
        """Return which responses have ended. Each has told its viewer to return, between two events."""
        for wire in wires:
            response = wire.response
            if response.complete:
                self.assertIn("retry:", response.body.decode().rpartition("data: a")[2])
        return [wire.response.complete for wire in wires]

    def test_apiKeys(self) -> None:
        """The viewers of a key that was taken back end at once, and cannot resume; all others stay."""
        gone, kept = self.addKey("a", "read:*"), self.addKey("b", "read:*")
        wires = [self.view(gone), self.view(kept), self.view(gone), self.view(makeToken())]
        self.lines.pop(0)
        self.reload()
        self.assertEqual(self.ended(*wires), [True, False, True, False])
        again = {"Last-Event-ID": wires[0].response.events[-1].id or ""}
        self.assertEqual(self.send("/streams/chat-1", "GET", gone, headers=again).response.status, 401)
        self.publish("chat-1", {"data": "b"})
        self.assertEqual(wires[1].response.texts, ["a", "b"])

    def test_replaced(self) -> None:
        """A client that has got another key under its name ends with the old one."""
        wire = self.view(self.addKey("a", "read:*"))
        self.lines.clear()
        self.addKey("a", "read:*")
        self.reactor.run(1)
        self.assertEqual(self.ended(wire), [True])

    def test_grants(self) -> None:
        """A viewer ends when its key may no longer read the stream, and not for any other change of its rights."""
        wire = self.view(self.addKey("a", "read:chat-*"))
        for pattern, ended in (("read,list:chat-*", False), ("read:chat-1", False), ("list:*", True)):
            self.lines[0] = " ".join([*self.lines[0].split()[:2], pattern])
            self.reload()
            self.assertEqual(self.ended(wire), [ended], pattern)

    def test_expiry(self) -> None:
        """The end of a key may be moved: a viewer keeps to the new time."""
        key = self.addKey("a", "read:*")
        wires = [self.view(key), self.view(key)]
        line = self.lines[0]
        self.lines[0] = f"{line} expires=2033-05-18T03:33:50Z"
        self.reload()
        self.reactor.run(26)
        self.assertEqual(self.ended(*wires), [False, False])
        self.reactor.run(5)
        self.assertEqual(self.ended(*wires), [True, True])
        self.lines[0] = line
        self.reload()
        wire = self.view(key)
        self.lines[0] = f"{line} expires=2033-05-18T03:34:05Z"
        self.reload()
        self.assertEqual(self.ended(wire), [True])

    def test_signingKeys(self) -> None:
        """Links and sessions end with the key that has signed them, and a session of an API key with that key."""
        assert self.credentials.links is not None
        link = f"?{self.credentials.links.make(grant('read:chat-*'), int(NOW) + 600)}"
        key = self.addKey("a", "read:*")
        made = [Principal("jwt:a", (grant("read:chat-*"),)), Principal("key:a", ())]
        cookies = [f"sseserver_session={self.credentials.sessions.make(each, NOW)[0]}" for each in made]
        wires = [self.view(query=link), *[self.view(Cookie=cookie) for cookie in cookies], self.view(key)]
        self.reload(b"2" * 32, b"1" * 32)
        self.assertEqual(self.ended(*wires), [False] * 4)
        self.reload(b"2" * 32)
        self.assertEqual(self.ended(*wires), [True, True, False, False])
        self.lines.clear()
        self.reload(b"2" * 32)
        self.assertEqual(self.ended(*wires), [True] * 4)

    def test_tokens(self) -> None:
        """Tokens end with the key that verifies them; the same key in a file that is read again changes nothing."""
        rules = TokenRules("HS256", "issuer", "here")
        wire = self.view(makeToken())
        for key, ended in ((SHARED, False), (OTHER, True)):
            self.tokens = TokenVerifier(rules, FixedKey("HS256", key), self.reactor.seconds)
            self.reload()
            self.assertEqual(self.ended(wire), [ended])

    def test_withoutTokens(self) -> None:
        """Viewers with a token end when tokens are not taken any more."""
        wire = self.view(makeToken())
        self.tokens = None
        self.reload()
        self.assertEqual(self.ended(wire), [True])

    def test_completions(self) -> None:
        """The right to run includes reading the answer: a streamed one ends, and one in one piece is refused."""
        key = self.addKey("a", "run:*")
        bodies = (ASK, ASK.replace(b"true", b"false"))

        def start() -> list[Wire]:
            wires = [self.send("/v1/chat/completions", "POST", key, body=body, headers=JSON) for body in bodies]
            self.source.runs[-2].write("Hello")
            self.reactor.run(1)
            return wires

        wires = start()
        self.reload()
        self.assertEqual((wires[0].response.complete, wires[1].received), (False, b""))
        self.lines.clear()
        self.reload()
        self.assertEqual([wire.response.complete for wire in wires], [True, True])
        self.assertNotIn(b"[DONE]", wires[0].response.body)
        self.assertEqual((wires[1].response.status, wires[1].response.json["error"]["code"]), (401, "unauthorized"))

    def test_meanwhile(self) -> None:
        """A request that was checked before the keys changed, and becomes a viewer after that, is refused."""
        key = self.addKey("a", "read:*")
        self.reload()
        principal = self.credentials.verify(f"Bearer {key}".encode())
        assert isinstance(principal, Principal)
        log: Any = self.successResultOf(self.service.find("chat-1"))
        self.assertEqual(self.service.viewers.rights.check(principal, log).name, "key:a")
        self.lines.clear()
        self.reload()
        self.assertRaises(Unauthorized, self.service.viewers.rights.check, principal, log)

    def test_turns(self) -> None:
        """Many viewers are checked in many turns of the reactor."""
        clock, checked = TurnClock(), []
        ticker, log = Ticker(clock, 0.02), SimpleNamespace(name="a", published=False)
        waiters = [Waiter(None, log, ticker, lambda cursor: (0, False), 0, print) for _ in range(3 * CHECKED)]
        for waiter in waiters:
            waiter.principal = Principal("a", (grant("read:a"),))

        def renew(principal: Principal) -> Principal:
            checked.append(principal)
            return principal

        ViewerRights(waiters, ticker, Settings()).recheck(renew)
        counts = [len(checked)]
        while clock.turn():
            counts.append(len(checked))
        self.assertEqual(counts[:3], [CHECKED, 2 * CHECKED, 3 * CHECKED])

    def test_broken(self) -> None:
        """An exception of the check is logged."""
        self.view(self.addKey("a", "read:*"))
        self.service.viewers.rights.recheck(lambda principal: 1 // 0)  # type: ignore[arg-type, return-value]
        self.assertEqual([failure.type for failure in self.flushLoggedErrors()], [ZeroDivisionError])
