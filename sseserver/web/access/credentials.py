"""
Credentials: the authenticator of `twistd sseserver`, which takes API keys, tokens, signed links and sessions.

`sseserver.command.access` makes it of the options; `rights` asks it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest
from zope.interface import implementer

from sseserver.errors import Unauthorized
from sseserver.interfaces import IAuthenticator, Principal
from sseserver.web.access.apikeys import PREFIX, ApiKeys
from sseserver.web.access.links import Links
from sseserver.web.access.sessions import COOKIE, Sessions
from sseserver.web.access.verdicts import Verdicts

#: The header `Authorization` with a bearer token (RFC 6750 section 2.1).
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")

#: Bytes. Longest such header.
_MAX_HEADER = 8192

#: The header in which Anthropic's clients send a credential.
_KEY = b"x-api-key"

_NONE = "This server needs a credential: send the header `Authorization: Bearer CREDENTIAL`, or use a signed link."


class Verifier(Protocol):
    """
    Verifies tokens; `TokenVerifier` is one.

    Attributes:
        fetchesKeys: Whether its keys may be missing for a time.
    """

    fetchesKeys: bool

    def knows(self, digest: bytes) -> bool:
        """Tell whether a digest is that of a key that verifies tokens."""

    def verify(self, token: str) -> Principal | Deferred[Principal]:
        """
        Return the principal of a token.

        Args:
            token: Anything that is not an API key.

        Raises:
            Unauthorized: (also as an errback) The token is not valid.
        """


@dataclass(frozen=True, slots=True)
class Secrets:
    """
    The keys that credentials are checked with; read again at a reload.

    Attributes:
        apiKeys: The API keys.
        tokens: Verifies tokens; `None` takes none.
        signingKeys: Keys of links and sessions; without any there are no links.
    """

    apiKeys: ApiKeys
    tokens: Verifier | None = None
    signingKeys: Sequence[bytes] = ()


@implementer(IAuthenticator)
class Credentials:
    """
    Finds principals by the header `Authorization` or `x-api-key`, by the signature in a URL, or by a session's cookie.

    The first of them that a request has decides. `x-api-key: CREDENTIAL` means `Authorization: Bearer CREDENTIAL`.

    Args:
        secrets: The keys.
        sessionKey: Signs sessions if there is no signing key: they end with the process.

    Attributes:
        links: Makes signed links; `None` without a key.
        onChange: Called when keys have changed.
        sessions: Makes the cookies of sessions.
        verdicts: The credentials that were verified before.
    """

    def __init__(self, secrets: Secrets, sessionKey: bytes) -> None:
        self._sessionKey = sessionKey
        self.verdicts = Verdicts()
        self.onChange: Callable[[], object] = lambda: None
        self.links: Links | None = None
        self.replace(secrets)

    def replace(self, secrets: Secrets) -> None:
        """Take other keys."""
        self._secrets = secrets
        self.links = Links(secrets.signingKeys) if secrets.signingKeys else None
        self.sessions = Sessions(secrets.signingKeys or [self._sessionKey], secrets.apiKeys)
        self.noteChange()

    def noteChange(self) -> None:
        """Note that keys have changed: all credentials are verified anew."""
        self.verdicts.clear()
        self.onChange()

    def renew(self, principal: Principal) -> Principal | None:
        """
        Find the present rights of a principal.

        Args:
            principal: The principal as it was found before. One of another authenticator is returned as it is.

        Returns:
            The principal, whose rights end no later than before; `None` if the key that vouches for it was taken back.
        """
        key, secrets = principal.key, self._secrets
        if key is None:
            return principal
        found = secrets.apiKeys.findDigest(key)
        if found is not None:
            ends = [end for end in (found.expires, principal.expires) if end is not None]
            return replace(found, expires=min(ends, default=None))
        keepers = (secrets.tokens, self.links, self.sessions)
        return principal if any(each is not None and each.knows(key) for each in keepers) else None

    @property
    def fetchesKeys(self) -> bool:
        """Whether keys that verify tokens may be missing for a time."""
        return self._secrets.tokens is not None and self._secrets.tokens.fetchesKeys

    @property
    def tokens(self) -> Verifier | None:
        """Verifies tokens, if they are taken."""
        return self._secrets.tokens

    def authenticate(self, request: IRequest) -> Principal | Deferred[Principal]:
        """See `IAuthenticator.authenticate`."""
        given: Any = request
        headers: Sequence[bytes] = given.requestHeaders.getRawHeaders(b"authorization", ())
        if headers:
            # Two of them: the check and a proxy could each believe another one.
            return self.verify(headers[0] if len(headers) == 1 else b"")
        keys: Sequence[bytes] = given.requestHeaders.getRawHeaders(_KEY, ())
        if keys:
            return self.verify(b"Bearer %b" % keys[0] if len(keys) == 1 else b"")
        if b"sig" in given.args:
            if self.links is None:
                raise Unauthorized("This server takes no signed links.")
            return self.links.read(given.args)
        cookie = given.getCookie(COOKIE.encode("ascii"))
        if cookie is not None:
            return self.sessions.read(cookie.decode("ascii", "replace"))
        raise Unauthorized(_NONE)

    def verify(self, header: bytes) -> Principal | Deferred[Principal]:
        """
        Return the principal of the header `Authorization`.

        Args:
            header: Its value.

        Raises:
            Unauthorized: (also as an errback) The credential is not valid.
        """
        known = self.verdicts.find(header)
        if known is not None:
            return known
        match = _BEARER.fullmatch(header) if len(header) <= _MAX_HEADER else None
        if match is None:
            raise Unauthorized("Send one header, `Authorization: Bearer CREDENTIAL` or `x-api-key: CREDENTIAL`.")
        found = self._find(match[1].decode("ascii"))
        if isinstance(found, Deferred):
            return found.addCallback(self._keep, header, self._secrets)
        return self._keep(found, header, self._secrets)

    def _find(self, credential: str) -> Principal | Deferred[Principal]:
        """Find the principal of a credential that has no verdict."""
        secrets = self._secrets
        principal = secrets.apiKeys.find(credential)
        if principal is not None:
            return principal
        if secrets.tokens is None or credential.startswith(PREFIX):
            raise Unauthorized("The API key is not valid.", 'Bearer error="invalid_token"')
        return secrets.tokens.verify(credential)

    def _keep(self, principal: Principal, header: bytes, secrets: Secrets) -> Principal:
        """Keep the verdict, unless the keys have changed meanwhile."""
        if secrets is self._secrets:
            self.verdicts.add(header, principal)
        return principal
