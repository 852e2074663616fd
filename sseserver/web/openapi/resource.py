"""
`openapi.json`: serves the document that describes the APIs.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from twisted.web.http import NOT_MODIFIED
from twisted.web.server import Request

from sseserver.jsontext import toJSON
from sseserver.service.viewers import Viewers
from sseserver.web.accept import JSON
from sseserver.web.answers import setContentType
from sseserver.web.request import hasVersion
from sseserver.web.resource import AsyncResource


class OpenAPI(AsyncResource):
    """
    `openapi.json`: answers everybody with the document. It is built at the first request, and kept.

    Args:
        build: Builds the document.
        viewers: The viewers of the service. `None` where only operators ask.
    """

    def __init__(self, build: Callable[[], dict[str, Any]], viewers: Viewers | None = None) -> None:
        super().__init__(viewers)
        self._build = build
        self._encoded = b""
        self._tag = b""

    async def GET(self, request: Request) -> bytes:
        """Answer with the document, or 304 if the client has this version."""
        if not self._encoded:
            self._encoded = toJSON(self._build()) + b"\n"
            self._tag = b'"%b"' % sha256(self._encoded).hexdigest()[:16].encode("ascii")
        setContentType(request, JSON)
        request.responseHeaders.setRawHeaders(b"Cache-Control", [b"no-cache"])
        request.responseHeaders.setRawHeaders(b"ETag", [self._tag])
        if hasVersion(request, self._tag):
            request.setResponseCode(NOT_MODIFIED)
            return b""
        return self._encoded
