"""
API keys: random secrets, of which a file has the hashes.

A line of the file is `NAME sha256:HASH GRANT …`, with `expires=2027-01-31T00:00:00Z` at its end for a key that expires.

SHA-256 without salt and stretching is right for these keys: they are 256 random bits, so there is no dictionary to try
and nothing to slow down. A slow hash would cost each request milliseconds and protect only secrets that people have
chosen.

`Credentials` has the keys, and `python -m sseserver.keys` makes them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from sseserver.interfaces import Principal
from sseserver.web.access.grants import readGrants

#: Begins each key, so that programs which search for lost secrets recognize it.
PREFIX = "sse_"

#: Bytes of randomness of a key.
_RANDOM = 32

_NAME = re.compile(r"[A-Za-z0-9._~@-]{1,64}")
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_EXPIRY = "expires="


class KeyLine(NamedTuple):
    """
    A line of a key file.

    Attributes:
        digest: SHA-256 of the key.
        principal: The client that has the key.
    """

    digest: bytes
    principal: Principal


def makeKey() -> str:
    """Make a key."""
    return PREFIX + secrets.token_urlsafe(_RANDOM)


def writeLine(name: str, key: str, grants: Iterable[str], expires: str | None = None) -> str:
    """
    Return the line of a key.

    Args:
        name: Name of the client.
        key: The key, whose hash is written.
        grants: See `readGrant`.
        expires: A time in the notation of ISO 8601, with a zone; `None` for a key without an end.

    Raises:
        ValueError: Something cannot be in such a line.
    """
    fields = [name, f"sha256:{sha256(key.encode('ascii')).hexdigest()}", *grants]
    if expires is not None:
        fields.append(f"{_EXPIRY}{expires}")
    line = " ".join(fields)
    _readLine(line)
    return line


def readKeyFile(text: str) -> tuple[KeyLine, ...]:
    """
    Read the text of a key file. Empty lines and lines that begin with `#` are ignored.

    Raises:
        ValueError: A line is wrong. The message has its number, and nothing of its text.
    """
    found: dict[str, KeyLine] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            read = _readLine(line)
            if read.principal.name in found:
                raise ValueError("another line has this name")
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        found[read.principal.name] = read
    return tuple(found.values())


def _readLine(line: str) -> KeyLine:
    """
    Read one line.

    Raises:
        ValueError: It is wrong.
    """
    name, _, rest = line.strip().partition(" ")
    digest, *grants = rest.split() or [""]
    match = _HASH.fullmatch(digest)
    if not _NAME.fullmatch(name):
        raise ValueError("a name has 1 to 64 of the characters A-Z a-z 0-9 . _ ~ @ -")
    if match is None:
        raise ValueError("it is not NAME sha256:HASH GRANT …; python -m sseserver.keys makes such lines")
    expires = readTime(grants.pop().removeprefix(_EXPIRY)) if grants and grants[-1].startswith(_EXPIRY) else None
    # The prefix keeps the names of keys apart from those that a token claims.
    hashed = bytes.fromhex(match[1])
    return KeyLine(hashed, Principal(f"key:{name}", readGrants(grants), expires, hashed))


def readTime(text: str) -> float:
    """
    Convert a time in the notation of ISO 8601, with a zone, to seconds since 1970.

    Raises:
        ValueError: It is none.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = datetime.min  # noqa: DTZ901  (it stands for an error)
    if time.tzinfo is None:
        raise ValueError("a time is written with its zone, such as 2027-01-31T00:00:00Z")
    return time.timestamp()


class ApiKeys:
    """
    The keys of a file.

    Args:
        lines: From `readKeyFile`.
    """

    def __init__(self, lines: Iterable[KeyLine]) -> None:
        # The time of a lookup tells nothing: it depends on the hash of a guess, which nobody can choose.
        self._principals = {line.digest: line.principal for line in lines}
        self._digests = {line.principal.name: line.digest for line in lines}

    def find(self, key: str) -> Principal | None:
        """Return the principal of a key, or `None`."""
        return self.findDigest(sha256(key.encode("ascii")).digest())

    def findDigest(self, digest: bytes) -> Principal | None:
        """Return the principal of the key of a digest, or `None`."""
        return self._principals.get(digest)

    def fingerprint(self, name: str) -> str | None:
        """Return a short text that changes with the key of a principal; `None` if it has none."""
        digest = self._digests.get(name)
        return None if digest is None else sha256(digest).hexdigest()[:16]

    def recall(self, name: str, fingerprint: object) -> Principal | None:
        """
        Return the principal of a name with its present rights.

        Args:
            name: The name.
            fingerprint: What `fingerprint` has returned for it; anything else is never one.

        Returns:
            The principal; `None` if it no longer has that key.
        """
        if fingerprint is None or fingerprint != self.fingerprint(name):
            return None
        return self._principals[self._digests[name]]
