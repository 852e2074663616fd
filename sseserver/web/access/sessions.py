"""
Sessions: a cookie in place of a credential, for browsers.

A session is kept nowhere: the cookie has the principal, and a signature. One of an API key is valid as long as the key
file has that key, with the rights that the file gives it then.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from sseserver.errors import Unauthorized
from sseserver.interfaces import Principal
from sseserver.web.access.apikeys import ApiKeys
from sseserver.web.access.grants import readGrants, writeGrant
from sseserver.web.access.signing import Signer

#: Name of the cookie.
COOKIE = "sseserver_session"

#: Seconds. Longest life of a session.
LIFETIME = 12 * 3600

#: Characters. Longest cookie; browsers keep at most 4096.
_MAX_COOKIE = 3500

_VALUE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})")


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    """Content of a cookie: a principal, and the fingerprint of its API key."""

    name: str
    grants: list[str]
    expires: float
    key: str | None = None


class Sessions:
    """
    Makes cookies, and reads them.

    Args:
        keys: See `Signer`.
        apiKeys: The API keys.
    """

    def __init__(self, keys: Sequence[bytes], apiKeys: ApiKeys) -> None:
        self._signer = Signer(keys, b"session")
        self._apiKeys = apiKeys

    def knows(self, digest: bytes) -> bool:
        """See `Signer.knows`. A session of an API key ends with that key."""
        return self._signer.knows(digest)

    def make(self, principal: Principal, now: float) -> tuple[str, int]:
        """
        Make the cookie of a principal.

        Args:
            principal: The client.
            now: Seconds since 1970.

        Returns:
            The value of the cookie, and its life in seconds.

        Raises:
            Unauthorized: The rights of the principal do not fit into a cookie.
        """
        expires = min(now + LIFETIME, now + LIFETIME if principal.expires is None else principal.expires)
        key = self._apiKeys.fingerprint(principal.name)
        grants = [] if key is not None else list(map(writeGrant, principal.grants))
        content = msgspec.json.encode(_Content(principal.name, grants, expires, key))
        text = urlsafe_b64encode(content).rstrip(b"=")
        if len(text) > _MAX_COOKIE:
            raise Unauthorized("This credential has too many grants for a cookie.")
        return f"{text.decode('ascii')}.{self._signer.sign(text)}", int(expires - now)

    def read(self, value: str) -> Principal:
        """
        Return the principal of a cookie.

        Args:
            value: Value of the cookie.

        Raises:
            Unauthorized: It is not a cookie that was made here, or its API key is gone.
        """
        match = _VALUE.fullmatch(value)
        key = None if match is None else self._signer.findKey(match[1].encode("ascii"), match[2])
        if match is None or key is None:
            raise _makeRefusal()
        text = match[1]
        content = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Content)
        if content.key is None:
            return Principal(content.name, readGrants(content.grants), content.expires, key)
        principal = self._apiKeys.recall(content.name, content.key)
        if principal is None:
            raise _makeRefusal()
        expires = min(content.expires, content.expires if principal.expires is None else principal.expires)
        return replace(principal, expires=expires)


def _makeRefusal() -> Unauthorized:
    return Unauthorized("The session is not valid. Start a new one with POST /session.", 'Bearer error="invalid_token"')
