"""
Body: how the bytes of an endless response get to the socket.

L{Request.write} only queues: the bytes go out when the reactor comes round to
the socket, which costs two `epoll_ctl` calls and a good part of the whole
price of a token. When nothing is queued before them, the bytes can as well be
sent past the queue. Body does that where it is the same thing, and leaves
everything else to Twisted.

Nor are they sent one by one as they come. A `send` runs through the whole of
the kernel's TCP, and Python after it is as slow as after a sleep: its caches
are full of something else. So what all bodies write in one turn of the reactor
waits in an L{Outbox} and leaves at the turn's end, all in one go.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection
from twisted.web.http import Request

from sseserver.timing.turnend import TurnEnd

#: What is larger does not wait: there the bytes cost, and not their way; and who writes much must be told soon that
#: the socket is full.
SMALL = 2048

# The bytes that were framed last, by whichever body, and their chunk: viewers of one stream are given the same bytes
# one after another. (Not on the class: each change of a class makes Python look up all its attributes anew.)
_last: list[bytes] = [b"", b""]


class Outbox:
    """
    Small writes that leave together when this turn of the reactor ends.

    Args:
        turnEnd: Of the transports' reactor.
    """

    __slots__ = ("_bodies", "_turnEnd")

    def __init__(self, turnEnd: TurnEnd) -> None:
        self._turnEnd = turnEnd
        self._bodies: list[Body] = []

    def add(self, body: Body) -> None:
        """Flush this body when the turn ends."""
        if not self._bodies:
            self._turnEnd.atEnd(self._flush)
        self._bodies.append(body)

    def _flush(self) -> None:
        bodies, self._bodies = self._bodies, []
        for body in bodies:
            body.flush()


class Body:
    """
    Writes the body of one response.

    Args:
        request: Its head may be set, but nothing is written yet.
        outbox: Where small writes wait for the end of the turn.

    Attributes:
        written: Bytes so far, without framing.
    """

    __slots__ = (
        "_candidate",
        "_chunked",
        "_clear",
        "_last",
        "_outbox",
        "_request",
        "_socket",
        "_transport",
        "_waiting",
        "written",
    )

    def __init__(self, request: Request, outbox: Outbox) -> None:
        self.written = 0
        self._request = request
        self._outbox = outbox
        # The transport, when its queue can be passed: a plain TCP or UNIX one. Under TLS, on HTTP/2 and on a test's
        # wire the queue is elsewhere.
        transport = getattr(getattr(request, "channel", None), "transport", None)
        self._candidate: Any = transport if canSendAtOnce(transport) else None
        # The same, and its socket, once the head is written.
        self._transport: Any = None
        self._socket: Any = None
        self._chunked = False
        # Whether nothing is queued before us; false also when that is not known.
        self._clear = False
        # Whether what waits is for the channel, which sends it with the end of the response.
        self._last = False
        # Framed bytes that wait in the outbox.
        self._waiting = b""

    def write(self, data: bytes) -> None:
        """
        Write what is not empty. May call the producer's C{pauseProducing}
        before it returns, or at the end of the turn.
        """
        self.written += len(data)
        if self._transport is None:
            self._queue(data)
            return
        if len(data) > SMALL:
            self.flush()
            self._sendLarge(data)
            return
        framed = _chunk(data) if self._chunked else data
        if not self._waiting:
            self._waiting = framed
            if not self._last:
                self._outbox.add(self)
            return
        self._waiting += framed
        if len(self._waiting) > SMALL and not self._last:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, b""
        if waiting and (self._clear or self._isClear()):
            try:
                sent = self._socket.send(waiting)
            except OSError:
                # The socket is full; or it is broken, which the transport finds out when it sends the rest.
                sent = 0
            waiting = waiting[sent:]
        if waiting:
            self._clear = False
            # A transport that is gone throws it away.
            self._transport.write(waiting)

    def _sendLarge(self, data: bytes) -> None:
        """Send at once, without a copy for the sake of the framing."""
        pieces = (b"%x\r\n" % len(data), data, b"\r\n") if self._chunked else (data,)
        sent = 0
        if self._clear or self._isClear():
            try:
                sent = self._socket.sendmsg(pieces)
            except OSError:
                # See L{flush}.
                sent = 0
        rest = []
        for piece in pieces:
            if sent < len(piece):
                rest.append(piece[sent:])
            sent = max(0, sent - len(piece))
        if rest:
            self._clear = False
            self._transport.writeSequence(rest)

    def _isClear(self) -> bool:
        """
        Whether nothing is queued before us. Once it is so it stays so until
        we queue something: while a response lasts nobody else writes.
        """
        transport = self._transport
        # `_tempDataBuffer` holds what was written since the transport last sent, `dataBuffer` what the socket did not
        # take of it.
        self._clear = bool(transport.connected) and not transport._tempDataBuffer and not transport.dataBuffer
        return self._clear

    def close(self) -> None:
        """Send what waits, and tell the request how much it was: nothing is written after this."""
        channel = getattr(self._request, "channel", None)
        if self._last and channel is not None:
            waiting, self._waiting = self._waiting, b""
            channel.hold(waiting)
        else:
            self.flush()
        self._request.sentLength = self.written

    def hold(self) -> None:
        """
        What is written from now on is the last: what is small of it, and what
        waits already, waits for the request's C{finish}, which follows at once.
        """
        self._last = self._transport is not None and hasattr(self._request.channel, "hold")

    def _queue(self, data: bytes) -> None:
        """Go the long way, which writes the head before the first bytes."""
        if self._candidate is None:
            self._request.write(data)
            return
        channel: Any = self._request.channel
        # Only a channel of ours can wait with the head, too.
        holds = hasattr(channel, "hold")
        if holds:
            channel.hold()
        self._request.write(data)
        self._chunked = bool(self._request.chunked)
        self._transport = self._candidate
        self._socket = self._candidate.getHandle()
        if holds:
            self._waiting = channel.take()
            self._outbox.add(self)


def _chunk(data: bytes) -> bytes:
    """Frame a chunk."""
    if data is not _last[0]:
        # chunk = chunk-size CRLF chunk-data CRLF          RFC 9112 7.1
        _last[0] = data
        _last[1] = b"%x\r\n%b\r\n" % (len(data), data)
    return _last[1]


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


def isClear(transport: Any) -> bool:
    """Whether a transport's queue can be passed now: it is there, and nothing is in it."""
    return (
        canSendAtOnce(transport)
        and transport.connected
        and not (transport.disconnecting or transport._tempDataBuffer or transport.dataBuffer)
    )


def sendAtOnce(transport: Any, data: bytes) -> None:
    """Send what can be sent before the reactor comes round to the socket; queue the rest."""
    if isClear(transport):
        try:
            sent = transport.getHandle().send(data)
        except OSError:
            # The socket is full; or it is broken, which the transport finds out when it sends this.
            sent = 0
        data = data[sent:]
    if data:
        transport.write(data)
