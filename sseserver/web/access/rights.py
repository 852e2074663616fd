"""
The rights of a request: who sends it, and whether that principal may do what it asks for.

Each resource of an API has an `Access`, and asks it before it looks for a stream. So an answer never depends on whether
a forbidden name exists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from sseserver.errors import Forbidden, StreamNotFound, Unauthorized
from sseserver.interfaces import ANYONE, Grant, IAuthenticator, Principal, Right
from sseserver.web.access.credentials import Credentials
from sseserver.web.access.links import LIFETIME


class Access:
    """
    Finds the principals of requests, and checks their rights.

    Args:
        authenticator: Finds the principals; `None` for no authentication.
        seconds: Returns the time in seconds since 1970.

    Attributes:
        credentials: The authenticator, if it makes links and sessions.
    """

    def __init__(self, authenticator: IAuthenticator | None, seconds: Callable[[], float]) -> None:
        self._authenticator = authenticator
        self._seconds = seconds
        given: Any = authenticator
        self.credentials: Credentials | None = given if isinstance(given, Credentials) else None

    @property
    def asks(self) -> bool:
        """Whether requests need a credential."""
        return self._authenticator is not None

    @property
    def recalls(self) -> bool:
        """Whether `recall` can find principals. If not, each request is to be authenticated."""
        return self._authenticator is None or self.credentials is not None

    def recall(self, header: bytes | None) -> Principal | None:
        """
        Return the principal of a header `Authorization` that was verified before.

        Args:
            header: Its value, if the request has one.

        Returns:
            The principal; `None` if the request is to be authenticated.
        """
        if self._authenticator is None:
            return ANYONE
        if self.credentials is None or header is None:
            return None
        principal = self.credentials.verdicts.find(header)
        if principal is None or principal.expires is None:
            # Nearly every publish ends here, without a look at the time.
            return principal
        return None if principal.isExpired(self._seconds()) else principal

    def _recognize(self, request: Request) -> Principal | None:
        """Return the principal of a request whose only credential was verified before, without a coroutine for it."""
        headers = request.requestHeaders.getRawHeaders(b"authorization", ())
        principal = self.recall(headers[0]) if len(headers) == 1 else None
        if principal is not None:
            logged: Any = request
            logged.principalName = principal.name
        return principal

    def signReading(self, principal: Principal, name: str) -> str | None:
        """
        Make the query of a link with which a client that has a right to read can do it without its credential.

        Args:
            principal: The client. The link ends no later than its rights.
            name: Name of the stream.

        Returns:
            The query; `None` if the server signs no links, or the client has no such right.
        """
        links = None if self.credentials is None else self.credentials.links
        if links is None or not principal.allows(Right.READ, name):
            return None
        expires = self._seconds() + LIFETIME
        if principal.expires is not None:
            expires = min(expires, principal.expires)
        return links.make(Grant(frozenset({Right.READ}), name), int(expires))

    async def identify(self, request: Request) -> Principal:
        """
        Find the principal of a request.

        Raises:
            Unauthorized: There is none, or its rights have ended.
        """
        if self._authenticator is None:
            return ANYONE
        found = self._authenticator.authenticate(request)
        principal = await found if isinstance(found, Deferred) else found
        if principal.isExpired(self._seconds()):
            raise Unauthorized("The credential has expired. Ask for a new one.", 'Bearer error="invalid_token"')
        # For the access log, and the limits of clients.
        logged: Any = request
        logged.principalName = principal.name
        return principal

    async def require(self, request: Request, right: Right, name: str) -> Principal:
        """
        Find the principal of a request, and check its right on a stream.

        Args:
            request: The request.
            right: The right.
            name: Name of the stream.

        Raises:
            Unauthorized: There is no principal.
            Forbidden: See `checkRight`.
            StreamNotFound: See `checkRight`.
        """
        if self._authenticator is None:
            return ANYONE
        principal = self._recognize(request) or await self.identify(request)
        checkRight(principal, right, name)
        return principal

    async def requireNew(self, request: Request, name: str) -> Principal:
        """
        Find the principal of a request, and check that it may open a stream and publish into it.

        Args:
            request: The request.
            name: Name of the stream.

        Raises:
            Unauthorized: There is no principal.
            Forbidden: It does not have the right, whether or not the stream exists.
        """
        principal = await self.identify(request)
        if not principal.allows(Right.PUBLISH, name):
            raise makeForbidden(Right.PUBLISH)
        return principal

    async def requireList(self, request: Request) -> Principal:
        """
        Find the principal of a request, and check that it may list any streams.

        Raises:
            Unauthorized: There is no principal.
            Forbidden: It may not.
        """
        principal = await self.identify(request)
        if not any(Right.LIST in grant.rights for grant in principal.grants):
            raise makeForbidden(Right.LIST)
        return principal

    async def requireRun(self, request: Request) -> Principal:
        """
        Find the principal of a request, and check that it may start a run, whose stream is named by `runPrefix`.

        Raises:
            Unauthorized: There is no principal.
            Forbidden: It may not.
        """
        if self._authenticator is None:
            return ANYONE
        principal = self._recognize(request) or await self.identify(request)
        if principal.runPrefix is None:
            raise makeForbidden(Right.RUN)
        return principal


def checkRight(principal: Principal, right: Right, name: str) -> None:
    """
    Check a right on a stream, which may not exist.

    Args:
        principal: The client.
        right: The right.
        name: Name of the stream.

    Raises:
        Forbidden: The principal has other rights on this name.
        StreamNotFound: It has none: the answer is that for a stream that does not exist.
    """
    if principal.allows(right, name):
        return
    if any(principal.allows(other, name) for other in Right):
        raise makeForbidden(right)
    raise StreamNotFound(name)


def showsStream(principal: Principal, name: str) -> bool:
    """
    Tell whether the lists that a principal gets have a stream.

    Args:
        principal: The client.
        name: Name of the stream. The empty name stands for all streams.
    """
    return principal.allows(Right.LIST, name) and principal.allows(Right.READ, name)


def makeForbidden(right: Right) -> Forbidden:
    """Make the error for a right that is missing."""
    return Forbidden(f"This needs the right `{right.value}`, which the credential does not give here.")
