"""
Tests of `sseserver.web.access.jwts`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import Unauthorized
from sseserver.interfaces import Principal
from sseserver.web.access.jwts import FixedKey, TokenKey, TokenRules, TokenVerifier
from tests.web.access.cases import grant
from tests.web.access.tokens import CLAIMS, NOW, SHARED, forge, makeToken, privatePEM, publicPEM

ALGORITHMS = ("HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA")


def makeVerifier(algorithm: str = "HS256", key: str | None = None, **rules: Any) -> TokenVerifier:
    """Make a verifier whose clock shows `NOW`."""
    text = key or (SHARED if algorithm.startswith("HS") else publicPEM(algorithm))
    wanted = {"issuer": "issuer", "audience": "here", **rules}
    return TokenVerifier(TokenRules(algorithm, **wanted), FixedKey(algorithm, text), lambda: NOW)


def makeSigned(algorithm: str, claims: Any = CLAIMS) -> str:
    """Make a token of the first key for an algorithm."""
    return makeToken(claims, algorithm, SHARED if algorithm.startswith("HS") else 0)


class TokenTests(SynchronousTestCase):
    """Tokens, good and forged."""

    def test_good(self) -> None:
        """A token of each algorithm has the rights of its claims until its expiry."""
        for algorithm in ALGORITHMS:
            found = makeVerifier(algorithm).verify(makeSigned(algorithm))
            self.assertEqual(found, Principal("jwt:alice", (grant("read:chat-*"),), NOW + 600), algorithm)

    def test_forged(self) -> None:
        """Forged tokens are refused, whatever algorithm is configured; the message quotes nothing of them."""
        for algorithm in ("HS256", "RS256", "ES256", "EdDSA"):
            verifier = makeVerifier(algorithm)
            forged = forge(algorithm, SHARED if algorithm == "HS256" else 0)
            self.assertGreater(len(forged), 40)
            for wrong, token in forged.items():
                with self.subTest(algorithm=algorithm, wrong=wrong):
                    error = self.assertRaises(Unauthorized, verifier.verify, token)
                    self.assertEqual(error.challenge, 'Bearer error="invalid_token"')
                    self.assertRegex(str(error), r"^The token is refused\. [A-Z][A-Za-z0-9 ;]+\.$")

    def test_noExpiry(self) -> None:
        """The message for a token without an expiry names the claim that is missing."""
        claims = {name: value for name, value in CLAIMS.items() if name != "exp"}
        error = self.assertRaises(Unauthorized, makeVerifier().verify, makeToken(claims))
        self.assertIn("exp is required", str(error))

    def test_scope(self) -> None:
        """Scopes that begin with the name of the server are grants; others mean nothing."""
        claims = {**CLAIMS, "scope": "openid sseserver:read,list:chat-* sseserver:publish:news"}
        del claims["sseserver"]
        found = makeVerifier().verify(makeToken(claims))
        assert isinstance(found, Principal)
        self.assertEqual(found.grants, (grant("read,list:chat-*"), grant("publish:news")))
        del claims["scope"]
        found = makeVerifier().verify(makeToken(claims))
        assert isinstance(found, Principal)
        self.assertEqual(found.grants, ())

    def test_audience(self) -> None:
        """One audience of several is enough; without a configured one, a token for anybody else is refused."""
        makeVerifier().verify(makeToken({**CLAIMS, "aud": ["elsewhere", "here"]}))
        without = {name: value for name, value in CLAIMS.items() if name not in {"aud", "iss"}}
        verifier = makeVerifier(issuer=None, audience=None)
        verifier.verify(makeToken(without))
        self.assertRaises(Unauthorized, verifier.verify, makeToken())

    def test_times(self) -> None:
        """A token may be a minute early, since clocks differ; it is never late."""
        makeVerifier().verify(makeToken({**CLAIMS, "nbf": NOW + 59, "iat": NOW + 59}))
        makeVerifier().verify(makeToken({**CLAIMS, "exp": NOW + 0.5}))

    def test_subject(self) -> None:
        """Tokens without a subject are principals of their own, whose names have no part of the token."""
        anonymous = {name: value for name, value in CLAIMS.items() if name != "sub"}
        names = []
        for claims in (anonymous, {**anonymous, "jti": "2"}, anonymous):
            found = makeVerifier().verify(makeToken(claims))
            assert isinstance(found, Principal)
            names.append(found.name)
            # Logs have the name.
            self.assertNotIn(makeToken(claims).rpartition(".")[2][:6], found.name)
        self.assertEqual((names[0] == names[1], names[0] == names[2]), (False, True))

    def test_laterKey(self) -> None:
        """A key may come later."""

        class Later:
            came: Deferred[Any] = Deferred()

            def knows(self, digest: bytes) -> bool:
                return False

            def find(self, kid: str | None) -> Any:
                return self.came

        verifier = TokenVerifier(TokenRules("HS256", "issuer", "here"), Later(), lambda: NOW)
        found: Any = verifier.verify(makeToken())
        self.assertNoResult(found)
        Later.came.callback(TokenKey(SHARED.encode(), b"digest"))
        principal = self.successResultOf(found)
        self.assertEqual((principal.name, principal.key), ("jwt:alice", b"digest"))


class KeyTests(SynchronousTestCase):
    """Keys that verify tokens."""

    def test_refused(self) -> None:
        """A key for another algorithm, one that is too short, and a private key are refused, and not quoted."""
        weak = "canary" * 3
        for algorithm, text in (
            ("HS256", weak),
            ("HS384", "k" * 47),
            ("HS512", "k" * 63),
            ("HS256", publicPEM("RS256")),
            ("RS256", SHARED),
            ("RS256", publicPEM("ES256")),
            ("ES256", publicPEM("EdDSA")),
            ("EdDSA", publicPEM("RS256")),
            ("RS256", privatePEM("RS256")),
            ("ES256", "-----BEGIN PUBLIC KEY-----\ncanary\n-----END PUBLIC KEY-----"),
        ):
            error = self.assertRaises(ValueError, FixedKey, algorithm, text)
            self.assertNotIn("canary", str(error))
