"""
Tests of `sseserver.web.access.sessions`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import Unauthorized
from sseserver.interfaces import Principal
from sseserver.web.access.apikeys import ApiKeys, makeKey, readKeyFile, writeLine
from sseserver.web.access.sessions import LIFETIME, Sessions
from tests.web.access.cases import grant

KEY = b"1" * 32


class SessionTests(SynchronousTestCase):
    """Cookies of sessions."""

    def setUp(self) -> None:
        self.key = makeKey()
        self.apiKeys = ApiKeys(readKeyFile(writeLine("one", self.key, ["read:a"])))
        self.sessions = Sessions([KEY], self.apiKeys)

    def test_token(self) -> None:
        """The cookie of a token has its principal, and ends with it."""
        principal = Principal("jwt:a", (grant("read,list:b*"),), 1500.0)
        value, seconds = self.sessions.make(principal, 1000.0)
        self.assertEqual(seconds, 500)
        self.assertEqual(self.sessions.read(value), principal)

    def test_lifetime(self) -> None:
        """A session of a credential without an end has one, and a new session of a session ends with the first."""
        value, seconds = self.sessions.make(Principal("jwt:a", ()), 1000.0)
        self.assertEqual(seconds, LIFETIME)
        read = self.sessions.read(value)
        self.assertEqual(read.expires, 1000.0 + LIFETIME)
        again, seconds = self.sessions.make(read, 5000.0)
        self.assertEqual((self.sessions.read(again).expires, seconds), (read.expires, LIFETIME - 4000))

    def test_apiKey(self) -> None:
        """The session of an API key has the rights that the key has now, and ends when the key is taken back."""
        principal = self.apiKeys.find(self.key)
        assert principal is not None
        value, _ = self.sessions.make(principal, 1000.0)
        self.assertEqual(self.sessions.read(value).grants, (grant("read:a"),))
        others = ApiKeys(readKeyFile(writeLine("one", self.key, ["publish:a"])))
        self.assertEqual(Sessions([KEY], others).read(value).grants, (grant("publish:a"),))
        for lines in ("", writeLine("one", makeKey(), ["read:a"]), writeLine("two", self.key, ["read:a"])):
            self.assertRaises(Unauthorized, Sessions([KEY], ApiKeys(readKeyFile(lines))).read, value)

    def test_changed(self) -> None:
        """A cookie that was changed, or signed with another key, is refused."""
        value, _ = self.sessions.make(Principal("jwt:a", (grant("read:a"),)), 1000.0)
        content, _, signature = value.partition(".")
        for changed in (
            "",
            ".",
            content,
            f"{content}.",
            f".{signature}",
            f"{content[:-1]}.{signature}",
            f"{content}A.{signature}",
            f"{content}=.{signature}",
            f"{content}.{signature[:-1]}",
            f"{content}.{signature}=",
            f"{value}.{signature}",
            f" {value}",
            f"{content.swapcase()}.{signature}",
            "\xff" * 50,
        ):
            self.assertRaises(Unauthorized, self.sessions.read, changed)
        self.assertRaises(Unauthorized, Sessions([b"2" * 32], self.apiKeys).read, value)

    def test_size(self) -> None:
        """Rights that do not fit into a cookie are refused."""
        principal = Principal("jwt:a", tuple(grant(f"read:{'a' * 100}{number}") for number in range(50)))
        self.assertRaises(Unauthorized, self.sessions.make, principal, 1000.0)
