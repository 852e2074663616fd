"""
Tests of `sseserver.web.access.hosts`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.web.access.hosts import Authority, HostList, isLoopback, parseAuthority


class ParseTests(SynchronousTestCase):
    """`parseAuthority`."""

    def test_forms(self) -> None:
        """A host has one form, however it is written."""
        for text, name, port in (
            ("example.com", "example.com", None),
            ("Example.COM.:8000", "example.com", 8000),
            ("a_b-c.example:", "a_b-c.example", None),
            ("127.0.0.1:80", "127.0.0.1", 80),
            ("[::1]:8000", "[::1]", 8000),
            ("[0:0::FFFF]", "[::ffff]", None),
            ("localhost:65535", "localhost", 65535),
        ):
            self.assertEqual(parseAuthority(text), Authority(name, port), text)

    def test_malformed(self) -> None:
        """Everything else is refused."""
        for text in (
            "",
            ":8000",
            "a b",
            "a,b",
            "a/b",
            "user@a",
            "a:b",
            "a:65536",
            "a:-1",
            "::1",
            "[::1",
            "[::1%25eth0]",
            "[1.2.3.4]",
            "127.1",
            "0127.0.0.1",
            "1.2.3.4.5",
            ".",
            ".example.com",
            "ex\xe4mple.com",
            "a\x00",
            "a" * 254,
        ):
            with self.assertRaises(ValueError, msg=text):
                parseAuthority(text)


class LoopbackTests(SynchronousTestCase):
    """`isLoopback`."""

    def test_names(self) -> None:
        """Loopback names are localhost, everything below it, 127.0.0.0/8 and ::1."""
        for text in ("localhost", "a.b.LOCALHOST.", "127.0.0.1", "127.255.255.255", "[::1]", "[::ffff:127.0.0.1]"):
            self.assertTrue(isLoopback(parseAuthority(text).name), text)
        for text in ("localhost.example", "notlocalhost", "128.0.0.1", "0.0.0.0", "[::]", "[::2]", "[::ffff:1.2.3.4]"):
            self.assertFalse(isLoopback(parseAuthority(text).name), text)


class ListTests(SynchronousTestCase):
    """`HostList`."""

    def test_loopback(self) -> None:
        """Loopback names are always on the list, with any port."""
        for hosts in (HostList(), HostList(["example.com"])):
            for value in (b"localhost", b"a.localhost:8000", b"127.9.9.9:1", b"[::1]:8000"):
                self.assertIsNotNone(hosts.find(value), value)
            self.assertIsNone(hosts.find(b"evil.example:8000"))

    def test_ports(self) -> None:
        """A host that is listed with a port is accepted with this one only; the default ports need not be named."""
        hosts = HostList(["Any.example.", "one.example:8000", "web.example:443", "[2001:db8::1]"])
        for value in (b"any.example", b"any.example:1", b"ONE.example:8000", b"web.example", b"web.example:443"):
            self.assertIsNotNone(hosts.find(value), value)
        self.assertEqual(hosts.find(b"[2001:DB8:0::1]:8000"), Authority("[2001:db8::1]", 8000))
        for value in (b"one.example", b"one.example:8001", b"web.example:80", b"x.any.example", b"any.example.com"):
            self.assertIsNone(hosts.find(value), value)

    def test_any(self) -> None:
        """`*` is every host, but nothing that is none."""
        hosts = HostList(["*"])
        self.assertEqual(hosts.find(b"evil.example"), Authority("evil.example", None))
        with self.assertRaises(ValueError):
            hosts.find(b"a b")

    def test_bound(self) -> None:
        """Hosts that strangers send are remembered within a limit."""
        self.assertLess(HostList().find.cache_info().maxsize or 1 << 60, 1000)
