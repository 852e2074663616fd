"""
The context of fast TLS: key, certificate and limits of Twisted's own context, for Python's `ssl`.

Python loads a key from files only. A file in memory serves, so that the key is never on a disk, and the key that
Twisted has read is the one that serves.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL

from sseserver.speedups.tls import TLSServer
from sseserver.speedups.writequeue import seesQueue

#: Versions that Twisted excludes, and those that it does not.
_EXCLUDED = SSL.OP_NO_SSLv3 | SSL.OP_NO_TLSv1 | SSL.OP_NO_TLSv1_1
_INCLUDED = SSL.OP_NO_TLSv1_2 | SSL.OP_NO_TLSv1_3

#: Number of tickets that a client gets to resume its session. Most have one connection.
_TICKETS = 1


def hasFastTLS() -> bool:
    """Return whether this system can have fast TLS: Linux."""
    return hasattr(os, "memfd_create") and seesQueue()


def makeTLSServer(options: Any, protocol: str, refusal: bytes) -> TLSServer | None:
    """
    Make the server's side of fast TLS.

    Args:
        options: Twisted's `CertificateOptions`.
        protocol: Name of the application protocol.
        refusal: Answer to plain HTTP.

    Returns:
        It; `None` if the system has no fast TLS, or if the options need Twisted's: another method, Diffie-Hellman
        parameters, certificates of clients, or a key that Python does not take.

    Raises:
        OpenSSL.SSL.Error: Key and certificate do not belong together.
    """
    known = options.getContext()
    if not hasFastTLS() or not _isUsual(options, known):
        return None
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.num_tickets = _TICKETS
        context.set_ciphers(":".join(SSL.Connection(known, None).get_cipher_list()))
        context.set_alpn_protocols([protocol])
        with _keepInMemory(_encode(options)) as path:
            context.load_cert_chain(path)
    except (OSError, ValueError):
        return None
    return TLSServer(context, protocol.encode(), refusal)


def _isUsual(options: Any, context: SSL.Context) -> bool:
    """Return whether options ask for nothing but a certificate, and for Twisted's usual versions of TLS."""
    versions = context.set_options(0) & (_EXCLUDED | _INCLUDED)
    isUsual = options.method == SSL.TLS_METHOD and versions == _EXCLUDED
    return isUsual and not options.verify and options.dhParameters is None


def _encode(options: Any) -> bytes:
    """Return key, certificate and chain of options, in PEM."""
    key = options.privateKey.to_cryptography_key()
    certificates = [each.to_cryptography() for each in (options.certificate, *options.extraCertChain)]
    return b"".join(
        (
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            *(each.public_bytes(Encoding.PEM) for each in certificates),
        )
    )


@contextmanager
def _keepInMemory(content: bytes) -> Iterator[str]:
    """Keep a file in memory, and yield its path. No other process sees it."""
    descriptor = os.memfd_create("sseserver")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
