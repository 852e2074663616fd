"""
Tests of `sseserver.web.proxyheader`: the PROXY protocol.
"""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.trial.unittest import SynchronousTestCase

from sseserver.web.proxyheader import MAX_HEADER, readProxyHeader

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def binary(command: int, kind: int, body: bytes) -> bytes:
    """Make a header of version 2."""
    return SIGNATURE + bytes([command, kind]) + len(body).to_bytes(2, "big") + body


IPV4 = bytes([8, 8, 8, 8, 10, 0, 0, 1]) + (1234).to_bytes(2, "big") + (80).to_bytes(2, "big")
IPV6 = bytes.fromhex("20010db8000000000000000000000001") * 2 + IPV4[-4:]

#: Headers, and the host and port of the client that they name.
VALID = (
    (b"PROXY TCP4 8.8.8.8 10.0.0.1 1234 80\r\n", ("8.8.8.8", 1234)),
    (b"PROXY TCP6 2001:db8::1 ::1 1234 80\r\n", ("2001:db8::1", 1234)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    (binary(0x21, 0x11, IPV4), ("8.8.8.8", 1234)),
    (binary(0x21, 0x11, IPV4 + b"\x03\x00\x04abcd"), ("8.8.8.8", 1234)),
    (binary(0x21, 0x21, IPV6), ("2001:db8::1", 1234)),
    (binary(0x21, 0x31, b"/run/a".ljust(216, b"\0")), None),
    (binary(0x21, 0x00, b""), None),
    (binary(0x20, 0x00, b""), None),
    (binary(0x20, 0x11, IPV4), None),
)

INVALID = (
    b"GET / HTTP/1.1\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP4 8.8.8.8 10.0.0.1 1234\r\n",
    b"PROXY TCP4 8.8.8.8 10.0.0.1 1234 80 1\r\n",
    b"PROXY TCP4 8.8.8.8 10.0.0.1 1234 99999\r\n",
    b"PROXY TCP4 8.8.8.8 10.0.0.1 -1 80\r\n",
    b"PROXY TCP4 8.8.8.8 10.0.0.1 1 " + b"9" * 50 + b"\r\n",
    b"PROXY TCP4 ::1 ::1 1234 80\r\n",
    b"PROXY TCP6 8.8.8.8 10.0.0.1 1234 80\r\n",
    b"PROXY TCP4 8.8.8 10.0.0.1 1234 80\r\n",
    b"PROXY UDP4 8.8.8.8 10.0.0.1 1234 80\r\n",
    b"PROXY  TCP4 8.8.8.8 10.0.0.1 1234 80\r\n",
    b"PROXY TCP4 8.8.8.8 10.0.0.1 1234 80\n" + b"x" * 100,
    b"PROXY UNKNOWN " + b"x" * 100,
    b"proxy UNKNOWN\r\n",
    SIGNATURE[:-1] + b"x",
    binary(0x11, 0x11, IPV4),
    binary(0x22, 0x11, IPV4),
    binary(0x21, 0x12, IPV4),
    binary(0x21, 0x11, IPV4[:-1]),
    binary(0x21, 0x21, IPV4),
    SIGNATURE + b"\x21\x11\xff\xff",
)


class HeaderTests(SynchronousTestCase):
    """The header at the beginning of a connection."""

    def test_valid(self) -> None:
        """Headers of both versions are read, in whatever pieces they come."""
        for data, expected in VALID:
            for end in range(len(data)):
                self.assertIsNone(readProxyHeader(data[:end]), data[:end])
            header = readProxyHeader(data + b"GET / HTTP/1.1\r\n")
            assert header is not None
            self.assertEqual(header.size, len(data))
            client = header.client
            self.assertEqual(None if client is None else (client.host, client.port), expected)
            self.assertIsInstance(client, (IPv4Address, IPv6Address, type(None)))

    def test_invalid(self) -> None:
        """Everything else is refused."""
        for data in INVALID:
            self.assertRaises(ValueError, readProxyHeader, data)

    @given(st.sampled_from([data for data, _ in VALID]), st.data())
    def test_mutated(self, data: bytes, draw: st.DataObject) -> None:
        """Whatever comes is a header, incomplete, or refused; and no more than a header is waited for."""
        changed = bytearray(data)
        for _ in range(draw.draw(st.integers(1, 3))):
            changed[draw.draw(st.integers(0, len(changed) - 1))] = draw.draw(st.integers(0, 255))
        with contextlib.suppress(ValueError):
            readProxyHeader(bytes(changed))
        with contextlib.suppress(ValueError):
            self.assertIsNotNone(readProxyHeader(bytes(changed) + b"x" * MAX_HEADER))
