"""
A TCP proxy that cuts connections, as happens to a phone that changes networks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.protocols.portforward import ProxyClient, ProxyClientFactory, ProxyFactory, ProxyServer

#: Place of a cut in an event stream: a number of bytes after its head, or the end of a piece of it.
Place = int | bytes


@dataclass(slots=True)
class Exchange:
    """
    One request through the proxy, and its response.

    Args:
        method: Of the request.
        path: Target of the request, with its query.
        headers: By lower-case name.
        status: Of the response; `None` until its head has arrived.
    """

    method: str
    path: str
    headers: dict[str, str]
    status: int | None = None

    @property
    def streaming(self) -> bool:
        """Whether an `EventSource` sent the request."""
        return self.headers.get("accept") == "text/event-stream"


def parseHead(head: bytes) -> tuple[list[str], dict[str, str]]:
    """Return the words of the first line of a head, and its headers by lower-case name."""
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return first.split(" ", 2), headers


class HeadFinder:
    """
    Finds the heads of HTTP/1.1 messages in the bytes of one direction.

    Args:
        headReceived: Called with the words of each first line and the headers. Returns whether the message can have a
            body.
        untilClose: Whether a message without a length lasts until the connection closes, as a response does.
    """

    def __init__(self, headReceived: Callable[[list[str], dict[str, str]], bool], untilClose: bool) -> None:
        self._headReceived = headReceived
        self._untilClose = untilClose
        #: Bytes that have arrived and are not consumed; while `headReceived` runs, the bytes after the head.
        self.rest = b""
        self._steps = self._messages()
        next(self._steps)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self.rest += data
        self._steps.send(None)

    def _messages(self) -> Generator[None, None, None]:
        while True:
            words, headers = parseHead((yield from self._until(b"\r\n\r\n")))
            if not self._headReceived(words, headers):
                continue
            if headers.get("transfer-encoding", "").lower() == "chunked":
                yield from self._chunks()
            elif "content-length" in headers:
                yield from self._skip(int(headers["content-length"]))
            elif self._untilClose:
                yield from self._skip(None)

    def _chunks(self) -> Generator[None, None, None]:
        while size := int((yield from self._until(b"\r\n")).split(b";")[0], 16):
            yield from self._skip(size + 2)
        while (yield from self._until(b"\r\n")):
            pass

    def _until(self, mark: bytes) -> Generator[None, None, bytes]:
        while mark not in self.rest:
            yield
        found, _, self.rest = self.rest.partition(mark)
        return found

    def _skip(self, size: int | None) -> Generator[None, None, None]:
        while size is None or len(self.rest) < size:
            if size is not None:
                size -= len(self.rest)
            self.rest = b""
            yield
        self.rest = self.rest[size:]


class _ToServer(ProxyClient):
    """The proxy's connection to the server; its input are responses."""

    def connectionMade(self) -> None:
        self._finder = HeadFinder(self._headReceived, untilClose=True)
        self._received = b""
        self._sent = 0
        # Place of the cut of this connection, and the offset that it is counted from.
        self._place: Place | None = self.peer.factory.owner.cutEach
        self._origin = 0
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        self.peer.factory.owner.received += len(data)
        self._finder.feed(data)
        end = self._cutAt()
        super().dataReceived(self._received[self._sent : end])
        self._sent = len(self._received)
        if end is not None:
            # A clean end. A reset could overtake bytes on their way, and the place of the cut would be random.
            self.peer.transport.loseConnection()
            self.transport.abortConnection()

    def _headReceived(self, words: list[str], headers: dict[str, str]) -> bool:
        exchange = self.peer.waiting.pop(0)
        exchange.status = int(words[1])
        cuts = self.peer.factory.owner.cuts
        if headers.get("content-type") == "text/event-stream" and cuts:
            self._place = cuts.pop(0)
            self._origin = len(self._received) - len(self._finder.rest)
        return exchange.method != "HEAD" and exchange.status not in {204, 304}

    def _cutAt(self) -> int | None:
        """Return the offset of the cut in the received bytes; `None` before it is reached."""
        if self._place is None:
            return None
        if isinstance(self._place, int):
            end = self._origin + self._place
            return end if end <= len(self._received) else None
        start = self._received.find(self._place, self._origin)
        return start + len(self._place) if start >= 0 else None


class _ToServerFactory(ProxyClientFactory):
    noisy = False
    protocol = _ToServer


class _FromBrowser(ProxyServer):
    """A connection to the proxy; its input are requests."""

    clientProtocolFactory = _ToServerFactory

    def connectionMade(self) -> None:
        owner = self.factory.owner
        if owner.refusing:
            self.transport.abortConnection()
            return
        self.reactor = owner.reactor
        self.waiting: list[Exchange] = []
        self._finder = HeadFinder(self._headReceived, untilClose=False)
        owner.connections.add(self)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self._finder.feed(data)
        super().dataReceived(data)

    def _headReceived(self, words: list[str], headers: dict[str, str]) -> bool:
        exchange = Exchange(words[0], words[1], headers)
        self.waiting.append(exchange)
        self.factory.owner.exchanges.append(exchange)
        return True

    def connectionLost(self, reason: Any) -> None:
        self.factory.owner.connections.discard(self)
        super().connectionLost(reason)


class _Factory(ProxyFactory):
    noisy = False
    protocol = _FromBrowser


class CuttingProxy:
    """
    A proxy in front of a server that records requests and responses, and cuts connections.

    Args:
        reactor: Listens and connects.
        port: Port of the server on 127.0.0.1.
    """

    def __init__(self, reactor: Any, port: int) -> None:
        self.reactor = reactor
        self._serverPort = port
        #: All requests so far, in order.
        self.exchanges: list[Exchange] = []
        #: Cuts of the next event streams, which each take the first; `None` leaves a stream whole.
        self.cuts: list[Place | None] = []
        #: Bytes. New connections are cut after so many bytes from the server; `None` leaves them whole.
        self.cutEach: int | None = None
        #: Bytes that have come from the server.
        self.received = 0
        #: Whether new connections are reset at once.
        self.refusing = False
        self.connections: set[_FromBrowser] = set()

    def start(self) -> None:
        """Start to listen."""
        factory = _Factory("127.0.0.1", self._serverPort)
        factory.owner = self  # type: ignore[attr-defined]
        self._listening = self.reactor.listenTCP(0, factory, interface="127.0.0.1")

    def stop(self) -> Deferred[None]:
        """Reset all connections and stop listening."""
        self.cut()
        return self._listening.stopListening()

    @property
    def port(self) -> int:
        """Port of the proxy on 127.0.0.1."""
        return self._listening.getHost().port

    @property
    def streams(self) -> list[Exchange]:
        """The requests for event streams."""
        return [exchange for exchange in self.exchanges if exchange.streaming]

    def cut(self) -> None:
        """Reset all open connections on both sides."""
        for connection in list(self.connections):
            if connection.peer is not None:
                connection.peer.transport.abortConnection()
            connection.transport.abortConnection()
