"""
The private names of Twisted, each behind a probe.

The speedups look at state that Twisted does not publish: where a channel is in a request's head, whether a chunk
begins. The functions here do so, and five modules in which nearly every line needs such names: `request`, `headers`,
`transports` (the reactor of epoll), `usual` (requests and channels) and `writequeue` (of a transport). A probe makes
Twisted do something in memory and checks that these functions see it; where one fails, the plain path serves. They run
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from weakref import ref

from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol, HTTPClientParser, Request, TransportProxyProducer
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

from sseserver.speedups.probes import (
    EndingProtocol,
    GivenFactory,
    NoReactor,
    ProbeTransport,
    SilentTLS,
    TakingSocket,
    UnansweredRequest,
    makeConnection,
    probe,
)

#: The attributes that Twisted gives to each connection, private and public: they become slots of `FastChannel`.
CHANNEL_ATTRIBUTES = (
    "_HTTPChannel__first_line", "_HTTPChannel__header", "_buffer",
    "_busyReceiving", "_command", "_handlingRequest", "_networkProducer", "_path",
    "_receivedHeaderCount", "_receivedHeaderSize", "_requestProducer", "_requestProducerStreaming",
    "_savedTimeOut", "_transferDecoder", "_version", "_waitingForTransport", "callLater", "connected",
    "factory", "length", "line_mode", "persistent", "requestFactory", "requests", "site", "timeOut", "transport",
)  # fmt: skip


# The abort of a connection.


def isAborting(transport: Any) -> bool:
    """Return whether a connection was aborted, and its protocol is yet to be told."""
    return bool(transport._aborting)


@probe
def seesAbort() -> bool:
    """Probe `isAborting`: an abort is seen at once."""
    transport = makeConnection(TakingSocket())
    seen = [isAborting(transport)]
    transport.abortConnection()
    seen.append(isAborting(transport))
    return seen == [False, True]


# The end of a TLS connection.


def markLost(transport: Any) -> None:
    """
    Let a TLS transport skip its last read, before its `connectionLost`.

    There is nothing left to read: bytes are decrypted as soon as they come. The read would only fail with an exception
    that refers to itself and to the connection, and keeps both until a collection.
    """
    transport._lostTLSConnection = True


@probe
def skipsLastRead() -> bool:
    """Probe `markLost`: with it `connectionLost` does not read, without it does; the protocol is told both times."""
    seen = []
    for marked in (False, True):
        protocol, security = EndingProtocol(), SilentTLS()
        factory: Any = GivenFactory(protocol)
        clock: Any = NoReactor()
        transport: Any = TLSMemoryBIOFactory(security, True, factory, clock).buildProtocol(None)
        transport.makeConnection(ProbeTransport())
        if marked:
            markLost(transport)
        transport.connectionLost(Failure(ConnectionDone()))
        seen.append((security.reads, protocol.ends))
    return seen == [(1, 1), (0, 1)]


# The input of a channel.


def hasEnoughInput(channel: Any) -> bool:
    """
    Return whether a channel has stopped reading, because it keeps input for the requests after the present one.

    It reads again when the present response is over.
    """
    limit: int = getattr(channel, "_optimisticEagerReadSize", 0)
    return sum(map(len, getattr(channel, "_dataBuffer", ()))) > limit


def _makeChannel() -> Any:
    """Make a channel in memory that does not answer requests."""
    channel = HTTPChannel()
    channel.requestFactory = UnansweredRequest
    channel.makeConnection(ProbeTransport())
    return channel


@probe
def seesInput() -> bool:
    """Probe `hasEnoughInput`: a channel stops reading for the same bytes."""
    channel = _makeChannel()
    channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    seen = []
    for size in (1, 2**20):
        channel.dataReceived(b"x" * size)
        seen.append((hasEnoughInput(channel), channel.transport.paused))
    return seen == [(False, False), (True, True)]


# The head of a request.


def isBetweenRequests(channel: Any) -> bool:
    """Return whether a channel has answered all requests, and has no byte of the next one."""
    return bool(
        channel.line_mode
        and channel.persistent
        and channel._HTTPChannel__first_line == 1
        and not (channel._buffer or channel._busyReceiving or channel.requests or channel.paused)
    )


def receiveRequest(channel: Any, requestLine: Iterable[bytes], readFields: Callable[[Any], bool], body: bytes) -> None:
    """
    Do at once what `LineReceiver.dataReceived` and `HTTPChannel.lineReceived` do line by line, and a decoder of bodies.

    Args:
        channel: An `HTTPChannel` between two requests.
        requestLine: The method, the target and the version.
        readFields: Adds the header fields to the request; false if the channel has refused one.
        body: The bytes that followed the head. The channel reads them after this call.
    """
    channel._busyReceiving = True
    try:
        request = channel.requestFactory(channel, 0)
        channel.requests.append(request)
        channel._command, channel._path, channel._version = requestLine
        if readFields(request):
            channel.allHeadersReceived()
            if channel.length == len(body) > 0 and not channel.transport.disconnecting:
                # As `_IdentityTransferDecoder` does with a body that is complete.
                request.handleContentChunk(body)
                channel.allContentReceived()
                return
            channel._buffer += body
            if channel.length == 0:
                channel.allContentReceived()
            else:
                channel.setRawMode()
    finally:
        channel._busyReceiving = False


def readLine(channel: Any) -> list[bytes]:
    """Return method, target and version of the request that a channel is reading; `-` for what it has not read."""
    return [getattr(channel, name, b"-") for name in ("_command", "_path", "_version")]


def readVersion(channel: Any) -> Any:
    """Return the version of the request whose head a channel has read."""
    return channel._version


def isBlocked(channel: Any) -> bool:
    """Return whether the transport of a channel takes no more bytes for now."""
    return bool(channel._waitingForTransport)


def beginWait(channel: Any, request: object) -> None:
    """
    Do what `HTTPChannel.allContentReceived` does before a request is handled.

    `HTTPChannel.requestDone` ends the wait.

    Args:
        channel: An `HTTPChannel` between two requests.
        request: The request, of which the channel needs `connectionLost` only.
    """
    channel.requests.append(request)
    if channel.timeOut:
        channel._savedTimeOut = channel.setTimeout(None)
    channel._handlingRequest = True
    channel.setRawMode()


def receiveAgain(channel: Any, request: object, data: bytes) -> None:
    """
    End a wait, and receive the bytes of its request as if it had not been.

    Args:
        channel: An `HTTPChannel`.
        request: The request that was given to `beginWait`.
        data: The bytes of the request. Those that came after it follow.
    """
    later, channel._dataBuffer = channel._dataBuffer, []
    channel.requestDone(request)
    HTTPChannel.dataReceived(channel, b"".join((data, *later)))


@probe
def seesWaits() -> bool:
    """
    Probe `isBlocked`, `beginWait` and `receiveAgain`.

    A request that comes during a wait is received after it, also behind one that is received again.
    """
    channel = _makeChannel()
    seen: list[object] = []
    for again in (b"", b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"):
        waiting = Protocol()
        beginWait(channel, waiting)
        channel.dataReceived(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        seen.append(channel.requests == [waiting])
        if again:
            receiveAgain(channel, waiting, again)
        else:
            channel.requestDone(waiting)
        (request,) = channel.requests
        seen.append(request.uri)
        channel.requestDone(request)
    seen.append(isBlocked(channel))
    channel.pauseProducing()
    return [*seen, isBlocked(channel)] == [True, b"/2", True, b"/1", False, True]


class BadRequestHook(HTTPChannel):
    """A channel that answers itself each request that Twisted refuses: Twisted's own answer has no body."""

    __slots__ = ()

    refuseMalformed: Callable[[], None]

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuseMalformed()


def hasInput(channel: Any) -> bool:
    """Return whether a channel has bytes that it has not looked at."""
    return bool(channel._buffer)


# The body of a response, on the client's side.


def connectionOf(transport: Any) -> Any:
    """
    Return the connection below the transport of a response's body.

    Args:
        transport: The one that `IResponse.deliverBody` gave to its protocol.

    Returns:
        The transport of the connection; `None` after the response was complete.
    """
    return getattr(transport, "_producer", transport)


def decoderOf(protocol: Any) -> Any:
    """
    Return the decoder of the chunked body that a connection receives.

    Args:
        protocol: The connection's protocol: twisted.web's client, or an endpoint's wrapper of it.

    Returns:
        The decoder; `None` for a body in another coding, and for any other protocol.
    """
    client = getattr(protocol, "_wrappedProtocol", protocol)
    decoder = getattr(getattr(client, "_parser", None), "bodyDecoder", None)
    # The decoder of a body with a known length has no state.
    return decoder if hasattr(decoder, "state") else None


def isBetweenChunks(decoder: Any) -> bool:
    """Return whether the next byte that a decoder gets is the first of a chunk."""
    return bool(decoder.state == "CHUNK_LENGTH" and not decoder._buffer)


@probe
def seesChunks() -> bool:
    """Probe `connectionOf`, `decoderOf` and `isBetweenChunks`: a response in memory is read byte by byte."""
    client = HTTP11ClientProtocol()
    wrapping = _wrapped(client)
    transport = ProbeTransport()
    wrapping.makeConnection(transport)
    body: Any = Protocol()
    asked = client.request(Request(b"GET", b"/", Headers({b"Host": [b"a"]}), None, persistent=True))
    # A client that has changed may fail the request; then nothing is found below.
    asked.addCallback(lambda response: response.deliverBody(body))
    asked.addErrback(lambda _: None)
    wrapping.dataReceived(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    decoder = decoderOf(wrapping)
    seen = [isBetweenChunks(decoder)]
    for byte in b"2\r\nab\r\n":
        wrapping.dataReceived(bytes([byte]))
        seen.append(isBetweenChunks(decoder))
    found = isinstance(body.transport, TransportProxyProducer) and connectionOf(body.transport) is transport
    wrapping.dataReceived(b"0\r\n\r\n")
    return found and connectionOf(body.transport) is None and seen == [True, *[False] * 6, True]


def _wrapped(client: Protocol) -> Any:
    """Wrap a protocol as the endpoints of Twisted do."""
    reactor, address = NoReactor(), IPv4Address("TCP", "127.0.0.1", 1)
    TCP4ClientEndpoint(reactor, address.host, address.port).connect(GivenFactory(client))
    return reactor.factory.buildProtocol(address)


class ReleasedParser(HTTPClientParser):
    """A parser that releases the decoder at the end of its response. That of chunks keeps a method of the parser."""

    bodyDecoder: Any

    def connectionLost(self, reason: Failure | None = None) -> None:
        """See `HTTPClientParser.connectionLost`. The client calls it at each end."""
        super().connectionLost(reason)
        self.bodyDecoder = None


def releaseParser(client: Any) -> None:
    """Let the parser of the response to the request that a client has just sent be freed at its end."""
    parser = getattr(client, "_parser", None)
    if type(parser) is HTTPClientParser and releasesParser():
        parser.__class__ = ReleasedParser


@probe
def releasesParser() -> bool:
    """Probe `ReleasedParser`: the parser of a response in chunks is freed, and the end of the body is told."""
    client, body = HTTP11ClientProtocol(), EndingProtocol()
    client.makeConnection(ProbeTransport())
    asked = client.request(Request(b"GET", b"/", Headers({b"Host": [b"a"]}), None, persistent=True))
    asked.addCallbacks(lambda response: response.deliverBody(body), lambda _: None)
    client._parser.__class__ = ReleasedParser
    parser = ref(client._parser)
    client.dataReceived(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    return parser() is None and body.ends == 1
