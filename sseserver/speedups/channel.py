"""
The fast channel of a site: small in memory, heads read and written in one piece.

twisted.web is made for requests that are over in milliseconds. The request of a viewer lasts for
hours, and there are many: the memory of each counts, and so does the price of a short one.
`FastChannel`, and `FastRequest` in `sseserver.speedups.request`, have slots for the attributes of
Twisted's own, and drop the parts that an event stream never needs. Everything that is not overridden
here is Twisted's. `sseserver.web.site` chooses between them and Twisted's own.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any, Protocol

from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import Server
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import providedBy
from zope.interface.declarations import Provides

from sseserver.speedups.body import KEPT_HEAD, FastBody
from sseserver.speedups.direct import DirectWay
from sseserver.speedups.heads import SHORT_HEAD, Head, readHead
from sseserver.speedups.privates import (
    CHANNEL_ATTRIBUTES,
    hasInput,
    isBetweenRequests,
    markLost,
    readVersion,
    receiveRequest,
    skipsLastRead,
)
from sseserver.speedups.probes import NoReactor, ProbeTransport, probe
from sseserver.speedups.request import FastRequest, LaterInput, listDefaults
from sseserver.speedups.sendbuffer import canBypassQueue
from sseserver.speedups.tlsbody import makeSendBuffer
from sseserver.speedups.transports import NAME, FastServer, readFirst
from sseserver.speedups.usual import fillChannel, receivePlain
from sseserver.timing.fairturns import FairTurns
from sseserver.timing.nextturn import NextTurn
from sseserver.timing.ticker import IDLE, Tick


class ClosingSite(Protocol):
    """
    The site of a channel.

    Attributes:
        closing: Closes its connections, those of a turn together.
        firstReads: Limits the time of a turn in which requests of new connections are read.
    """

    closing: NextTurn
    firstReads: FairTurns


class FastChannel(LaterInput):
    """
    One connection of a site, a `ClosingSite`.

    The slots are the attributes that Twisted gives to every connection. If a later release has
    others, they are kept in a dictionary: that works, and takes more memory.

    Attributes:
        direct: Answers small requests without a request object, if the site has set it.
        sendBuffer: Owns the bytes of this connection that are written and not sent. It is also the
            body of a response that a producer writes.
    """

    __slots__ = (*CHANNEL_ATTRIBUTES, "_host", "_peer", "direct", "later", "sendBuffer")

    sendBuffer: FastBody
    transport: Any
    site: Any

    #: Header fields of answers that have no `Cross-Origin-Resource-Policy` of their own, as whole lines.
    protection = b""

    def __init__(self) -> None:
        self.direct: DirectWay | None = None
        self._host = self._peer = self.later = None
        if fillsChannels():
            fillChannel(self)
        else:
            self.fill()

    def fill(self) -> None:
        """Give each attribute its default in Twisted's own way."""
        for name, value in _DEFAULTS:
            setattr(self, name, value)
        super().__init__()

    def makeConnection(self, transport: Any) -> None:
        """
        See `HTTPChannel.makeConnection`.

        Most clients send a request as soon as they are connected. It is read at once if it is there, without another
        turn of the reactor.
        """
        self.connected = 1
        self.transport = transport
        # A transport with another protocol hands its connection over, with bytes that come first.
        isNew = getattr(transport, "protocol", None) is self
        if isNew and type(transport) is FastServer:
            # A transport of another kind gets the same in `connectionMade`.
            self.sendBuffer = FastBody(transport)
            self._networkProducer = transport
            transport.producer, transport.streamingProducer = self, True
            self.awaitHead()
            if self.site.firstReads.hasTime():
                readFirst(transport)
            self.beginHead()
            return
        self.connectionMade()
        if isNew and canBypassQueue(transport) and self.site.firstReads.hasTime():
            readFirst(transport)

    def connectionMade(self) -> None:
        """See `HTTPChannel.connectionMade`."""
        transport = self.transport
        self.sendBuffer = makeSendBuffer(transport)
        _shareNames(getattr(transport, "transport", transport))
        if isinstance(transport, TLSMemoryBIOProtocol):
            _attendTLS(transport)
        super().connectionMade()

    def awaitHead(self) -> None:
        """Wait for the first request. The bytes that are there are read at once: see `beginHead`."""

    def beginHead(self) -> None:
        """Begin the time limit of the first request, if there is none and the request is still to be read."""

    def dataReceived(self, data: bytes) -> None:
        """See `HTTPChannel.dataReceived`."""
        if self.direct is not None and data.startswith(b"POST ") and self.direct.receive(self, data):
            return
        if not (readsHeads() and self.receiveHead(data)):
            self.beginHead()
            super().dataReceived(data)

    def receiveHead(self, data: bytes) -> bool:
        """
        Receive bytes that begin with a whole head, and read the head as one piece.

        Returns:
            Whether they do; if not, nothing was read.
        """
        if not isBetweenRequests(self):
            return False
        size = data.find(b"\r\n\r\n", 0, SHORT_HEAD) + 4
        head = readHead(data[:size])
        if head is None:
            return False
        if head.isPlain and getattr(self.requestFactory, "isShort", False):
            receivePlain(self, head, size > KEPT_HEAD, data[size:])
        else:
            receiveRequest(self, head.requestLine, partial(self._takeFields, head, size), data[size:])
        if hasInput(self) and not self.transport.disconnecting:
            super().dataReceived(b"")
        return True

    def _takeFields(self, head: Head, size: int, request: FastRequest) -> bool:
        """
        Give a request the header fields of its head, which has this size.

        Returns:
            Whether Twisted takes them all.
        """
        request.hasLargeHead = size > KEPT_HEAD
        request.requestHeaders = head.makeHeaders()
        return all(map(self.headerReceived, head.checked))

    def allHeadersReceived(self) -> None:
        """See `HTTPChannel.allHeadersReceived`."""
        request: Any = self.requests[-1]
        kept = request.readHead(readVersion(self)) if isinstance(request, FastRequest) else None
        if kept is None:
            super().allHeadersReceived()
        else:
            self.persistent = kept
            request.gotLength(self.length)

    def getPeer(self) -> Any:
        """See `HTTPChannel.getPeer`. Each request asks; the transport is asked once."""
        if self._peer is None:
            self._peer = self.transport.getPeer()
        return self._peer

    def forgetPeer(self, address: Any) -> bool:
        """
        Forget the address of the client, if the transport can make it again.

        Args:
            address: The address.

        Returns:
            Whether it can. It knows nothing of an address that a proxy has named.
        """
        connection = getattr(self.transport, "transport", self.transport)
        known = getattr(connection, "client", None) or ()
        if address is not self._peer or known[:2] != (getattr(address, "host", None), getattr(address, "port", None)):
            return False
        self._peer = None
        # A list of this size, without room for more.
        self.requests = [*self.requests]
        return True

    def getHost(self) -> Any:
        """See `HTTPChannel.getHost`."""
        if self._host is None:
            self._host = self.transport.getHost()
        return self._host

    def write(self, data: bytes) -> None:
        """See `HTTPChannel.write`."""
        self.sendBuffer.put(data)

    def writeSequence(self, iovec: Any) -> None:
        """See `HTTPChannel.writeSequence`."""
        self.sendBuffer.put(b"".join(iovec))

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """See `HTTPChannel.writeHeaders`. There is no `Server`, which Twisted sets with its version."""
        protection = b"" if headers.hasHeader(b"Cross-Origin-Resource-Policy") else self.protection
        pairs = [(name, value) for name, values in headers.getAllRawHeaders() if name != b"Server" for value in values]
        fields = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
        self.sendBuffer.put(b"%b %b %b\r\n%b%b\r\n" % (version, code, reason, fields, protection))

    def requestDone(self, request: Any) -> None:
        """See `HTTPChannel.requestDone`: the next request begins, or the connection ends."""
        self.sendBuffer.release()
        if self.persistent or self.requests[:1] != [request]:
            super().requestDone(request)
        else:
            del self.requests[0]
            self.loseConnection()

    def loseConnection(self) -> None:
        """
        See `HTTPChannel.loseConnection`.

        If the last response is with the kernel, the connection is closed in the next turn, without
        waiting until the socket can be written to.
        """
        self.sendBuffer.release()
        transport = self.transport
        if not self.persistent and not self.requests and self.sendBuffer.isEmpty():
            if type(transport) is FastServer:
                transport.producer = None
            else:
                transport.unregisterProducer()
            # The steps of `abortConnection`, but in good order.
            transport.disconnecting = True
            transport.stopReading()
            self.site.closing.put(_Closing(transport))
            return
        super().loseConnection()


def _shareNames(connection: Any) -> None:
    """Give a TCP connection names for logs that it shares with the others. Its own would be kept with each viewer."""
    if type(connection) is Server:
        connection.logstr = connection.repstr = NAME


class _Closing(Tick):
    """
    The close of a connection that has sent everything, in the next turn.

    Args:
        transport: Its transport, which reads no more.
    """

    __slots__ = ("_transport",)

    def __init__(self, transport: Any) -> None:
        self.slot = IDLE
        self._transport = transport

    def fire(self, now: float) -> None:
        """Close it."""
        self._transport.connectionLost(connectionDone)


def _attendTLS(transport: Any) -> None:
    """
    Let a TLS transport leave nothing to the garbage collector.

    Twisted declares the interfaces of the transport below for each one anew, unless a declaration is kept.
    """
    kind: Any = type(transport)
    _keepDeclarations(kind, providedBy(transport.transport))
    if skipsLastRead():
        transport.connectionLost = partial(_loseTLS, transport)


@cache
def _keepDeclarations(kind: Any, below: Any) -> list[Any]:
    """Return the declarations of a kind of TLS transport, and keep them."""
    return [Provides(kind, interface) for interface in below]


def _loseTLS(transport: Any, reason: Failure) -> None:
    """Tell a TLS transport of the loss of its connection."""
    del transport.connectionLost
    markLost(transport)
    transport.connectionLost(reason)


_DEFAULTS = listDefaults(FastChannel.__slots__, HTTPChannel)


@probe
def fillsChannels() -> bool:
    """Probe `fillChannel`: with it a channel has the same attributes as without."""
    seen = []
    for fill in (FastChannel.fill, fillChannel):
        channel: Any = FastChannel.__new__(FastChannel)
        channel.later = None
        fill(channel)
        seen.append({name: getattr(channel, name, "") for name in (*CHANNEL_ATTRIBUTES, *vars(channel))})
    return seen[0] == seen[1]


# The probe of `FastChannel.receiveHead`.


class _Counting(FastChannel):
    """
    A channel that counts the heads that it reads in one piece.

    Attributes:
        heads: Number of these heads.
    """

    heads = 0

    def dataReceived(self, data: bytes) -> None:
        if self.receiveHead(data):
            self.heads += 1
        else:
            HTTPChannel.dataReceived(self, data)


class _Answered(http.Request):
    """A request that is noted and answered."""

    def process(self) -> None:
        channel: Any = self.channel
        fields = list(self.requestHeaders.getAllRawHeaders())
        assert self.content is not None
        channel.seen.append((self.method, self.uri, self.clientproto, fields, self.content.read()))
        self.write(b"answer")
        self.finish()


class _AnsweredShort(FastRequest):
    """The same as a request that goes the short way."""

    isShort = True
    process = _Answered.process


#: Requests of the probe: with a body and another request behind it, and one on its own.
_CANNED = (
    b"POST /a?b HTTP/1.1\r\nHost: a\r\nX-B:  c \r\nContent-Length: 2\r\n\r\nxyGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /c HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /b HTTP/1.0\r\nHost: a\r\n\r\n",
)


def _exchange(channel: Any, factory: Any) -> tuple[list[object], bytes]:
    """Send the canned requests to a channel; return the requests that it saw, and its bytes."""
    channel.seen = []
    channel.site = Site(Resource(), reactor=NoReactor(), parsePOSTFormSubmission=False)
    channel.requestFactory = factory
    transport = ProbeTransport()
    channel.makeConnection(transport)
    for data in _CANNED:
        channel.dataReceived(data)
    return channel.seen, transport.written


@probe
def readsHeads() -> bool:
    """Probe `FastChannel.receiveHead`: with it, canned requests have the same outcome as without."""
    for factory in (_Answered, _AnsweredShort):
        counting = _Counting()
        if _exchange(counting, factory) != _exchange(HTTPChannel(), factory) or counting.heads != len(_CANNED):
            return False
    return True
