"""
TLS: a certificate for the servers under measurement, and the viewer's side of a connection.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

_READ_SIZE = 65536


class Pair(NamedTuple):
    """Certificate and key of a server: two PEM files."""

    certificate: Path
    key: Path


def makePair(folder: Path) -> Pair:
    """Make a P-256 key, as most sites have, and a self-signed certificate that is valid for a day."""
    pair = Pair(folder / "certificate.pem", folder / "key.pem")
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-keyout", str(pair.key), "-out", str(pair.certificate)]
    subprocess.run(["openssl", "req", "-x509", *options, *files], check=True, capture_output=True)
    return pair


def clientContext() -> ssl.SSLContext:
    """Return a viewer's context; it accepts any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Wire:
    """The viewer's end of one TLS connection, apart from its socket: bytes can be decrypted after the window."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)

    def shake(self, connection: socket.socket) -> None:
        """Do the handshake over a blocking socket."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                connection.sendall(self._outgoing.read())
                self._incoming.write(connection.recv(_READ_SIZE))
            else:
                connection.sendall(self._outgoing.read())
                return

    def encrypt(self, data: bytes) -> bytes:
        """Return the bytes to send."""
        self._tls.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> bytes:
        """Return the plain bytes of received ones."""
        self._incoming.write(data)
        parts = []
        try:
            while part := self._tls.read(_READ_SIZE):
                parts.append(part)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return b"".join(parts)
