"""
TLS, as the actors speak it: over a connection of the network, without a socket of the system.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.simulation.network import SimSocket

#: Name of the file with the key and the certificate of a server.
CERTIFICATE = "server.pem"

#: Bytes of encrypted data that may wait for the network.
_MOST = 64 * 1024


@cache
def makeCertificate(number: int) -> bytes:
    """
    Make a key and a certificate, in PEM. Their lengths, and those of signatures, are always the same.

    Args:
        number: Of the certificate.
    """
    # A key of RSA takes 50 ms to load, which is as much as all else that a seed does.
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(100 + number)
    builder = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
    certificate = builder.not_valid_after(datetime(2040, 1, 1, tzinfo=UTC)).sign(key, None)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, form, serialization.NoEncryption()) + certificate.public_bytes(pem)


def writeCertificate(folder: Path, number: int = 0) -> Path:
    """Write a key and a certificate into a folder, and return the path of the file."""
    path = folder / CERTIFICATE
    path.write_bytes(makeCertificate(number))
    return path


@cache
def _makeContext() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


class SecureSocket:
    """
    The client's end of a connection with TLS; what an `Exchange` needs of `SimSocket`.

    Args:
        sock: The connection.

    Attributes:
        watch: See `SimSocket`.
    """

    def __init__(self, sock: SimSocket) -> None:
        self.watch: Callable[[], object] | None = None
        self._sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = _makeContext().wrap_bio(self._in, self._out, server_hostname="localhost")
        self._hasShaken = self._isOver = False
        self._plain = self._waiting = b""
        sock.watch = self._work
        self._pump()

    @property
    def protocol(self) -> str | None:
        """Protocol that the server has chosen (ALPN)."""
        return self._tls.selected_alpn_protocol()

    @property
    def writable(self) -> bool:
        """See `SimSocket.writable`."""
        return self._sock.broken or (self._hasShaken and len(self._waiting) < _MOST)

    @property
    def readable(self) -> bool:
        """See `SimSocket.readable`."""
        # A reader that pauses leaves what it does not read to the network.
        self._pump()
        return bool(self._plain) or self._isOver or self._sock.broken

    def send(self, data: bytes) -> int:
        """See `SimSocket.send`."""
        self._check()
        taken = self._tls.write(data[:16384])
        self._pump()
        return taken

    def recv(self, size: int) -> bytes:
        """See `SimSocket.recv`."""
        data, self._plain = self._plain[:size], self._plain[size:]
        if not (data or self._isOver):
            self._check()
        return data

    def close(self) -> None:
        """See `SimSocket.close`."""
        self._sock.close()

    def reset(self) -> None:
        """See `SimSocket.reset`."""
        self._sock.reset()

    def cut(self) -> None:
        """See `SimSocket.cut`."""
        self._sock.cut()

    def stall(self, stalled: bool) -> None:
        """See `SimSocket.stall`."""
        self._sock.stall(stalled)

    def shutdown(self, how: int) -> None:
        """See `SimSocket.shutdown`."""
        self._sock.shutdown(how)

    def _check(self) -> None:
        if self._sock.broken:
            raise ConnectionResetError("The connection is lost.")

    def _work(self) -> None:
        if not self._hasShaken:
            self._pump()
        if self.watch is not None:
            self.watch()

    def _pump(self) -> None:
        """Move bytes in both directions, as far as that is possible."""
        if self._sock.closed or self._sock.broken:
            return
        try:
            if self._sock.readable and len(self._plain) < _MOST:
                data = self._sock.recv(16384)
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
            self._read()
            self._waiting += self._out.read()
            while self._waiting and self._sock.writable:
                self._waiting = self._waiting[self._sock.send(self._waiting) :]
        except ssl.SSLError:
            self._isOver = True
            self._waiting += self._out.read()
        except OSError:
            self._isOver = True

    def _read(self) -> None:
        """Take the handshake a step further, or decrypt what has come."""
        try:
            if not self._hasShaken:
                self._tls.do_handshake()
                self._hasShaken = True
            while True:
                data = self._tls.read(16384)
                if not data:
                    self._isOver = True
                    return
                self._plain += data
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            self._isOver = True
