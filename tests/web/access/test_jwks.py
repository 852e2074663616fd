"""
Tests of `sseserver.web.access.jwks`.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone

from sseserver.errors import KeysUnavailable, Unauthorized
from sseserver.web.access.jwks import (
    FETCH_SECONDS,
    KEPT_SECONDS,
    MAX_KEYS,
    PAUSE_SECONDS,
    SET_BYTES,
    STALE_SECONDS,
    RemoteKeys,
    readKeySet,
)
from sseserver.web.access.jwts import TokenRules, TokenVerifier
from tests.fakes import logged
from tests.web.access.tokens import CLAIMS, NOW, SHARED, encode, forge, makeToken, privateKey

URL = "https://issuer.example/keys"


def describe(number: int, kid: str | None = None, algorithm: str = "ES256", **fields: Any) -> dict[str, Any]:
    """Describe a public key as a set does."""
    public = privateKey(algorithm, number).public_key()
    kid = kid or f"k{number}"
    if algorithm == "RS256":
        numbers = public.public_numbers()
        parts = {"kty": "RSA", "n": encode(numbers.n.to_bytes(256, "big")), "e": "AQAB"}
    else:
        numbers = public.public_numbers()
        parts = {"kty": "EC", "crv": "P-256", "x": encode(numbers.x.to_bytes(32, "big"))}
        parts["y"] = encode(numbers.y.to_bytes(32, "big"))
    return {"kid": kid, **parts, **fields}


def makeSet(*numbers: int) -> bytes:
    """Make a set of keys."""
    return json.dumps({"keys": [describe(number) for number in numbers]}).encode()


def sign(number: int, kid: str | None = None) -> str:
    """Make a token that is signed with the key of a number."""
    name = {"kid": kid or f"k{number}"} if kid != "" else {}
    return makeToken(CLAIMS, "ES256", number, {"alg": "ES256", **name})


class FakeResponse:
    """A response of the agent."""

    def __init__(self, code: int, body: bytes) -> None:
        self.code = code
        self._body = body

    def deliverBody(self, protocol: Any) -> None:
        """See `IResponse.deliverBody`."""
        protocol.makeConnection(None)
        protocol.dataReceived(self._body)
        protocol.connectionLost(Failure(ResponseDone()))


class FakeAgent:
    """
    An agent whose answers the test gives.

    Attributes:
        asked: The URLs, in order.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._answers: list[Deferred[Any]] = []

    def request(self, method: bytes, url: bytes, headers: Any = None, body: Any = None) -> Deferred[Any]:
        """See `IAgent.request`."""
        self.asked.append(url)
        self._answers.append(Deferred())
        return self._answers[-1]

    def answer(self, body: bytes, code: int = 200) -> None:
        """Answer the newest request."""
        self._answers[-1].callback(FakeResponse(code, body))

    def fail(self) -> None:
        """Let the newest request fail."""
        self._answers[-1].errback(Failure(OSError("unreachable")))


class RemoteKeysTests(SynchronousTestCase):
    """Keys at a URL."""

    def setUp(self) -> None:
        self.clock, self.agent = Clock(), FakeAgent()
        self.clock.advance(NOW)
        self.changes = 0
        agent: Any = self.agent
        self.keys = RemoteKeys(self.clock, agent, URL, "ES256", self.count)
        self.verifier = TokenVerifier(TokenRules("ES256", "issuer", "here"), self.keys, lambda: NOW)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def count(self) -> None:
        """Count a change of the keys."""
        self.changes += 1

    def begin(self, *numbers: int) -> None:
        """Let the keys be fetched."""
        found: Any = self.verifier.verify(sign(numbers[0]))
        self.agent.answer(makeSet(*numbers))
        self.successResultOf(found)

    def test_once(self) -> None:
        """The keys are fetched once for many tokens, also for those that come meanwhile."""
        found: list[Any] = [self.verifier.verify(sign(number)) for number in (0, 1, 0)]
        self.agent.answer(makeSet(0, 1))
        for each in found:
            self.assertEqual(self.successResultOf(each).name, "jwt:alice")
        self.verifier.verify(sign(1))
        self.assertEqual((self.agent.asked, self.changes), ([URL.encode()], 1))

    def test_rotated(self) -> None:
        """A token with a key that is not known yet fetches the keys again; one without it is refused then."""
        self.begin(0)
        self.clock.advance(PAUSE_SECONDS)
        found: Any = self.verifier.verify(sign(1))
        self.agent.answer(makeSet(0, 1))
        self.successResultOf(found)
        self.clock.advance(PAUSE_SECONDS)
        found = self.verifier.verify(sign(2))
        self.agent.answer(makeSet(0, 1))
        self.failureResultOf(found, Unauthorized)
        self.assertEqual((len(self.agent.asked), self.changes), (3, 2))

    def test_knows(self) -> None:
        """The principal of a token has the digest of its key, which is known as long as the set has the key."""
        self.begin(0, 1)
        digests = [self.verifier.verify(sign(number)).key or b"" for number in (0, 1)]  # type: ignore[union-attr]
        self.assertEqual([self.verifier.knows(digest) for digest in digests], [True, True])
        self.clock.advance(KEPT_SECONDS)
        self.verifier.verify(sign(1))
        self.agent.answer(json.dumps({"keys": [describe(1, "renamed", x5t="new")]}).encode())
        self.assertEqual([self.verifier.knows(digest) for digest in digests], [False, True])
        self.assertEqual(self.changes, 2)

    def test_pause(self) -> None:
        """Tokens with invented keys cause one fetch in ten seconds."""
        self.begin(0)
        for number in range(100):
            self.assertRaises(Unauthorized, self.verifier.verify, sign(0, f"invented{number}"))
        self.assertEqual(len(self.agent.asked), 1)
        self.verifier.verify(sign(0))

    def test_age(self) -> None:
        """Old keys are fetched again while they serve; a key that is gone then verifies nothing."""
        self.begin(0, 1)
        self.clock.advance(KEPT_SECONDS)
        self.verifier.verify(sign(1))
        self.agent.answer(makeSet(0))
        self.assertRaises(Unauthorized, self.verifier.verify, sign(1))
        self.assertEqual(len(self.agent.asked), 2)

    def test_unreachable(self) -> None:
        """Without keys a token gets 503; keys that cannot be fetched again serve for a day."""
        with logged() as events:
            found: Any = self.verifier.verify(sign(0))
            self.agent.fail()
            error = self.failureResultOf(found, KeysUnavailable).value
            self.assertEqual((error.status, error.retryAfter), (503, 3))
            self.assertRaises(KeysUnavailable, self.verifier.verify, sign(0))
            self.clock.advance(PAUSE_SECONDS)
            self.begin(0)
            self.clock.advance(STALE_SECONDS - 1)
            self.verifier.verify(sign(0))
            self.agent.answer(b"gone", 404)
            self.clock.advance(1)
            self.assertRaises(KeysUnavailable, self.verifier.verify, sign(0))
        self.assertEqual(len([event for event in events if "cannot be" in str(event["log_format"])]), 2)

    def test_slow(self) -> None:
        """A fetch that takes too long is given up."""
        with logged():
            found: Any = self.verifier.verify(sign(0))
            self.clock.advance(FETCH_SECONDS)
            self.failureResultOf(found, KeysUnavailable)

    def test_unusable(self) -> None:
        """An answer that is no key set changes nothing."""
        self.begin(0)
        for body in (b"", b"[]", b'{"keys": 1}', b'{"keys": []}', b'{"keys": [1]}', b"x" * (SET_BYTES + 1)):
            self.clock.advance(KEPT_SECONDS)
            with logged():
                self.verifier.verify(sign(0))
                self.agent.answer(body)
            self.verifier.verify(sign(0))
        self.assertEqual(self.changes, 1)

    def test_withoutName(self) -> None:
        """A token without the name of a key is verified if there is only one."""
        self.begin(0)
        self.verifier.verify(sign(0, ""))
        self.clock.advance(KEPT_SECONDS)
        self.verifier.verify(sign(0))
        self.agent.answer(makeSet(0, 1))
        self.assertRaises(Unauthorized, self.verifier.verify, sign(0, ""))

    def test_forged(self) -> None:
        """Forged tokens cause no request but to the configured URL, and at most one."""
        self.begin(0)
        self.clock.advance(PAUSE_SECONDS)
        for wrong, token in forge("ES256", 0, "https://evil.example/keys").items():
            result: list[Any] = []
            try:
                found: Any = self.verifier.verify(token)
                self.agent.answer(makeSet(0))
                self.failureResultOf(found, Unauthorized)
            except Unauthorized as error:
                result.append(error)
            self.assertLessEqual(len(self.agent.asked), 2, wrong)
        self.assertEqual(set(self.agent.asked), {URL.encode()})


class KeySetTests(SynchronousTestCase):
    """Key sets."""

    def test_others(self) -> None:
        """Keys for anything else are left out: shared ones above all."""
        body = {
            "keys": [
                {"kty": "oct", "kid": "k0", "k": encode(SHARED.encode()), "alg": "ES256"},
                describe(0, "encrypts", use="enc"),
                describe(0, "hashes", alg="ES384"),
                describe(0, "rsa", "RS256"),
                describe(0, "curve", crv="P-384"),
                describe(1, use="sig", alg="ES256"),
                describe(2, "", d=encode(b"x" * 32)),
            ]
        }
        self.assertEqual(list(readKeySet(json.dumps(body).encode(), "ES256")), ["k1", "k2"])
        self.assertEqual(list(readKeySet(json.dumps(body).encode(), "RS256")), ["rsa"])
        self.assertRaises(ValueError, readKeySet, json.dumps(body).encode(), "EdDSA")

    def test_number(self) -> None:
        """The number of keys is limited."""
        keys = [describe(0, f"k{number}") for number in range(MAX_KEYS + 1)]
        error = self.assertRaises(ValueError, readKeySet, json.dumps({"keys": keys}).encode(), "ES256")
        self.assertEqual(str(error), f"it has more than {MAX_KEYS} keys")
        self.assertEqual(len(readKeySet(json.dumps({"keys": keys[1:]}).encode(), "ES256")), MAX_KEYS)
