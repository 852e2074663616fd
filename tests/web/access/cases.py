"""
The whole server with an authenticator whose principals the test chooses.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from sseserver.apis.root import StreamResource
from sseserver.errors import Unauthorized
from sseserver.interfaces import Grant, IAuthenticator, Principal, Right
from tests.apis.cases import PublishingTestCase
from tests.http import Response
from tests.wires import Wire


def grant(text: str) -> Grant:
    """Return a grant: rights with commas between them, a colon, a pattern."""
    rights, _, pattern = text.partition(":")
    return Grant(frozenset(map(Right, rights.split(","))), pattern)


@implementer(IAuthenticator)
class Names:
    """
    An authenticator that believes the header `X-Name`.

    Attributes:
        principals: The principals by their names.
        asked: Number of calls.
        later: If there is one, it fires first.
    """

    def __init__(self) -> None:
        self.principals: dict[str, Principal] = {}
        self.asked = 0
        self.later: Deferred[None] | None = None

    def authenticate(self, request: Any) -> Any:
        """See `IAuthenticator.authenticate`."""
        self.asked += 1
        if self.later is not None:
            return self.later.addCallback(lambda _: self._find(request))
        return self._find(request)

    def _find(self, request: Any) -> Principal:
        name = (request.getHeader(b"x-name") or b"").decode()
        if name not in self.principals:
            raise Unauthorized("Say who you are.")
        return self.principals[name]


class AccessTestCase(PublishingTestCase):
    """
    A server that asks for names, beside the same server without authentication, which the shortcuts use.

    Attributes:
        names: The authenticator.
    """

    def setUp(self) -> None:
        super().setUp()
        self.names = Names()
        self.guarded: Any = self.site(StreamResource(self.service, None, self.names))

    def admit(self, name: str, *grants: str, expires: float | None = None) -> None:
        """Add a principal."""
        self.names.principals[name] = Principal(name, tuple(map(grant, grants)), expires)

    def askAs(self, name: str | None, path: str, method: str = "GET", **keywords: Any) -> Response:
        """Send a request of a principal."""
        return self.beginAs(name, path, method, **keywords).response

    def beginAs(self, name: str | None, path: str, method: str = "GET", **keywords: Any) -> Wire:
        """Send a request of a principal, whose answer may last."""
        wire = self.connect(self.guarded)
        headers = {**keywords.pop("headers", {}), **({} if name is None else {"X-Name": name})}
        wire.begin(path, keywords.pop("accept", None), method, keywords.pop("body", None), headers=headers)
        return wire
