"""
The limit of bodies: requests whose body is kept in memory, and refused when it is too large.

Both kinds of requests of `sseserver.web.site`, plain and fast, derive from `BodyLimit`.
"""

from __future__ import annotations

import io
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.web.server import Request

from sseserver.delivery.connection import setReadSize
from sseserver.errors import BadRequest, SSEServerError
from sseserver.speedups.privates import readLine
from sseserver.web.access.gate import shareAnswer
from sseserver.web.answers import encodeRefusal
from sseserver.web.arrivingbodies import SMALL_BODY
from sseserver.web.peers import ForwardedRequest
from sseserver.web.request import makeBodyTooLarge
from sseserver.web.requestlog import RefusedRequest
from sseserver.web.targets import readTarget

#: Bytes of a refused body that are still read and dropped: a client that sends before it reads gets
#: its answer instead of a reset connection.
DROPPED = 16 << 20

#: Bytes that are read at a time of a body in chunks. Each chunk takes microseconds, and may have a single byte.
READ_CHUNKED = 8192

#: Answer to a body in chunks in a version that has none (RFC 9112 section 6.1).
_OLD_CHUNKS = encodeRefusal(BadRequest("A request of HTTP/1.0 cannot have a Transfer-Encoding."))


if TYPE_CHECKING:
    _Base = Request
else:
    _Base = object


def findLimit(site: Any, target: bytes) -> int:
    """
    Find the limit of a body before its resource is looked for.

    Args:
        site: The site.
        target: Target of the request.

    Returns:
        Bytes. The attribute `maxBody` of the resource, or of the nearest one above it that has one; at most the limit
        of the site. Resources that are made for each request have no say.
    """
    limit: int = site.maxBody
    resource = site.resource
    for segment in target.partition(b"?")[0].split(b"/")[1:]:
        resource = getattr(resource, "children", {}).get(unquote_to_bytes(segment))
        if resource is None:
            break
        limit = min(site.maxBody, getattr(resource, "maxBody", limit))
    return limit


class BodyLimit(ForwardedRequest, _Base):
    """
    A mixin for requests with a limited body.

    The body is kept in memory. One over the limit of its resource is refused before it is read.
    """

    __slots__ = ()

    channel: Any

    def __init__(self, channel: Any, *args: Any, **keywords: Any) -> None:
        self._received = self._counted = 0
        self._refused = self._inChunks = False
        self._limit = 0
        self.begun = monotonic()
        super().__init__(channel, *args, **keywords)

    def gotLength(self, length: int | None) -> None:
        """See `Request.gotLength`."""
        # Twisted's own keeps large bodies on disk.
        self.content = io.BytesIO()
        site = self.channel.site
        self._limit = site.maxBody
        if length is None or length > SMALL_BODY:
            self._limit = findLimit(site, readLine(self.channel)[1])
        if length is not None and length > self._limit:
            self._refuseSize()
        if length is None:
            self._inChunks = True
            setReadSize(self.channel.transport, READ_CHUNKED)
        if length is None and not self.channel.persistent and not self.responseHeaders.hasHeader(b"Connection"):
            # The connection of a request of HTTP/1.1 is kept, unless an answer says that it is not.
            self._refuse(_OLD_CHUNKS)

    def handleContentChunk(self, data: bytes) -> None:
        """See `Request.handleContentChunk`."""
        self._received += len(data)
        site = self.channel.site
        if self._received > self._limit + DROPPED:
            self.channel.loseConnection()
        elif self._refused:
            return
        elif self._received > self._limit:
            self._refuseSize()
        elif self._received > SMALL_BODY and not self._count():
            self._refuse(site.overload)
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """See `Request.requestReceived`."""
        if self._counted:
            self._release()
        if self._inChunks:
            setReadSize(self.channel.transport, None)
        if self.channel.site.peers.proxies:
            self.believeProxy()
        if self._refused:
            self.channel.loseConnection()
        elif path.startswith(b"/"):
            super().requestReceived(command, path, version)
        else:
            self._receiveOther(command, path, version)

    def _receiveOther(self, command: bytes, path: bytes, version: bytes) -> None:
        """Receive a request whose target is not a path."""
        hosts = self.requestHeaders.getRawHeaders(b"Host", ())
        try:
            target = readTarget(command, path)
            if target.authority is None and len(hosts) != 1 and version == b"HTTP/1.1":
                # No resource sees this target, so none looks for a host.
                raise BadRequest(f"A request needs one header Host, and has {len(hosts)}.")
        except SSEServerError as error:
            answer = shareAnswer(self.channel.site, self, encodeRefusal(error))
            self.channel.write(answer)
            self.channel.site.log(RefusedRequest(self.channel, answer, (command, path, version)))
            self.channel.loseConnection()
            return
        if target.authority is not None and len(hosts) == 1:
            # A missing or repeated field is still to be refused.
            self.requestHeaders.setRawHeaders(b"Host", [target.authority])
        super().requestReceived(command, target.path, version)

    def connectionLost(self, reason: Any) -> None:
        """See `Request.connectionLost`."""
        if self._counted:
            self._release()
        channel = self.channel
        super().connectionLost(reason)
        if channel is not None and self.clientproto != Request.clientproto:
            # The request was complete. Twisted logs those that are finished only.
            channel.site.log(self)

    def _count(self) -> bool:
        """Count the body among those that arrive; return whether there is room."""
        if not self.channel.site.bodies.grow(self._counted, self._received):
            return False
        self._counted = self._received
        return True

    def _release(self) -> None:
        """Count the body no longer."""
        if self._counted:
            self.channel.site.bodies.remove(self._counted)
            self._counted = 0

    def _refuseSize(self) -> None:
        """Refuse a body that is too large."""
        self._refuse(encodeRefusal(makeBodyTooLarge(self._limit)))

    def _refuse(self, answer: bytes) -> None:
        """Answer before the request is complete. What has arrived is dropped."""
        self._refused = self.channel.refused = True
        self._release()
        self.content = io.BytesIO()
        # No `100 Continue`: the client should not send the body.
        self.requestHeaders.removeHeader(b"Expect")
        answer = shareAnswer(self.channel.site, self, answer)
        self.channel.write(answer)
        self.channel.site.log(RefusedRequest(self.channel, answer))
