"""
`session`: begins and ends the session of a browser.
"""

from __future__ import annotations

from twisted.web.http import CREATED, NO_CONTENT
from twisted.web.server import Request

from sseserver.service.service import StreamService
from sseserver.web.access.credentials import Credentials
from sseserver.web.access.rights import Access
from sseserver.web.access.sessions import COOKIE
from sseserver.web.answers import answerJSON
from sseserver.web.request import readPath
from sseserver.web.resource import AsyncResource


class Session(AsyncResource):
    """
    The resource `session`.

    Args:
        service: Tells the time.
        access: Finds the principals of requests.
        credentials: Makes the cookies.
    """

    def __init__(self, service: StreamService, access: Access, credentials: Credentials) -> None:
        super().__init__()
        self._service = service
        self._access = access
        self._credentials = credentials

    async def POST(self, request: Request) -> bytes:
        """Begin a session for the credential of the request, which ends no later than that."""
        principal = await self._access.identify(request)
        now = self._service.wall()
        value, seconds = self._credentials.sessions.make(principal, now)
        _setCookie(request, value, seconds)
        return answerJSON(request, {"expires": int(now) + seconds}, CREATED)

    async def DELETE(self, request: Request) -> bytes:
        """End a session: the browser forgets the cookie."""
        _setCookie(request, "", 0)
        request.setResponseCode(NO_CONTENT)
        return b""


def _setCookie(request: Request, value: str, seconds: int) -> None:
    """
    Set the cookie of a session, for all URLs of the mount point.

    Scripts cannot read it, and no other site can make a browser send it with a request that changes something.
    """
    path = readPath(request).rpartition("/")[0] or "/"
    fields = [f"{COOKIE}={value}", f"Path={path}", f"Max-Age={seconds}", "HttpOnly", "SameSite=Lax"]
    # A proxy that speaks TLS says so. A client that claims it without a proxy harms nobody else.
    if request.isSecure() or request.getHeader(b"x-forwarded-proto") == b"https":
        fields.append("Secure")
    request.responseHeaders.addRawHeader(b"Set-Cookie", "; ".join(fields).encode("ascii"))
