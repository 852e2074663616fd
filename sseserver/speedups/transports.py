"""
Connections that a port accepts in fewer steps than Twisted's, and that begin and end in fewer.

Twisted takes sixty calls of Python to accept a connection, to let epoll watch it and to close it, for one that lives
half a millisecond a sixth of its time. `FastPort` and `FastServer` do the same in ten. Everything that is not
overridden here is Twisted's, and so is all that goes wrong.

Like `sseserver.speedups.privates`, this module uses private names of Twisted, behind a probe.
`sseserver.delivery.socketoptions` lets the ports of `twistd sseserver` use it.
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from typing import Any, cast

from twisted.internet.address import IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.posixbase import _ContinuousPolling
from twisted.internet.tcp import Port, Server
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.speedups.probes import EndingProtocol, TakingSocket, probe
from sseserver.speedups.writequeue import isAwaitingRoom, resumesProducers

log = Logger(__name__)

#: Name of a connection in Twisted's log. Connections share it: their own would be kept with each viewer.
NAME = "HTTP"

#: Number of connections that are accepted in a turn at most, once that many are waiting.
_MOST = 100

#: Number of parts of an address of IPv4.
_IPV4 = 2

#: epoll's event for a descriptor that can be read; other systems have no such reactor.
_IN = getattr(select, "EPOLLIN", 0)


class FastServer(Server):
    """A connection of a `FastPort`, whose reactor is Twisted's epoll reactor."""

    def __init__(
        self, sock: Any, protocol: IProtocol, client: tuple[Any, ...], server: Port, sessionno: int, reactor: Any
    ) -> None:
        self.reactor = reactor
        self._tempDataBuffer = []
        self._tempDataLen = 0
        self.socket = sock
        sock.setblocking(False)
        self.fileno = sock.fileno
        self.protocol = protocol
        if len(client) != _IPV4:
            self._addressType = IPv6Address
        self.server = server
        self.client = client
        self.sessionno = sessionno
        self.hostname = client[0]
        self.logstr = self.repstr = NAME
        self.startReading()
        self.connected = 1

    def doRead(self) -> Any:
        """See `Connection.doRead`."""
        try:
            data = self.socket.recv(self.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def doWrite(self) -> Any:
        """See `FileDescriptor.doWrite`. A producer that waits for room is resumed without a `send` of nothing."""
        if isAwaitingRoom(self):
            self.stopWriting()
            self.producerPaused = False
            cast(Any, self.producer).resumeProducing()
            return None
        return super().doWrite()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See `ITCPTransport.setTcpNoDelay`. The socket has the option from its port."""
        if not enabled:
            super().setTcpNoDelay(enabled)

    def startReading(self) -> None:
        """See `FileDescriptor.startReading`. Does the work of `EPollReactor.addReader`."""
        reactor: Any = self.reactor
        descriptor = self.fileno()
        if descriptor in reactor._reads:
            return
        if descriptor in reactor._writes:
            reactor.addReader(self)
            return
        reactor._poller.register(descriptor, _IN)
        reactor._reads.add(descriptor)
        reactor._selectables[descriptor] = self

    def stopReading(self) -> None:
        """See `FileDescriptor.stopReading`. Does the work of `EPollReactor.removeReader`."""
        reactor: Any = self.reactor
        descriptor = self.fileno()
        if descriptor not in reactor._reads:
            return
        if descriptor in reactor._writes:
            reactor.removeReader(self)
            return
        del reactor._selectables[descriptor]
        reactor._poller.unregister(descriptor)
        reactor._reads.discard(descriptor)

    def connectionLost(self, reason: Failure) -> None:
        """
        See `Connection.connectionLost`.

        Without `shutdown`: nobody else has the descriptor, so `close` ends the connection.
        """
        if self.disconnected or reason.type is ConnectionAborted or self.TLS or self.fileno() < 0:
            super().connectionLost(reason)
            return
        self.disconnected = 1
        self.connected = 0
        producer = self.producer
        if producer is not None:
            producer.stopProducing()
            self.producer = None
        self.stopReading()
        if self.fileno() in cast(Any, self.reactor)._writes:
            self.stopWriting()
        with suppress(OSError):
            self.socket.close()
        protocol = self.protocol
        del self.protocol
        del self.socket
        del self.fileno
        protocol.connectionLost(reason)


class FastPort(Port):
    """
    A port that accepts connections in fewer steps. Errors are left to Twisted, which meets them again.

    Attributes:
        isTuned: Whether its socket has the options of viewers, so that its connections have them, too.
    """

    isTuned = False
    # The host of the last connection. Those of a proxy have the same one, and share the string.
    _host = ""
    transport = FastServer
    socket: Any
    factory: Any

    def doRead(self) -> None:
        """See `Port.doRead`."""
        limit, accepted = self.numberAccepts, 0
        while accepted < limit:
            try:
                # `socket.accept` makes an object of Python around the one in C, and looks up the kind of both.
                descriptor, address = self.socket._accept()
            except BlockingIOError:
                # Nobody else waits. Next time, look for no more than there were.
                self.numberAccepts = max(1, accepted)
                return
            except OSError:
                super().doRead()
                return
            accepted += 1
            try:
                self._begin(descriptor, address)
            except BaseException:
                log.failure("A connection could not be accepted")
            if not self.connected:
                return
        self.numberAccepts = min(limit * 2, _MOST)

    def _begin(self, descriptor: int, address: Any) -> None:
        """Begin a connection that was accepted."""
        handle = socket.SocketType(self.addressFamily, socket.SOCK_STREAM, 0, descriptor)
        if len(address) > _IPV4:
            # As Twisted does: with the scope of a local address.
            host, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
            address = (host, *address[1:])
        if address[0] == self._host:
            address = (self._host, *address[1:])
        else:
            self._host = address[0]
        protocol: Any = None
        try:
            protocol = self.factory.buildProtocol(self._addressType("TCP", *address))
        finally:
            if protocol is None:
                handle.close()
        if protocol is None:
            return
        number = self.sessionno
        self.sessionno = number + 1
        protocol.makeConnection(FastServer(handle, protocol, address, self, number, self.reactor))


def readFirst(transport: Any) -> None:
    """Read the bytes that a new connection has. If it has ended, the reactor will find out."""
    try:
        transport.doRead()
    except BaseException:
        # As the reactor does.
        log.failure("A new connection failed")
        transport.connectionLost(Failure())


def quicken(port: Any) -> None:
    """
    Let a port accept connections in fewer steps, if it is one of TCP on Twisted's epoll reactor.

    On Linux, which alone has that reactor, its connections inherit the options of its socket.

    Args:
        port: A port that listens.
    """
    if (
        type(port) is Port
        and port.socket.family in {socket.AF_INET, socket.AF_INET6}
        and hasattr(port.socket, "_accept")
        and _isEpoll(port.reactor)
        and managesReads()
        and resumesProducers()
    ):
        port.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port.__class__ = FastPort


def _isEpoll(reactor: Any) -> bool:
    """Return whether a reactor is Twisted's epoll reactor."""
    # Some systems have no epoll, and an embedder has chosen another reactor.
    kind = type(reactor)
    return kind.__module__ == "twisted.internet.epollreactor" and kind.__name__ == "EPollReactor"


class _Handle(TakingSocket):
    """A socket with a descriptor."""

    def fileno(self) -> int:
        """See `socket.fileno`."""
        return 5

    def close(self, *_: object) -> None:
        """See `socket.close`."""

    shutdown = close


class _Poller:
    """
    The epoll object of the probe.

    Attributes:
        asked: The arguments of its calls.
    """

    def __init__(self) -> None:
        self.asked: list[object] = []

    def register(self, *asked: int) -> None:
        """See `select.epoll.register`."""
        self.asked.append(asked)

    modify = unregister = register


def _operate(kind: type[Server]) -> list[object]:
    """Begin connections of a kind, let them read and write, and end them; return the effects."""
    from twisted.internet.epollreactor import EPollReactor  # noqa: PLC0415  (some systems have no epoll)

    seen: list[object] = []
    for writes in (False, True):
        reactor: Any = EPollReactor.__new__(EPollReactor)
        reactor._poller, reactor._continuousPolling = _Poller(), _ContinuousPolling(reactor)
        reactor._reads, reactor._writes, reactor._selectables = set(), set(), {}
        protocol, handle = EndingProtocol(), cast(Any, _Handle())
        transport: Any = kind(handle, protocol, ("127.0.0.1", 1), cast(Any, None), 1, reactor)
        seen.append(sorted(vars(transport)))
        if writes:
            transport.startWriting()
        for operate in (transport.startReading, transport.stopReading, transport.stopReading, transport.startReading):
            operate()
            seen.append((sorted(reactor._reads), sorted(reactor._selectables), len(reactor._poller.asked)))
        for _ in range(2):
            transport.connectionLost(Failure(ConnectionDone()))
        seen += reactor._poller.asked, reactor._reads, reactor._writes, sorted(reactor._selectables), protocol.ends
        seen.append(sorted(vars(transport)))
    return seen


@probe
def managesReads() -> bool:
    """Probe `FastServer`: the reactor and the protocol of a connection see the same as with Twisted's own."""
    return _operate(FastServer) == _operate(_Named)


class _Named(Server):
    """Twisted's own connection, with all names that it gives to one of a port."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.repstr = ""
