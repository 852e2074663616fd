"""
Body: how the bytes of an endless response get to the socket.

L{Request.write} only queues: the bytes go out when the reactor comes round to
the socket, which costs two `epoll_ctl` calls and a good part of the whole
price of a token. When nothing is queued before them, the bytes can as well be
sent at once. Body does that where it is the same thing, and leaves everything
else to Twisted.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.tcp import Connection
from twisted.web.http import Request


class Body:
    """
    Writes the body of one response.

    Args:
        request: Its head may be set, but nothing is written yet.
    """

    __slots__ = ("_candidate", "_chunked", "_request", "_send", "_transport", "written")

    # The bytes that were written last, by whichever body, and the chunk made of them: viewers of one stream are given
    # the same bytes one after another.
    _lastData: ClassVar[bytes] = b""
    _lastChunk: ClassVar[bytes] = b""

    def __init__(self, request: Request) -> None:
        self.written = 0
        self._request = request
        # The transport, when its queue can be passed: a plain TCP or UNIX one. Under TLS, on HTTP/2 and on a test's
        # wire the queue is elsewhere.
        transport = getattr(getattr(request, "channel", None), "transport", None)
        self._candidate: Any = transport if canSendAtOnce(transport) else None
        # The same, and its socket's method, once the head is written.
        self._transport: Any = None
        self._send: Any = None
        self._chunked = False

    def write(self, data: bytes) -> None:
        """
        Write what is not empty. May call the producer's C{pauseProducing}
        before it returns.
        """
        self.written += len(data)
        transport = self._transport
        # `_tempDataBuffer` holds what was written since the transport last sent, `dataBuffer` what the socket did not
        # take of it. A transport that is gone is left to Request.write as well.
        if transport is None or transport._tempDataBuffer or transport.dataBuffer or not transport.connected:
            self._queue(data)
            return
        framed = self._chunk(data) if self._chunked else data
        try:
            sent = self._send(framed)
        except OSError:
            # The socket is full; or it is broken, which the transport finds out when it sends the rest.
            sent = 0
        self._request.sentLength += len(data)
        if sent != len(framed):
            transport.write(framed[sent:])

    def hold(self) -> None:
        """What is written from now on is the last: it waits for the request's C{finish}, which follows at once."""
        hold = getattr(self._request.channel, "hold", None)
        if hold is not None:
            hold()
            self._transport = self._candidate = None

    def _queue(self, data: bytes) -> None:
        """Go the long way, which writes the head before the first bytes."""
        self._request.write(data)
        self._chunked = bool(self._request.chunked)
        if self._transport is None and self._candidate is not None:
            self._transport = self._candidate
            self._send = self._candidate.getHandle().send

    @classmethod
    def _chunk(cls, data: bytes) -> bytes:
        """Frame a chunk."""
        if data is not cls._lastData:
            # chunk = chunk-size CRLF chunk-data CRLF          RFC 9112 7.1
            cls._lastChunk = b"%x\r\n%b\r\n" % (len(data), data)
            cls._lastData = data
        return cls._lastChunk


def canSendAtOnce(transport: object) -> bool:
    """
    Whether a transport is one whose queue we can see and send past.

    It is asked for what it really has, since one of these names is private to
    Twisted: should a later release rename it, all writes take the long way. A
    connection on which TLS was started is still a L{Connection}, but what is sent
    past it would go out in the clear.
    """
    return (
        isinstance(transport, Connection)
        and isinstance(getattr(transport, "_tempDataBuffer", None), list)
        and not getattr(transport, "TLS", True)
    )


def sendAtOnce(transport: Any, data: bytes) -> None:
    """Send what can be sent before the reactor comes round to the socket; queue the rest."""
    if (
        canSendAtOnce(transport)
        and transport.connected
        and not (transport.disconnecting or transport._tempDataBuffer or transport.dataBuffer)
    ):
        try:
            sent = transport.getHandle().send(data)
        except OSError:
            # The socket is full; or it is broken, which the transport finds out when it sends this.
            sent = 0
        data = data[sent:]
    if data:
        transport.write(data)
