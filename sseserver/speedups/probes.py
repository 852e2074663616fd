"""
The probes of Twisted's private names: running them, and the surroundings in which Twisted does something in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection
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
        """Keep the factory."""
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


class GivenFactory(Factory):
    """Builds the protocol that it was made with."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, address: object) -> Protocol:
        """See `Factory.buildProtocol`."""
        return self._protocol
