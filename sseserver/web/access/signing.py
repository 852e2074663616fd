"""
Signatures of links and sessions: HMAC-SHA256 with a key that only the server has.

A file can have several keys, one a line: the first signs, all are accepted. So a key is replaced without an end of the
links that the old one has signed.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

#: Bytes. Shortest key: as many as the signature has.
MIN_KEY = 32

#: Bytes. Longest key.
MAX_KEY = 1024


def readSigningKeys(text: str) -> tuple[bytes, ...]:
    """
    Read keys, one a line.

    Raises:
        ValueError: There is none, or one is too short or too long. The message does not contain it.
    """
    keys = tuple(line.strip().encode("utf-8") for line in text.split("\n") if line.strip())
    if not keys or not all(MIN_KEY <= len(key) <= MAX_KEY for key in keys):
        raise ValueError(
            f"there must be a random key of {MIN_KEY} to {MAX_KEY} characters in each line; "
            "python -m sseserver.links --make-key makes one"
        )
    return keys


class Signer:
    """
    Signs texts of one purpose, and checks signatures.

    Args:
        keys: The first one signs, all are accepted.
        purpose: Signatures for one purpose are worth nothing for another one.
    """

    def __init__(self, keys: Sequence[bytes], purpose: bytes) -> None:
        self._keys = tuple(hmac.digest(key, b"sseserver " + purpose, "sha256") for key in keys)
        self._digests = tuple(sha256(key).digest() for key in self._keys)

    def sign(self, text: bytes) -> str:
        """Return the signature of a text: 43 characters that need no quoting in a URL."""
        return _encode(hmac.digest(self._keys[0], text, "sha256"))

    def knows(self, digest: bytes) -> bool:
        """Tell whether a digest is that of one of the keys."""
        return digest in self._digests

    def findKey(self, text: bytes, signature: str) -> bytes | None:
        """
        Find the key that has signed a text, in a time that does not depend on the signature.

        Args:
            text: The text.
            signature: From a client.

        Returns:
            The digest of the key; `None` if the signature is not that of the text.
        """
        given = signature.encode("utf-8", "replace")
        # All keys are tried: the time does not show which one it was.
        matches = [hmac.compare_digest(_encode(hmac.digest(key, text, "sha256")).encode(), given) for key in self._keys]
        return next((digest for digest, isMatch in zip(self._digests, matches, strict=True) if isMatch), None)


def _encode(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
