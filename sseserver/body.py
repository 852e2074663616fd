"""
Body: how the bytes of an endless response get to the socket.

L{Request.write} only queues: the bytes go out when the reactor comes round to
the socket, which costs two `epoll_ctl` calls and a good part of the whole
price of a token. When nothing is queued before them, the bytes can as well be
sent at once. Body does that where it is the same thing, and leaves everything
else to Twisted.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection
from twisted.web.http import Request


class Body:
    """
    Writes the body of one response.

    Args:
        request: Its head may be set, but nothing is written yet.
    """

    __slots__ = ("_candidate", "_chunked", "_request", "_transport", "written")

    def __init__(self, request: Request) -> None:
        self.written = 0
        self._request = request
        # The transport, when its queue can be passed: a plain TCP or UNIX one. Under TLS, on HTTP/2 and on a test's
        # wire the queue is elsewhere.
        transport = getattr(getattr(request, "channel", None), "transport", None)
        self._candidate: Any = transport if canSendAtOnce(transport) else None
        # The same, once the head is written.
        self._transport: Any = None
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
            self._request.write(data)
            self._chunked = bool(self._request.chunked)
            self._transport = self._candidate
            return
        # chunk = chunk-size CRLF chunk-data CRLF          RFC 9112 7.1
        framed = b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
        sent = transport.writeSomeData(framed)
        self._request.sentLength += len(data)
        if sent != len(framed):
            # The socket took a part of it; or it is broken, which the transport finds out when it sends the rest.
            transport.write(framed[sent:] if isinstance(sent, int) else framed)


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
