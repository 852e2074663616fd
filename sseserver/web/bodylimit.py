"""
The limit of bodies: requests whose body is kept in memory, and refused when it is too large.
"""

from __future__ import annotations

import io
from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.web.server import Request

from sseserver.errors import BadRequest, SSEServerError
from sseserver.web.answers import encodeRefusal
from sseserver.web.arrivingbodies import SMALL_BODY
from sseserver.web.peers import ForwardedRequest
from sseserver.web.requestlog import RefusedRequest
from sseserver.web.targets import readTarget

#: Bytes of a refused body that are still read and dropped: a client that sends before it reads gets
#: its answer instead of a reset connection.
DROPPED = 16 << 20

#: Answer to a body in chunks in a version that has none (RFC 9112 section 6.1).
_OLD_CHUNKS = encodeRefusal(BadRequest("A request of HTTP/1.0 cannot have a Transfer-Encoding."))


if TYPE_CHECKING:
    _Base = Request
else:
    _Base = object


class BodyLimit(ForwardedRequest, _Base):
    """
    A mixin for requests with a limited body.

    The body is kept in memory. One over the limit of the site is refused before it is read.
    """

    __slots__ = ()

    channel: Any

    def __init__(self, channel: Any, *args: Any, **keywords: Any) -> None:
        self._received = self._counted = 0
        self._refused = False
        self.begun = monotonic()
        super().__init__(channel, *args, **keywords)

    def gotLength(self, length: int | None) -> None:
        """See `Request.gotLength`."""
        # Twisted's own keeps large bodies on disk.
        self.content = io.BytesIO()
        if length is not None and length > self.channel.site.maxBody:
            self._refuse(self.channel.site.refusal)
        elif length is None and not self.channel.persistent and not self.responseHeaders.hasHeader(b"Connection"):
            # The connection of a request of HTTP/1.1 is kept, unless an answer says that it is not.
            self._refuse(_OLD_CHUNKS)

    def handleContentChunk(self, data: bytes) -> None:
        """See `Request.handleContentChunk`."""
        self._received += len(data)
        site = self.channel.site
        if self._received > site.maxBody + DROPPED:
            self.channel.loseConnection()
        elif self._refused:
            return
        elif self._received > site.maxBody:
            self._refuse(site.refusal)
        elif self._received > SMALL_BODY and not self._count():
            self._refuse(site.overload)
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """See `Request.requestReceived`."""
        if self._counted:
            self._release()
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
            answer = encodeRefusal(error)
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

    def _refuse(self, answer: bytes) -> None:
        """Answer before the request is complete. What has arrived is dropped."""
        self._refused = self.channel.refused = True
        self._release()
        self.content = io.BytesIO()
        # No `100 Continue`: the client should not send the body.
        self.requestHeaders.removeHeader(b"Expect")
        gate = getattr(self.channel.site.resource, "gate", None)
        self.channel.write(answer if gate is None else gate.share(self, answer))
        self.channel.site.log(RefusedRequest(self.channel, answer))
