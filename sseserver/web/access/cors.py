"""
Cross-Origin Resource Sharing (Fetch standard): the origins whose pages may use a server, and what browsers are told.

`gate` asks it, and writes the headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from twisted.web.http import NO_CONTENT
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sseserver.web.access.hosts import ANY, DEFAULT_PORTS
from sseserver.web.access.origins import parseOrigin, readOrigin
from sseserver.web.answers import finishAnswer

#: Methods of the APIs.
_METHODS = b"GET, HEAD, POST, PUT, DELETE"

#: Header fields of requests that the APIs read, or that SDKs send, in lower case.
_FIELDS = (
    "accept",
    "authorization",
    "cache-control",
    "content-type",
    "idempotency-key",
    "if-none-match",
    "last-event-id",
    "prefer",
    "stream-closed",
    "user-agent",
)

#: More fields of SDKs and frameworks, such as `x-stainless-os` and `hx-request`. Fields of proxies are not for pages.
_MORE_FIELDS = re.compile(r"(?!x-forwarded-|x-real-ip)(?:x-|openai-|anthropic-|hx-|datastar-)[a-z0-9-]{1,64}")

#: Number of such fields that are allowed in one answer.
_MAX_FIELDS = 64

#: Header fields of answers that pages may read.
_EXPOSED = (
    b"Content-Location, ETag, Location, Retry-After, Stream-Closed, Stream-Cursor, Stream-Gap, Stream-Next-Offset, "
    b"Stream-Up-To-Date, WWW-Authenticate, X-Upstream, X-Upstream-Failed, request-id, x-request-id, x-should-retry, "
    b"x-vercel-ai-ui-message-stream, x-workflow-run-id, x-workflow-stream-tail-index"
)

#: Header fields: names and values.
Fields = tuple[tuple[bytes, bytes], ...]

#: Caches must not give the answer for one origin to another one.
_VARYING: Fields = ((b"Vary", b"Origin"),)

_ANY_ORIGIN = ANY.encode("ascii")

#: Seconds for which a browser need not ask again; Chromium's maximum.
_MAX_AGE = b"7200"


class SharedOrigins:
    """
    The origins whose pages may use a server.

    Args:
        origins: Origins as browsers send them; `*` stands for every origin, for requests without cookies.

    Raises:
        ValueError: One of them is no origin, or not as browsers send it.
    """

    def __init__(self, origins: Iterable[str] = ()) -> None:
        listed = frozenset(origins)
        self._any = ANY in listed
        self._all = _listFields(_ANY_ORIGIN) if self._any else _VARYING
        names = [checkSharedOrigin(origin).encode("ascii") for origin in listed - {ANY}]
        # The header fields of answers to pages of each origin.
        self._listed = {name: _listFields(name) for name in names}

    def __bool__(self) -> bool:
        return self._any or bool(self._listed)

    def trusts(self, request: Request, origin: bytes) -> bool:
        """
        Return whether a page may send a request. Cookies need an origin that is listed by name.

        Args:
            request: The request.
            origin: Origin of the page.
        """
        if origin in self._listed:
            return True
        return self._any and not request.requestHeaders.hasHeader(b"cookie")

    def findFields(self, request: Request) -> Fields:
        """Return the header fields that let a page of a listed origin read the answer to its request."""
        origin = readOrigin(request)
        return self._listed.get(origin, self._all) if origin else _VARYING

    def mark(self, request: Request) -> None:
        """
        Set the header fields of `findFields`.

        Args:
            request: Its response has not begun.
        """
        for name, value in self.findFields(request):
            request.responseHeaders.setRawHeaders(name, [value])


def _listFields(origin: bytes) -> Fields:
    """List the header fields of answers to pages of an origin."""
    fields = ((b"Access-Control-Allow-Origin", origin), (b"Access-Control-Expose-Headers", _EXPOSED))
    credentials = ((b"Access-Control-Allow-Credentials", b"true"),)
    return (*_VARYING, *fields, *(credentials if origin != _ANY_ORIGIN else ()))


class Preflight(Resource):
    """Answers a browser that asks whether a page may send a request, to any URL."""

    isLeaf = True

    def render(self, request: Request) -> Any:
        """Name the methods and the header fields. `SharedOrigins.mark` has named the origin."""
        headers = request.responseHeaders
        asked = b",".join(request.requestHeaders.getRawHeaders(b"access-control-request-headers", ()))
        headers.setRawHeaders(b"Access-Control-Allow-Methods", [_METHODS])
        headers.setRawHeaders(b"Access-Control-Allow-Headers", [_allowFields(asked)])
        headers.setRawHeaders(b"Access-Control-Max-Age", [_MAX_AGE])
        headers.setRawHeaders(b"Vary", [b"Origin, Access-Control-Request-Headers"])
        request.setResponseCode(NO_CONTENT)
        finishAnswer(request, b"")
        return NOT_DONE_YET


def isPreflight(request: Request) -> bool:
    """Return whether an OPTIONS asks for the permission of another request."""
    headers = request.requestHeaders
    return headers.hasHeader(b"origin") and headers.hasHeader(b"access-control-request-method")


def checkSharedOrigin(text: str) -> str:
    """
    Check an origin that is to be listed, or `*`, and return it.

    Raises:
        ValueError: It is not as browsers send it.
    """
    if text == ANY:
        return text
    if text == "null":
        raise ValueError("'null' is the origin of any page that hides its own; it cannot be listed")
    scheme, authority = parseOrigin(text)
    port = f":{authority.port}" if authority.port not in {None, DEFAULT_PORTS.get(scheme)} else ""
    if text != f"{scheme}://{authority.name}{port}":
        raise ValueError(f"{text!r}: browsers send this origin as {scheme}://{authority.name}{port}")
    return text


def _allowFields(asked: bytes) -> bytes:
    """Return the names of the header fields that a page may send, for those that it has asked for."""
    names = [name.strip().lower() for name in asked.decode("latin-1").split(",")]
    more = [name for name in names if _MORE_FIELDS.fullmatch(name)]
    return ", ".join([*_FIELDS, *more[:_MAX_FIELDS]]).encode("ascii")
