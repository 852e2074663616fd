"""
Tests of `sseserver.speedups.clienthello`: the first records of OpenSSL, whole and damaged.
"""

from __future__ import annotations

import random

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from sseserver.speedups.clienthello import isCut, isPlainHTTP, listProtocols


def makeHello(version: int, *protocols: bytes) -> bytes:
    """Make the first record of a client that offers protocols."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(version)
    if protocols:
        context.set_alpn_protos(list(protocols))
    client = SSL.Connection(context, None)
    client.set_tlsext_host_name(b"localhost")
    client.set_connect_state()
    try:
        client.do_handshake()
    except SSL.WantReadError:
        return client.bio_read(65536)
    raise AssertionError("A handshake without an answer.")


class FirstRecordTests(SynchronousTestCase):
    """The first record of a connection."""

    def test_listProtocols(self) -> None:
        """The protocols are found in their order, whatever the version."""
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            for protocols in ((), (b"h2",), (b"h2", b"http/1.1"), (b"x" * 255, b"y")):
                self.assertEqual(listProtocols(makeHello(version, *protocols)), list(protocols))

    def test_cut(self) -> None:
        """A record is complete with its last byte; bytes that are no handshake are for OpenSSL to refuse."""
        hello = makeHello(SSL.TLS1_3_VERSION, b"h2")
        for size in range(1, len(hello)):
            self.assertTrue(isCut(hello[:size]))
        for complete in (hello, hello + b"more", b"\x15\x03", b"\x80", b"\x16\x03\x01\xff\xff"):
            self.assertFalse(isCut(complete), complete[:9])

    def test_damaged(self) -> None:
        """A record that is damaged anywhere is read to some end, and never fails."""
        hello = makeHello(SSL.TLS1_3_VERSION, b"h2", b"http/1.1")
        chance = random.Random(7301)
        for place in range(len(hello)):
            for value in (0, 255, chance.randrange(256)):
                damaged = hello[:place] + bytes([value]) + hello[place + 1 :]
                self.assertIsInstance(listProtocols(damaged), list)
                self.assertIsInstance(listProtocols(damaged[:place]), list)

    def test_isPlainHTTP(self) -> None:
        """HTTP begins with a letter, and TLS does not."""
        self.assertEqual([isPlainHTTP(each) for each in (b"GET /", b"\x16\x03", b"")], [True, False, False])
