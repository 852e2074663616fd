"""
The connections of a site: what they do while a client does not take what it was sent.

Both kinds of channels, plain and fast, derive from `ConnectionLimits`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from sseserver.delivery.stall import measureTaken
from sseserver.delivery.tail import Tail, isConnected

#: Seconds. A peer that has everything and does not close the connection, as TLS demands it, is cut after this time.
CLOSE_GRACE = 5.0


#: Bytes. A client that sends more after a refusal is cut.
DROPPED = 1 << 20


class Dropping:
    """
    Drops all bytes of a connection, and cuts it after `DROPPED` bytes.

    Args:
        transport: The transport of the connection.
    """

    __slots__ = ("_left", "_transport")

    def __init__(self, transport: Any) -> None:
        self._left = DROPPED
        self._transport = transport

    def __call__(self, data: bytes) -> bool:
        """Drop bytes. Twisted must look at no more of them: return true."""
        self._left -= len(data)
        if self._left < 0:
            self._transport.abortConnection()
        return True


class ConnectionLimits(HTTPChannel):
    """
    A channel whose client cannot make it keep more than it takes.

    A finished response that the transport has no room for is *held*: the next request on the connection begins when it
    has been sent. A connection that is being closed, or whose response is held, is cut by the stall limit of its site.
    An idle connection is not closed while its client still takes bytes.
    """

    __slots__ = ()

    transport: Any
    site: Any

    # Defaults of attributes that few channels ever have: those of a `FastChannel` have no slot.
    _full = False
    _held: Any = None
    _tail: Tail | None = None
    _taken: object = None

    def pauseProducing(self) -> None:
        """See `HTTPChannel.pauseProducing`: the transport is full."""
        self._full = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """See `HTTPChannel.resumeProducing`: the transport is empty."""
        self._full = False
        super().resumeProducing()
        held, self._held = self._held, None
        if held is not None:
            self._stopWatch()
            self.requestDone(held)

    def requestDone(self, request: Any) -> None:
        """See `HTTPChannel.requestDone`: begin the next request, but not before there is room for its response."""
        if self._full and self.persistent:
            self._held = request
            self.transport.pauseProducing()
            self._watch(None)
        else:
            super().requestDone(request)

    def timeoutConnection(self) -> None:
        """See `HTTPChannel.timeoutConnection`: close an idle connection, unless its client still takes bytes."""
        taken = measureTaken(self.transport, 0)
        if taken is None or taken == self._taken:
            super().timeoutConnection()
        else:
            self._taken = taken
            self.setTimeout(self.site.timeOut)

    def loseConnection(self) -> None:
        """See `HTTPChannel.loseConnection`: close the connection when everything is sent."""
        super().loseConnection()
        if isConnected(self.transport):
            self._watch(CLOSE_GRACE)

    def linger(self) -> None:
        """
        Close the connection when everything is sent, and drop what the client still sends.

        A socket that is closed with bytes unread is reset, and the client may lose the answer.
        """
        drop: Any = Dropping(self.transport)
        self.dataReceived = self.lineReceived = self.rawDataReceived = drop  # type: ignore[method-assign]
        isTLS = isinstance(self.transport, TLSMemoryBIOProtocol)
        canEnd = not isTLS and IHalfCloseableDescriptor.providedBy(self.transport)
        if canEnd:
            self.transport.unregisterProducer()
            self.transport.resumeProducing()
            self.transport.loseWriteConnection()
            self._watch(CLOSE_GRACE)
        else:
            # TLS reads until the client closes.
            self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `HTTPChannel.connectionLost`."""
        if self._tail is not None:
            self._stopWatch()
        if self._held is not None:
            # It is finished, and does not care.
            self.requests.remove(self._held)
            self._held = None
        super().connectionLost(reason)
        if isinstance(self.transport, TLSMemoryBIOProtocol):
            # It keeps its producer, which is this channel.
            self.transport.unregisterProducer()

    def _watch(self, grace: float | None) -> None:
        self._stopWatch()
        self._tail = Tail(self.transport, self.site.reactor, self.site.stall, self._forgetTail, grace)

    def _stopWatch(self) -> None:
        if self._tail is not None:
            self._tail.stop()
            self._tail = None

    def _forgetTail(self, tail: Tail) -> None:
        self._tail = None
