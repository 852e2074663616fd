"""
Access: rights, grants, principals, and the contract of an authenticator.

`sseserver.web.access` has the authenticators of `twistd sseserver`. An embedder passes one of its own to
`StreamResource`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest
from zope.interface import Interface


class Right(Enum):
    """A kind of request that a principal may make, for a stream or for all of a pattern."""

    READ = "read"
    PUBLISH = "publish"
    RUN = "run"
    CANCEL = "cancel"
    DELETE = "delete"
    LIST = "list"

    # The members are singletons. The hash of `Enum` is a function in Python, which each check of a right would call.
    __hash__ = object.__hash__


#: All rights.
ALL_RIGHTS = frozenset(Right)


@dataclass(frozen=True, slots=True)
class Grant:
    """
    Rights for the streams whose names match a pattern.

    Args:
        rights: The rights.
        pattern: The name of one stream, or a prefix of names that ends in `*`.

    Attributes:
        prefix: The pattern without its `*`; `None` if it has none.
    """

    rights: frozenset[Right]
    pattern: str
    prefix: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find the prefix."""
        object.__setattr__(self, "prefix", self.pattern[:-1] if self.pattern.endswith("*") else None)

    def matches(self, name: str) -> bool:
        """Tell whether a name matches the pattern."""
        prefix = self.prefix
        return name == self.pattern if prefix is None else name.startswith(prefix)

    def covers(self, other: Grant) -> bool:
        """Tell whether everything that another grant allows is allowed by this one."""
        if not other.rights <= self.rights:
            return False
        # A prefix is covered by a shorter one, never by a name.
        return self.matches(other.pattern) if self.pattern.endswith("*") else other.pattern == self.pattern


@dataclass(frozen=True, slots=True)
class Principal:
    """
    A client that has shown who it is.

    Args:
        name: Name for limits, and the owner of idempotency keys. Two clients with the same name are one principal. The
            empty name belongs to clients of a server without authentication.
        grants: What it may do.
        expires: Seconds since 1970. Its rights end then; `None` for never.
        key: Digest of the key that vouches for it, by which its authenticator recognizes it when keys were taken back.
            `None` if keys never are.
    """

    name: str
    grants: tuple[Grant, ...]
    expires: float | None = None
    key: bytes | None = field(default=None, compare=False, repr=False)

    def allows(self, right: Right, name: str) -> bool:
        """
        Tell whether the principal has a right on a stream.

        Args:
            right: The right.
            name: Name of the stream, which need not exist.
        """
        if self is ANYONE:
            return True
        for grant in self.grants:
            if right in grant.rights:
                # As `Grant.matches`, without a call.
                prefix = grant.prefix
                if name == grant.pattern if prefix is None else name.startswith(prefix):
                    return True
        return False

    @property
    def runPrefix(self) -> str | None:
        """
        Begins the names of the streams of the runs that this principal starts; `None` if it may start none.

        It is the prefix of the first grant with the right to run. The name of one stream is not enough: each run has a
        stream of its own.
        """
        if self is ANYONE:
            return ""
        for grant in self.grants:
            if Right.RUN in grant.rights and grant.pattern.endswith("*"):
                return grant.pattern[:-1]
        return None

    def isExpired(self, now: float) -> bool:
        """
        Tell whether the rights of the principal have ended.

        Args:
            now: Seconds since 1970.
        """
        return self.expires is not None and self.expires <= now


#: The principal of every request to a server without authentication: it may do everything.
ANYONE = Principal("", (Grant(ALL_RIGHTS, "*"),))


class IAuthenticator(Interface):
    """Finds the principal of a request."""

    def authenticate(request: IRequest) -> Principal | Deferred[Principal]:
        """
        Find the principal of a request.

        Called once for each request that needs rights, also when a viewer resumes. It must not write to the request.

        Args:
            request: A request whose head and body have arrived.

        Returns:
            The principal, or a Deferred that fires with it.

        Raises:
            Unauthorized: The request has no credential, or an invalid one. A Deferred fails with it.
        """
