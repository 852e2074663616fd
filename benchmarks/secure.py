"""
TLS for the benchmarks: a certificate for the servers under measurement, and the viewers' side of a connection.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_READ_SIZE = 65536


@dataclass(frozen=True, slots=True)
class Pair:
    """
    What a server needs for TLS.

    Args:
        certificate: A file in PEM.
        key: The same.
    """

    certificate: Path
    key: Path


def makePair(folder: Path) -> Pair:
    """
    Make a key (P-256, as most sites have) and a certificate of its own, for the hours of a run.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pair, pem = Pair(folder / "certificate.pem", folder / "key.pem"), serialization.Encoding.PEM
    pair.certificate.write_bytes(certificate.public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8
    pair.key.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return pair


def clientContext() -> ssl.SSLContext:
    """
    A viewer's context, which takes any certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Wire:
    """
    The viewer's end of one connection, apart from its socket: so what has come can be deciphered when nothing is
    measured any more.

    Args:
        context: See `clientContext`.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)

    def shake(self, connection: socket.socket) -> None:
        """
        Agree with the server, over a socket that blocks.

        Raises:
            OSError: It will not.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                connection.sendall(self._outgoing.read())
                self._incoming.write(connection.recv(_READ_SIZE))
            else:
                connection.sendall(self._outgoing.read())
                return

    def encipher(self, data: bytes) -> bytes:
        """
        What is to be sent for `data`.
        """
        self._tls.write(data)
        return self._outgoing.read()

    def decipher(self, data: bytes) -> bytes:
        """
        What the server says with the bytes that came.
        """
        self._incoming.write(data)
        parts = []
        try:
            while part := self._tls.read(_READ_SIZE):
                parts.append(part)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return b"".join(parts)
