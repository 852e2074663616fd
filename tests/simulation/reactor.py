"""
SimReactor: the reactor of one simulated process.

It is Twisted's reactor as far as the server and the client need it: time, read and write descriptors, TCP. Its
sockets are those of `network`; above them everything is Twisted's own code.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.base import BaseConnector, DelayedCall
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.tcp import Connection, Server
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.descriptors import DescriptorSet
from tests.simulation.network import Network, SimSocket
from tests.simulation.world import Action, World

log = Logger()

#: The only address there is.
HOST = "127.0.0.1"


@implementer(IHostnameResolver, IHostResolution)
class Addresses:
    """Resolves the only names that there are: addresses."""

    name = HOST

    def resolveHostName(self, receiver: Any, hostName: str, portNumber: int = 0, *args: Any) -> Any:
        """See `IHostnameResolver.resolveHostName`."""
        receiver.resolutionBegan(self)
        receiver.addressResolved(IPv4Address("TCP", hostName, portNumber))
        receiver.resolutionComplete()
        return self

    def cancel(self) -> None:
        """See `IHostResolution.cancel`: it is over at once."""


@implementer(IReactorTime, IReactorTCP, IReactorPluggableNameResolver)
class SimReactor(DescriptorSet):
    """
    Args:
        world: Schedules the calls.
        network: Connects the process to others.
        bufferSize: Bytes that Twisted's transports queue before they pause their producers.

    Attributes:
        alive: Whether the process runs.
        nameResolver: See `IReactorPluggableNameResolver`.
        network: See above.
        ports: Ports that listen.
        onStop: Called to stop the services of the process.
    """

    running = True
    nameResolver = Addresses()

    def __init__(self, world: World, network: Network, bufferSize: int = 64 * 1024) -> None:
        super().__init__()
        self.alive = True
        self._world = world
        self.network = network
        self._bufferSize = bufferSize
        self._heap: list[tuple[float, int, DelayedCall]] = []
        self._calls: dict[DelayedCall, None] = {}
        self._count = 0
        self.ports: list[SimPort] = []
        self.onStop: Callable[[], object] = lambda: None
        self._sockets: dict[SimSocket, None] = {}
        world.add(self)

    # IReactorTime

    def seconds(self) -> float:
        """See `IReactorTime.seconds`."""
        return self._world.now

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> DelayedCall:
        """See `IReactorTime.callLater`."""
        assert delay >= 0, f"a delay of {delay} seconds"
        call = DelayedCall(self.seconds() + delay, callable, args, kw, self._cancelled, self._push, self.seconds)
        if self.alive:
            self._calls[call] = None
            self._push(call)
        return call

    def getDelayedCalls(self) -> list[DelayedCall]:
        """See `IReactorTime.getDelayedCalls`."""
        return list(self._calls)

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kw: Any) -> None:
        """See `IReactorFromThreads.callFromThread`; all threads run in turns of the world."""
        self.callLater(0, callable, *args, **kw)

    callWhenRunning = callFromThread

    def _push(self, call: DelayedCall) -> None:
        self._count += 1
        heappush(self._heap, (call.time, self._count, call))

    def _cancelled(self, call: DelayedCall) -> None:
        self._calls.pop(call, None)

    def installNameResolver(self, resolver: Any) -> None:
        """See `IReactorPluggableNameResolver.installNameResolver`."""
        raise AssertionError("Nothing needs another resolver.")

    # IReactorTCP

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> SimPort:
        """See `IReactorTCP.listenTCP`."""
        listening = SimPort(self, port, factory)
        listening.startListening()
        return listening

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: object = None
    ) -> BaseConnector:
        """See `IReactorTCP.connectTCP`."""
        connector = SimConnector(self, port, factory, timeout)
        connector.connect()
        return connector

    # The process

    def stop(self) -> None:
        """See `IReactorCore.stop`."""
        self.onStop()

    @property
    def sockets(self) -> list[SimSocket]:
        """Sockets that are not closed."""
        return [sock for sock in self._sockets if not sock.closed]

    def adopt(self, sock: SimSocket, transport: Connection) -> None:
        """Give a transport of this process its socket."""
        self._sockets = dict.fromkeys(self.sockets)
        self._sockets[sock] = None
        transport.bufferSize = self._bufferSize

    def die(self, reset: bool = False) -> None:
        """
        End the process at once: its calls are never made, the system closes its sockets.

        Args:
            reset: Whether the machine lost power, so that peers find out by a reset.
        """
        self.alive = False
        self._world.remove(self)
        self._calls.clear()
        self._heap.clear()
        self.readers.clear()
        self.writers.clear()
        for port in self.ports:
            self.network.close(port.number)
        self.ports.clear()
        for sock in self.sockets:
            if reset:
                sock.reset()
            else:
                sock.close()

    # Machine

    def nextTime(self) -> float | None:
        """See `Machine.nextTime`."""
        while self._heap and self._heap[0][2] not in self._calls:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def dueActions(self, now: float) -> list[Action]:
        """See `Machine.dueActions`."""
        actions: list[Action] = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            call = heappop(heap)[2]
            if call not in self._calls:
                continue
            if call.delayed_time > 0:
                call.activate_delay()
                self._push(call)
            else:
                actions.append(_Call(self, call))
        actions += [_Ready(self, writer, self.writers, writer.doWrite) for writer in self.writers if canWrite(writer)]
        for reader in self.readers:
            # Most turns look at all of them: a function for it would take a quarter of the time.
            sock = getattr(reader, "socket", None)
            if _poll(reader, select.POLLIN) if sock is None else sock.readable:
                actions.append(_Ready(self, reader, self.readers, reader.doRead))
        return actions

    def makeCall(self, call: DelayedCall) -> None:
        """Make a delayed call that is due, unless it was cancelled or put off in this turn."""
        if call not in self._calls:
            return
        if call.delayed_time > 0 or call.time > self.seconds():
            call.activate_delay()
            self._push(call)
            return
        del self._calls[call]
        call.called = 1
        try:
            call.func(*call.args, **call.kw)
        except Exception:
            log.failure("A delayed call failed")

    def act(self, selectable: Any, act: Callable[[], Any]) -> None:
        """Read or write as `PosixReactorBase` does: a returned exception ends the connection or the pipe."""
        try:
            why = act()
        except Exception as broken:
            log.failure("A descriptor failed")
            why = broken
        if why:
            self.removeReader(selectable)
            if (
                why.__class__ is error.ConnectionDone
                and act.__name__ == "doRead"
                and IHalfCloseableDescriptor.providedBy(selectable)
            ):
                selectable.readConnectionLost(Failure(why))
            else:
                self.removeWriter(selectable)
                selectable.connectionLost(Failure(why))


def canWrite(descriptor: Any) -> bool:
    """Return whether a descriptor of a reactor can be written now: a connection, or a real pipe."""
    sock = getattr(descriptor, "socket", None)
    return _poll(descriptor, select.POLLOUT) if sock is None else bool(sock.writable)


def _poll(descriptor: Any, event: int) -> bool:
    poll = select.poll()
    poll.register(descriptor.fileno(), event)
    return bool(poll.poll(0))


class _Call:
    """A delayed call that is due."""

    __slots__ = ("_call", "_reactor")

    def __init__(self, reactor: SimReactor, call: DelayedCall) -> None:
        self._reactor = reactor
        self._call = call

    def __call__(self) -> None:
        self._reactor.makeCall(self._call)

    def __repr__(self) -> str:
        return f"call of {self._call.func!r}"


class _Ready:
    """A descriptor that can be read or written."""

    __slots__ = ("_act", "_reactor", "_selectable", "_watched")

    def __init__(self, reactor: SimReactor, selectable: Any, watched: dict[Any, int], act: Action) -> None:
        self._reactor = reactor
        self._selectable = selectable
        self._watched = watched
        self._act = act

    def __call__(self) -> None:
        if self._selectable in self._watched:
            self._reactor.act(self._selectable, self._act)

    def __repr__(self) -> str:
        return f"{self._act!r}"


@implementer(IListeningPort)
class SimPort:
    """A listening port."""

    def __init__(self, reactor: SimReactor, number: int, factory: Any) -> None:
        self.number = number
        self._reactor = reactor
        self._factory = factory
        self._sessions = 0

    def startListening(self) -> None:
        """See `IListeningPort.startListening`."""
        self._reactor.network.listen(self.number, self._accept)
        self._reactor.ports.append(self)
        self._factory.doStart()

    def stopListening(self) -> None:
        """See `IListeningPort.stopListening`."""
        if self in self._reactor.ports:
            self._reactor.ports.remove(self)
            self._reactor.network.close(self.number)
            self._factory.doStop()

    def getHost(self) -> IPv4Address:
        """See `IListeningPort.getHost`."""
        return IPv4Address("TCP", HOST, self.number)

    def _accept(self, sock: SimSocket, peer: tuple[str, int]) -> None:
        """Accept a connection, as `tcp.Port` does."""
        protocol = self._factory.buildProtocol(IPv4Address("TCP", *peer))
        if protocol is None:
            sock.reset()
            return
        self._sessions += 1
        fake: Any = sock
        none: Any = None
        transport = Server(fake, protocol, peer, none, self._sessions, self._reactor)
        self._reactor.adopt(sock, transport)
        protocol.makeConnection(transport)


class SimConnector(BaseConnector):
    """Connects to a port of the network."""

    def __init__(self, reactor: SimReactor, port: int, factory: Any, timeout: float) -> None:
        self.port = port
        super().__init__(factory, timeout, reactor)

    def _makeTransport(self) -> ClientTransport:
        return ClientTransport(self.reactor, self)

    def getDestination(self) -> IPv4Address:
        """See `IConnector.getDestination`."""
        return IPv4Address("TCP", HOST, self.port)


class ClientTransport(Connection):
    """Twisted's TCP transport, at the client's end of a connection."""

    def __init__(self, reactor: SimReactor, connector: SimConnector) -> None:
        self._connector = connector
        self._failed = False
        none: Any = None
        sock: Any = SimSocket()
        super().__init__(sock, none, reactor)
        reactor.network.connect(connector.port, self._connected, lambda: self.failIfNotConnected(_refused()))

    def _connected(self, sock: SimSocket) -> None:
        if self._failed or not self.reactor.alive:
            sock.reset()
            return
        self.socket = sock
        self.reactor.adopt(sock, self)
        self.connected = 1
        self.protocol = self._connector.buildProtocol(self.getPeer())
        self.startReading()
        self.protocol.makeConnection(self)

    def failIfNotConnected(self, why: Exception) -> None:
        """See `tcp.BaseClient.failIfNotConnected`."""
        if not (self.connected or self._failed):
            self._failed = True
            self._connector.connectionFailed(Failure(why))

    def stopConnecting(self) -> None:
        """See `tcp.BaseClient.stopConnecting`."""
        self.failIfNotConnected(error.UserError())

    def connectionLost(self, reason: Failure) -> None:
        """See `tcp.Connection.connectionLost`."""
        super().connectionLost(reason)
        self._connector.connectionLost(reason)

    def getHost(self) -> IPv4Address:
        """See `ITransport.getHost`."""
        return IPv4Address("TCP", HOST, 50000)

    def getPeer(self) -> IPv4Address:
        """See `ITransport.getPeer`."""
        return IPv4Address("TCP", HOST, self._connector.port)


def _refused() -> Exception:
    return error.ConnectionRefusedError()
