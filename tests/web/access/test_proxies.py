"""
Tests of `sseserver.web.access.proxies`: which addresses proxies may name.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from sseserver.service.clients import findAddress
from sseserver.web.access.proxies import TrustedProxies, readScheme


def address(host: str) -> Any:
    """Make the address of a peer."""
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, 80)


class TrustTests(SynchronousTestCase):
    """Trusted proxies."""

    def test_trusts(self) -> None:
        """Addresses and networks are trusted, IPv4 in IPv6 too; nothing else is."""
        proxies = TrustedProxies(["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"])
        for host in ("127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3", "fd12::1"):
            self.assertTrue(proxies.trusts(address(host)), host)
        for host in ("127.0.0.2", "11.0.0.1", "fe80::1%eth0", "::1"):
            self.assertFalse(proxies.trusts(address(host)), host)
        for other in (UNIXAddress("/run/a"), None, object()):
            self.assertFalse(proxies.trusts(other))

    def test_unix(self) -> None:
        """`unix` stands for Unix sockets."""
        proxies = TrustedProxies(["unix"])
        self.assertTrue(proxies.trusts(UNIXAddress("/run/a")))
        self.assertFalse(proxies.trusts(address("127.0.0.1")))
        self.assertTrue(proxies)

    def test_none(self) -> None:
        """Without networks nobody is trusted."""
        self.assertFalse(TrustedProxies())
        self.assertFalse(TrustedProxies().trusts(address("127.0.0.1")))

    def test_malformed(self) -> None:
        """Anything but a network is refused."""
        self.assertRaises(ValueError, TrustedProxies, ["localhost"])


class ForwardedTests(SynchronousTestCase):
    """`X-Forwarded-For`."""

    proxies = TrustedProxies(["127.0.0.1/32", "10.0.0.0/8", "unix"])

    def find(self, *values: bytes, peer: Any = None) -> str:
        """Return the host of the client."""
        host: str = self.proxies.findClient(peer or address("127.0.0.1"), values).host
        return host

    def test_last(self) -> None:
        """The client is the last address that is not that of a trusted proxy."""
        for values in (
            (b"8.8.8.8",),
            (b"1.2.3.4, 8.8.8.8",),
            (b"127.0.0.1, 1.2.3.4,8.8.8.8 , 10.0.0.1,10.0.0.2",),
            (b"1.2.3.4", b"8.8.8.8"),
            (b"8.8.8.8", b"10.0.0.1"),
            (b"garbage, 8.8.8.8",),
        ):
            self.assertEqual(self.find(*values), "8.8.8.8", values)

    def test_untrusted(self) -> None:
        """The header of anybody else is ignored."""
        self.assertEqual(self.find(b"1.2.3.4", peer=address("8.8.8.8")), "8.8.8.8")

    def test_malformed(self) -> None:
        """An entry that is no address is not the client, and nothing before it counts."""
        for entry in (b"unknown", b"", b"1.2.3", b"1.2.3.4.5", b"999.1.1.1", b"[::1", b"a b", b"_hidden", b"::::"):
            self.assertEqual(self.find(b"1.2.3.4, " + entry), "127.0.0.1", entry)
            self.assertEqual(self.find(b"1.2.3.4, " + entry + b", 10.0.0.1"), "10.0.0.1", entry)
        self.assertEqual(self.find(), "127.0.0.1")

    def test_forms(self) -> None:
        """Ports and brackets are allowed; IPv6 has one form."""
        for entry, host in (
            (b"8.8.8.8:1234", "8.8.8.8"),
            (b"[2001:DB8::0:1]:80", "2001:db8::1"),
            (b"2001:db8:0::1", "2001:db8::1"),
        ):
            self.assertEqual(self.find(entry), host)

    def test_unix(self) -> None:
        """A proxy may use a Unix socket."""
        self.assertEqual(self.find(b"8.8.8.8", peer=UNIXAddress(None)), "8.8.8.8")

    def test_limited(self) -> None:
        """No more entries are read than there can be proxies."""
        self.assertEqual(self.find(b"8.8.8.8" + b", 10.0.0.1" * 1000), "10.0.0.1")

    def test_loopback(self) -> None:
        """An address of loopback that a proxy names is a client, other than one that connects."""
        named = self.proxies.findClient(address("127.0.0.1"), (b"127.0.0.2",))
        self.assertIsNotNone(findAddress(named))
        self.assertIsNone(findAddress(address("127.0.0.2")))


class SchemeTests(SynchronousTestCase):
    """`X-Forwarded-Proto`."""

    def test_schemes(self) -> None:
        """The value of the nearest proxy counts."""
        for values, secure in (
            ((b"https",), True),
            ((b"http",), False),
            ((b"https, HTTP",), False),
            ((b"http", b"https"), True),
            ((b"wss",), None),
            ((), None),
        ):
            self.assertIs(readScheme(values), secure, values)
