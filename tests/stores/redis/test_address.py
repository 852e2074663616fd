"""
Addresses of a Redis, and credentials.
"""

from __future__ import annotations

from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.redis.address import Address, Credentials, Server, makeEndpoint, readAddress, readCredentials


class AddressTests(SynchronousTestCase):
    """The URL of a Redis."""

    def test_forms(self) -> None:
        """Host, port and database have defaults; `rediss` is encrypted; a Unix socket is a path, a cluster a list."""
        for text, expected in (
            ("redis://db", Address((Server("db", 6379),))),
            ("redis://db:7000/3", Address((Server("db", 7000),), database=3)),
            ("rediss://db.example/", Address((Server("db.example", 6379),), tls=True)),
            ("redis://[::1]:7000", Address((Server("::1", 7000),))),
            ("redis+sentinel://a,b:1/main", Address((Server("a", 26379), Server("b", 1)), service="main")),
            ("rediss+sentinel://a/main/2", Address((Server("a", 26379),), True, 2, "main")),
            ("redis+unix:///run/redis.sock", Address((Server("/run/redis.sock", 0),))),
            ("redis://a,b:7000,[::1]", Address((Server("a", 6379), Server("b", 7000), Server("::1", 6379)))),
        ):
            self.assertEqual(readAddress(text), expected)

    def test_refused(self) -> None:
        """Whatever is unclear is refused, and a password is not repeated in the message."""
        for text in (
            "redis://",
            "redis://db:0",
            "redis://db:70000",
            "redis://db/x",
            "redis://db?x=1",
            "redis://a b",
            "redis://a,",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel://a/b/c",
            "redis+cluster://a",
            "redis+unix://host/path",
            "redis+unix:///",
            "http://db",
        ):
            self.assertRaises(ValueError, readAddress, text)
        error = self.assertRaises(ValueError, readAddress, "redis://user:secret@db")
        self.assertNotIn("secret", str(error))

    def test_credentials(self) -> None:
        """A file has a password, or a user and a password."""
        self.assertEqual(readCredentials("secret\n"), Credentials("secret"))
        self.assertEqual(readCredentials("me\nsecret"), Credentials("secret", "me"))
        for text in ("", "a\nb\nc", "\nb"):
            self.assertRaises(ValueError, readCredentials, text)

    def test_endpoints(self) -> None:
        """A server is reached by a Unix socket, by TCP, or by TLS over TCP."""
        clock = MemoryReactorClock()
        self.assertIsInstance(makeEndpoint(clock, Server("/x", 0), False), UNIXClientEndpoint)
        self.assertEqual(str(Server("db", 1)), "db:1")
        self.assertEqual(str(Server("/x", 0)), "/x")
        self.assertIsInstance(makeEndpoint(clock, Server("127.0.0.1", 1), False), TCP4ClientEndpoint)
        self.assertIsInstance(makeEndpoint(clock, Server("db", 1), False), HostnameEndpoint)
