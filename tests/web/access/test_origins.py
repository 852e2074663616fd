"""
Tests of `sseserver.web.access.origins`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.web.access.hosts import parseAuthority
from sseserver.web.access.origins import isOwn, parseOrigin


class ParseTests(SynchronousTestCase):
    """`parseOrigin`."""

    def test_origins(self) -> None:
        """An origin is a scheme and a host, with or without a port."""
        for text in ("https://example.com", "HTTP://[::1]:8000", "moz-extension://12ab-34", "tauri://localhost"):
            scheme, _, host = text.partition("://")
            self.assertEqual(parseOrigin(text), (scheme.lower(), parseAuthority(host)))

    def test_malformed(self) -> None:
        """Everything else is refused."""
        for text in (
            "",
            "null",
            "*",
            "example.com",
            "https://",
            "https://a/",
            "https://a?",
            "https://u@a",
            "https://a b",
        ):
            with self.assertRaises(ValueError, msg=text):
                parseOrigin(text)


class OwnTests(SynchronousTestCase):
    """`isOwn`."""

    def test_same(self) -> None:
        """An origin is the server's own if host and port are those of the request."""
        for origin, host in (
            (b"http://localhost:8000", "localhost:8000"),
            (b"http://example.com", "example.com"),
            (b"http://example.com", "example.com:80"),
            (b"https://example.com", "example.com"),
            (b"https://example.com", "example.com:443"),
            (b"http://[::1]:8000", "[0::1]:8000"),
        ):
            self.assertTrue(isOwn(origin, parseAuthority(host), False), origin)

    def test_other(self) -> None:
        """Another name or port is another origin, and so is one without TLS for a request with it."""
        for origin, host in (
            (b"http://localhost:5173", "localhost:8000"),
            (b"http://localhost:8000", "127.0.0.1:8000"),
            (b"http://localhost", "localhost:8000"),
            (b"http://localhost:8000", "localhost"),
            (b"http://example.com", "example.com:443"),
            (b"http://example.com.evil.example", "example.com"),
            (b"file://example.com", "example.com"),
            (b"null", "null"),
            (b"", "example.com"),
        ):
            self.assertFalse(isOwn(origin, parseAuthority(host), False), origin)
        self.assertFalse(isOwn(b"http://example.com", parseAuthority("example.com"), True))
        self.assertTrue(isOwn(b"https://example.com", parseAuthority("example.com"), True))
