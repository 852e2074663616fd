"""
The private names of Twisted, all in one place, each behind a probe.

The speedups look at state that Twisted does not publish: whether a transport's write queue is
empty, where a channel is in a request's head, whether a chunk begins. The functions here are the
only code that does so. A probe makes Twisted do something in memory and checks that these functions
see it; where one fails, because a release of Twisted has other names, the plain implementation
serves. The probes run once, at first use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection
from twisted.web._newclient import HTTP11ClientProtocol, Request, TransportProxyProducer
from twisted.web.http_headers import Headers

#: The attributes that Twisted gives to each connection, private and public: they become slots of
#: `FastChannel`.
CHANNEL_ATTRIBUTES = (
    "_HTTPChannel__first_line",
    "_HTTPChannel__header",
    "_TimeoutMixin__timeoutCall",
    "_buffer",
    "_busyReceiving",
    "_command",
    "_dataBuffer",
    "_handlingRequest",
    "_networkProducer",
    "_path",
    "_receivedHeaderCount",
    "_receivedHeaderSize",
    "_requestProducer",
    "_requestProducerStreaming",
    "_savedTimeOut",
    "_transferDecoder",
    "_version",
    "_waitingForTransport",
    "callLater",
    "connected",
    "factory",
    "length",
    "line_mode",
    "persistent",
    "requestFactory",
    "requests",
    "site",
    "timeOut",
    "transport",
)

#: The same of each request: they become slots of `FastRequest`.
REQUEST_ATTRIBUTES = (
    "_adapterCache",
    "_disconnected",
    "_parsePOSTFormSubmission",
    "args",
    "channel",
    "chunked",
    "client",
    "clientproto",
    "content",
    "cookies",
    "finished",
    "host",
    "method",
    "notifications",
    "path",
    "postpath",
    "prepath",
    "producer",
    "queued",
    "received_cookies",
    "requestHeaders",
    "responseHeaders",
    "sentLength",
    "site",
    "sitepath",
    "startedWriting",
    "streamingProducer",
    "transport",
    "uri",
)


def probe(look: Callable[[], bool]) -> Callable[[], bool]:
    """Make a probe of a function: run it once, and take any exception for a failure."""

    @cache
    @wraps(look)
    def succeeds() -> bool:
        try:
            return look()
        except Exception:
            # Whatever a changed Twisted raises, the plain path serves.
            return False

    return succeeds


# The write queue of a transport.


def isQueueEmpty(transport: Any) -> bool:
    """Return whether a connection has sent everything that was written to it."""
    # Written since the last send; and left over from it.
    return not (transport._tempDataBuffer or transport.dataBuffer)


def countQueued(transport: Any) -> int:
    """
    Count the bytes in the write queue of a connection.

    Without the private part of the queue, these are the bytes that the socket did not take at the
    last send.
    """
    written: int = sum(map(len, transport._tempDataBuffer)) if seesQueue() else 0
    return written + len(transport.dataBuffer) - int(transport.offset)


@probe
def seesQueue() -> bool:
    """
    Probe `isQueueEmpty` and `countQueued`.

    A write fills the queue, half a send leaves it filled, a whole one empties it.
    """
    taking = _TakingSocket()
    transport = _connection(taking)
    seen = [isQueueEmpty(transport)]
    transport.write(b"12")
    seen.append(isQueueEmpty(transport))
    for taking.room in (1, 1):
        transport.doWrite()
        seen.append(isQueueEmpty(transport))
    return seen == [True, False, False, True]


# The abort of a connection.


def isAborting(transport: Any) -> bool:
    """Return whether a connection was aborted, and its protocol is yet to be told."""
    return bool(transport._aborting)


@probe
def seesAbort() -> bool:
    """Probe `isAborting`: an abort is seen at once."""
    transport = _connection(_TakingSocket())
    seen = [isAborting(transport)]
    transport.abortConnection()
    seen.append(isAborting(transport))
    return seen == [False, True]


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
    Do at once what `LineReceiver.dataReceived` and `HTTPChannel.lineReceived` do line by line.

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
            channel._buffer += body
            if channel.length == 0:
                channel.allContentReceived()
            else:
                channel.setRawMode()
    finally:
        channel._busyReceiving = False


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
    """
    Probe `connectionOf`, `decoderOf` and `isBetweenChunks`.

    A response in memory is read byte by byte.
    """
    client = HTTP11ClientProtocol()
    wrapping = _wrapped(client)
    transport = ProbeTransport()
    wrapping.makeConnection(transport)
    body: Any = Protocol()
    asked = client.request(Request(b"GET", b"/", Headers({b"Host": [b"a"]}), None, persistent=True))
    # A client that has changed may fail the request; then nothing is found below.
    asked.addCallback(lambda response: response.deliverBody(body))
    asked.addErrback(_ignore)
    wrapping.dataReceived(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    decoder = decoderOf(wrapping)
    seen = [isBetweenChunks(decoder)]
    for byte in b"2\r\nab\r\n":
        wrapping.dataReceived(bytes([byte]))
        seen.append(isBetweenChunks(decoder))
    found = isinstance(body.transport, TransportProxyProducer) and connectionOf(body.transport) is transport
    wrapping.dataReceived(b"0\r\n\r\n")
    return found and connectionOf(body.transport) is None and seen == [True, *[False] * 6, True]


def _ignore(failure: object) -> None:
    """Ignore a failure."""


def _wrapped(client: Protocol) -> Any:
    """Wrap a protocol as the endpoints of Twisted do."""
    reactor = _NoReactor()
    TCP4ClientEndpoint(reactor, "127.0.0.1", 1).connect(_Given(client))
    return reactor.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))


# The surroundings of the probes.


def _connection(pretended: Any) -> Any:
    """Make a TCP connection over a pretended socket."""
    reactor: Any = _NoReactor()
    transport = Connection(pretended, Protocol(), reactor)
    transport.connected = True
    return transport


class ProbeTransport:
    """
    A transport of the probes.

    Attributes:
        written: The bytes that were written to it.
    """

    disconnecting = False

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        """See `ITransport.write`."""
        self.written += data

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """See `ITransport.writeSequence`."""
        self.written += b"".join(data)

    def loseConnection(self) -> None:
        """See `ITransport.loseConnection`."""
        self.disconnecting = True

    def getPeer(self) -> IPv4Address:
        """See `ITransport.getPeer`."""
        return IPv4Address("TCP", "127.0.0.1", 1)

    getHost = getPeer

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """See `IConsumer.registerProducer`."""

    def unregisterProducer(self) -> None:
        """See `IConsumer.unregisterProducer`."""

    def pauseProducing(self) -> None:
        """See `IPushProducer.pauseProducing`."""

    resumeProducing = stopProducing = pauseProducing


class _NoReactor:
    """
    A reactor that makes no connection, and keeps the factory that was passed to it.

    Attributes:
        factory: The factory.
    """

    factory: Any

    def connectTCP(self, host: str, port: int, factory: Any, **keywords: object) -> None:
        self.factory = factory

    def callLater(self, delay: float, call: object, *arguments: object) -> None:
        pass

    def addWriter(self, writer: object) -> None:
        pass

    addReader = removeReader = removeWriter = addWriter


class _TakingSocket:
    """
    A socket that takes some bytes of each send.

    Attributes:
        room: Bytes. The limit of the next send.
    """

    room = 0

    def send(self, data: bytes) -> int:
        return min(self.room, len(data))

    def setblocking(self, blocking: bool) -> None:
        pass

    def fileno(self) -> int:
        return -1


class _Given(Factory):
    """Builds the protocol that it was made with."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: object) -> Protocol:
        return self._protocol
