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
from sseserver.web.access.apikeys import ApiKeys, makeKey, readKeyFile, writeLine
from sseserver.web.access.credentials import Credentials, Secrets
from sseserver.web.access.jwts import FixedKey, TokenRules, TokenVerifier
from tests.apis.cases import PublishingTestCase
from tests.http import Response
from tests.web.access.tokens import NOW, SHARED
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


class SecretsTestCase(PublishingTestCase):
    """
    A server with credentials of all kinds, beside the same server without authentication, which the shortcuts use.

    The clock shows the time of the tokens.

    Attributes:
        credentials: The authenticator.
        keys: API keys, by the names of their clients.
    """

    def setUp(self) -> None:
        super().setUp()
        self.reactor.rightNow += NOW
        self.keys: dict[str, str] = {}
        self.lines: list[str] = []
        tokens = TokenVerifier(TokenRules("HS256", "issuer", "here"), FixedKey("HS256", SHARED), self.reactor.seconds)
        self.tokens: Any = tokens
        self.credentials = Credentials(self.makeSecrets(), b"s" * 32)
        self.guarded: Any = self.site(StreamResource(self.service, None, self.credentials))

    def makeSecrets(self, signingKeys: tuple[bytes, ...] = (b"1" * 32,)) -> Secrets:
        """Make the secrets of this moment."""
        return Secrets(ApiKeys(readKeyFile("\n".join(self.lines))), self.tokens, signingKeys)

    def addKey(self, name: str, *grants: str, expires: str | None = None) -> str:
        """Add an API key, and return it."""
        key = self.keys[name] = makeKey()
        self.lines.append(writeLine(name, key, grants, expires))
        self.credentials.replace(self.makeSecrets())
        return key

    def send(self, path: str, method: str = "GET", credential: str | None = None, **keywords: Any) -> Wire:
        """Send a request with a bearer token, or without; its answer may last."""
        wire = self.connect(self.guarded)
        given = {} if credential is None else {"Authorization": f"Bearer {credential}"}
        headers = {**given, **keywords.pop("headers", {})}
        wire.begin(path, keywords.pop("accept", None), method, keywords.pop("body", None), headers=headers)
        return wire


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
        """Send a request of a principal. Its response has no date, which would differ between two of them."""
        response = self.beginAs(name, path, method, **keywords).response
        response.headers.pop("date", None)
        return response

    def beginAs(self, name: str | None, path: str, method: str = "GET", **keywords: Any) -> Wire:
        """Send a request of a principal, whose answer may last."""
        wire = self.connect(self.guarded)
        headers = {**keywords.pop("headers", {}), **({} if name is None else {"X-Name": name})}
        wire.begin(path, keywords.pop("accept", None), method, keywords.pop("body", None), headers=headers)
        return wire
