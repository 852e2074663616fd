"""
Site: a twisted.web Site with what event streams need.
"""

from __future__ import annotations

import io
from typing import Any

from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from sseserver.errors import BodyTooLarge
from sseserver.http import MAX_BODY, errorJSON

#: Seconds after which an idle connection is closed. More than the 60 of the usual load balancers: else they send a
#: request into a connection that is just being closed.
IDLE_TIMEOUT = 75

#: Bytes of a refused body that are still read, and dropped, so that a client which sends before it reads gets its
#: answer instead of a reset connection.
_DROPPED = 16 * MAX_BODY


class StreamRequest(Request):
    """
    Refuses a body that is too large before it is read, and keeps no other on disk.
    """

    _refused = False
    _received = 0

    def gotLength(self, length: int | None) -> None:
        """See L{Request.gotLength}."""
        self.content = io.BytesIO()
        if length is not None and length > MAX_BODY:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """See L{Request.handleContentChunk}."""
        self._received += len(data)
        if self._received > _DROPPED:
            self.channel.loseConnection()
        elif self._received > MAX_BODY and not self._refused:
            self._refuse()
        elif not self._refused:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """See L{Request.requestReceived}."""
        if self._refused:
            self.channel.loseConnection()
        else:
            super().requestReceived(command, path, version)

    def _refuse(self) -> None:
        """Answer before the request is complete, which Twisted's own requests cannot."""
        self._refused = True
        # Nobody shall be told to go on.
        self.requestHeaders.removeHeader(b"Expect")
        body = errorJSON(BodyTooLarge(f"The body has more than {MAX_BODY} bytes."))
        head = (
            b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        self.channel.write(head + body)


class StreamSite(Site):
    """
    Serves a resource over HTTP/1.1.

    HTTP/2 is not offered, also where the `h2` package is installed: a client
    that lets its window run out makes twisted.web's HTTP/2 spin. Let a proxy
    in front of it speak HTTP/2.
    """

    def __init__(self, resource: IResource, **keywords: Any) -> None:
        keywords.setdefault("timeout", IDLE_TIMEOUT)
        super().__init__(resource, StreamRequest, parsePOSTFormSubmission=False, **keywords)

    def acceptableProtocols(self) -> list[bytes]:
        """See L{Site.acceptableProtocols}: only HTTP/1.1."""
        return [b"http/1.1"]
