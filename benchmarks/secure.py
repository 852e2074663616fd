"""
TLS: a certificate for the servers under measurement, and the context of their viewers.
"""

import ssl
import subprocess
from pathlib import Path


def makePair(folder: Path) -> Path:
    """Make key.pem, on P-256 as most sites have, and a self-signed certificate.pem in a folder; return the folder."""
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(["openssl", "req", "-x509", *options, *files], check=True, capture_output=True)
    return folder


def clientContext() -> ssl.SSLContext:
    """Return a viewer's context; it accepts any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
