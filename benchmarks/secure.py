"""
TLS: a certificate for the servers under measurement, and the context of their viewers.
"""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple


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
