"""
The probes of Twisted's private names: how they are run, and the fakes with which Twisted does something in memory.

`privates`, `channel`, `request` and `headers` have the probes themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import Any

from OpenSSL.SSL import WantReadError
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from twisted.web.http import Request
from zope.interface import implementer


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


def makeConnection(pretended: Any) -> Any:
    """Make a TCP connection over a pretended socket."""
    reactor: Any = NoReactor()
    transport = Connection(pretended, Protocol(), reactor)
    transport.connected = True
    return transport


@implementer(IPushProducer)
class ProbeTransport:
    """
    A transport of the probes.

    Attributes:
        written: The bytes that were written to it.
        paused: Whether it reads nothing.
    """

    disconnecting = False

    def __init__(self) -> None:
        self.written = b""
        self.paused = False

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
        self.paused = True

    def resumeProducing(self) -> None:
        """See `IPushProducer.resumeProducing`."""
        self.paused = False

    stopProducing = pauseProducing


class UnansweredRequest(Request):
    """A request without an answer."""

    def process(self) -> None:
        """Leave it unanswered."""


class NoReactor:
    """
    A reactor that makes no connection, and keeps the factory that was passed to it.

    Attributes:
        factory: The factory.
    """

    factory: Any

    def connectTCP(self, host: str, port: int, factory: Any, **keywords: object) -> None:
        """See `IReactorTCP.connectTCP`. Keeps the factory."""
        self.factory = factory

    def callLater(self, delay: float, call: object, *arguments: object) -> None:
        """See `IReactorTime.callLater`."""

    def addWriter(self, writer: object) -> None:
        """See `IReactorFDSet.addWriter`."""

    addReader = removeReader = removeWriter = addWriter


class TakingSocket:
    """
    A socket that takes some bytes of each send.

    Attributes:
        room: Bytes. The limit of the next send.
    """

    room = 0

    def send(self, data: bytes) -> int:
        """See `socket.send`."""
        return min(self.room, len(data))

    def setblocking(self, blocking: bool) -> None:
        """See `socket.setblocking`."""

    def fileno(self) -> int:
        """See `socket.fileno`."""
        return -1


class EndingProtocol(Protocol):
    """
    A protocol that counts the ends of its connection.

    Attributes:
        ends: Number of them.
    """

    ends = 0

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `IProtocol.connectionLost`."""
        self.ends += 1


@implementer(IOpenSSLClientConnectionCreator)
class SilentTLS:
    """
    Security of a TLS connection whose handshake never ends.

    Attributes:
        reads: Number of the attempts to read.
    """

    reads = 0

    def clientConnectionForTLS(self, transport: object) -> Any:
        """See `IOpenSSLClientConnectionCreator.clientConnectionForTLS`."""
        return self

    def recv(self, size: int) -> bytes:
        """See `OpenSSL.SSL.Connection.recv`."""
        self.reads += 1
        raise WantReadError

    def do_handshake(self, *size: int) -> Any:
        """Wait for bytes of the peer."""
        raise WantReadError

    bio_read = do_handshake

    def set_connect_state(self) -> None:
        """See `OpenSSL.SSL.Connection.set_connect_state`."""

    def set_app_data(self, data: object) -> None:
        """See `OpenSSL.SSL.Connection.set_app_data`."""

    def bio_shutdown(self) -> None:
        """See `OpenSSL.SSL.Connection.bio_shutdown`."""


class GivenFactory(Factory):
    """Builds the protocol that it was made with."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: object) -> Protocol:
        """See `Factory.buildProtocol`."""
        return self._protocol
