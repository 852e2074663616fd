"""
Signed links: URLs that carry rights, for clients that cannot send a header, such as `EventSource`.

The query of a link is `rights=read&streams=chat-7&expires=1790000000&sig=…`. Whoever has the link has the rights until
its expiry, and nobody can change it.

`Credentials` asks it about links, and `python -m sseserver.links` makes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

from sseserver.errors import Unauthorized
from sseserver.interfaces import Grant, Principal
from sseserver.web.access.grants import readGrant, writeRights
from sseserver.web.access.signing import Signer

#: Seconds. Lifetime of a link whose maker asks for no other.
LIFETIME = 3600

#: Seconds. Longest lifetime of a link: a link cannot be taken back.
MAX_LIFETIME = 30 * 86_400

#: The members of the query of a link.
_MEMBERS = (b"rights", b"streams", b"expires", b"sig")

_SECONDS = re.compile(r"[0-9]{1,12}")


class Links:
    """
    Makes links, and reads them.

    Args:
        keys: See `Signer`.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._signer = Signer(keys, b"link")

    def knows(self, digest: bytes) -> bool:
        """See `Signer.knows`."""
        return self._signer.knows(digest)

    def make(self, grant: Grant, expires: int) -> str:
        """
        Make the query of a link.

        Args:
            grant: The rights of whoever has it.
            expires: Seconds since 1970.
        """
        rights = writeRights(grant)
        signature = self._signer.sign(_join(rights, grant.pattern, str(expires)))
        return f"rights={rights}&streams={grant.pattern}&expires={expires}&sig={signature}"

    def read(self, arguments: Mapping[bytes, Sequence[bytes]]) -> Principal:
        """
        Return the principal of a link.

        Args:
            arguments: The decoded query of the request, with other members or without.

        Raises:
            Unauthorized: It is not a link that was made here.
        """
        values = [arguments.get(name, ()) for name in _MEMBERS]
        if any(len(each) != 1 for each in values):
            raise _makeRefusal()
        rights, pattern, expires, signature = (each[0].decode("utf-8", "replace") for each in values)
        key = self._signer.findKey(_join(rights, pattern, expires), signature)
        if key is None or not _SECONDS.fullmatch(expires):
            raise _makeRefusal()
        # Each link is a principal of its own: whoever has it shares its limits. Logs show its name, not the signature.
        name = f"link:{sha256(signature.encode('ascii')).hexdigest()[:22]}"
        return Principal(name, (readGrant(f"{rights}:{pattern}"),), float(expires), key)


def _join(rights: str, pattern: str, expires: str) -> bytes:
    """Return the text that is signed. No part of it can have a line end."""
    return f"{rights}\n{pattern}\n{expires}".encode("utf-8", "replace")


def _makeRefusal() -> Unauthorized:
    return Unauthorized("The signature of this link is not valid. Ask for a new link.", 'Bearer error="invalid_token"')
