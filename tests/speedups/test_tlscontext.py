"""
Tests of `sseserver.speedups.tlscontext`: a context for Python's `ssl` that serves as Twisted's does, or none.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.ssl import CertificateOptions, DiffieHellmanParameters, trustRootFromCertificates
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SynchronousTestCase

from sseserver.speedups import tlscontext
from sseserver.speedups.tlscontext import hasFastTLS, makeTLSServer
from tests.certificates import makeCertificate


class MakeTLSServerTests(SynchronousTestCase):
    """The server's side of fast TLS."""

    def setUp(self) -> None:
        if not hasFastTLS():
            self.skipTest("There are no files in memory.")
        self.made = makeCertificate()
        self.pair = {"privateKey": self.made.privateKey, "certificate": self.made.certificate}

    def make(self, **keywords: Any) -> Any:
        """Make the server of some options."""
        return makeTLSServer(CertificateOptions(**self.pair, **keywords), "http/1.1", b"")

    def test_context(self) -> None:
        """Versions and ciphers are those of Twisted, and there is no renegotiation and no compression."""
        context = self.make().accept().context
        self.assertEqual(context.minimum_version, ssl.TLSVersion.TLSv1_2)
        for option in (ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_COMPRESSION, ssl.OP_CIPHER_SERVER_PREFERENCE):
            self.assertTrue(context.options & option)
        known = set(SSL.Connection(self.made.getContext(), None).get_cipher_list())
        ciphers = {each["name"] for each in context.get_ciphers()}
        self.assertTrue(ciphers)
        self.assertEqual(ciphers - known, set())

    def test_chain(self) -> None:
        """The other certificates of a chain are sent, too."""
        other = makeCertificate().certificate
        server = self.make(extraCertChain=[other])
        client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        client.set_connect_state()
        side = server.accept()
        for _ in range(2):
            try:
                client.do_handshake()
            except SSL.WantReadError:
                server.incoming.write(client.bio_read(65536))
                self.assertRaises(ssl.SSLWantReadError, side.do_handshake)
                client.bio_write(server.outgoing.read())
        chain = client.get_peer_cert_chain()
        assert chain is not None
        serials = [each.get_serial_number() for each in chain]
        self.assertEqual(serials, [each.get_serial_number() for each in (self.made.certificate, other)])

    def test_unusual(self) -> None:
        """Options that ask for more than a certificate need Twisted's TLS."""
        path = Path(self.mktemp())
        path.write_bytes(b"")
        self.assertIsNotNone(self.make())
        unusual: list[dict[str, Any]] = [
            {"method": SSL.TLSv1_2_METHOD},
            {"method": SSL.TLS_METHOD},
            {"trustRoot": trustRootFromCertificates([])},
        ]
        for keywords in unusual:
            self.assertIsNone(self.make(**keywords), keywords)
        # Twisted deprecates methods, and pyOpenSSL its own certificates.
        self.flushWarnings()
        options = CertificateOptions(**self.pair)
        options.getContext()
        options.dhParameters = DiffieHellmanParameters(FilePath(str(path)))
        self.assertIsNone(makeTLSServer(options, "http/1.1", b""))

    def test_refusedKey(self) -> None:
        """A key that Python does not load needs Twisted's TLS as well."""

        def refuse(self: object, path: str) -> None:
            raise ssl.SSLError("Too small.")

        self.patch(ssl.SSLContext, "load_cert_chain", refuse)
        before = len(list(Path("/proc/self/fd").iterdir()))
        self.assertIsNone(self.make())
        self.assertEqual(len(list(Path("/proc/self/fd").iterdir())), before)

    def test_failedProbe(self) -> None:
        """Without the probe of the write queue there is no fast TLS."""
        self.patch(tlscontext, "seesQueue", lambda: False)
        self.assertIsNone(self.make())
        self.assertFalse(hasFastTLS())
