"""
The listening sockets of a worker, which it has inherited from its pool.

`Server.listen` gets an `InheritedReactor` in place of the reactor. It begins to listen on a socket of the worker's own;
one that all workers share it reads with a `SharedPort`, which takes one connection at a time and leaves the next one to
the others.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import implementer

from sseserver.command.workers.sockets import makeHost

#: Seconds of a pause after a connection could not be accepted: the process has no descriptor left.
PAUSE = 0.5


class InheritedReactor:
    """
    Listens on an inherited socket in place of a new one. Everything else is left to the reactor.

    Args:
        reactor: The reactor.
        descriptor: That of the socket, bound by the pool.
        isShared: Whether all workers have this socket.
    """

    def __init__(self, reactor: Any, descriptor: int, isShared: bool) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._isShared = isShared

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Factory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """See `IReactorTCP.listenTCP`."""
        return self._listen(factory, backlog)

    def listenUNIX(
        self, address: str, factory: Factory, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> IListeningPort:
        """See `IReactorUNIX.listenUNIX`. The pool has made the file."""
        return self._listen(factory, backlog)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Factory) -> IListeningPort:
        """See `IReactorSocket.adoptStreamPort`: a socket of systemd, which listens already."""
        return self._listen(factory, None)

    def _listen(self, factory: Factory, backlog: int | None) -> IListeningPort:
        inherited = socket.socket(fileno=self._descriptor)
        inherited.setblocking(False)
        if backlog is not None:
            inherited.listen(backlog)
        if self._isShared:
            shared = SharedPort(self._reactor, inherited, factory)
            shared.startListening()
            return shared
        port: IListeningPort = self._reactor.adoptStreamPort(inherited.fileno(), inherited.family, factory)
        # The port has a duplicate.
        inherited.close()
        return port


@implementer(IListeningPort)
class SharedPort(FileDescriptor):
    """
    A port whose socket other processes have as well. Its end leaves the socket, and its file, as they are.

    Args:
        reactor: Tells of connections.
        shared: The listening socket.
        factory: Makes the protocols of connections.
    """

    _log = Logger()

    reactor: Any

    def __init__(self, reactor: Any, shared: socket.socket, factory: Factory) -> None:
        super().__init__(reactor)
        self._shared = shared
        self._factory = factory
        self._pause: IDelayedCall | None = None

    def fileno(self) -> int:
        """Return the descriptor of the socket; -1 after the end."""
        return self._shared.fileno()

    def getHost(self) -> Any:
        """See `IListeningPort.getHost`."""
        return makeHost(self._shared)

    def startListening(self) -> None:
        """See `IListeningPort.startListening`."""
        self._factory.doStart()
        self.connected = True
        self.startReading()

    def stopListening(self) -> Deferred[None]:
        """See `IListeningPort.stopListening`."""
        if self.connected:
            self.connected = False
            self.disconnected = True
            self.stopReading()
            pause, self._pause = self._pause, None
            if pause is not None:
                pause.cancel()
            self._shared.close()
            self._factory.doStop()
        return succeed(None)

    def doRead(self) -> None:
        """Accept one connection, if no other process was faster."""
        try:
            accepted, _ = self._shared.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self._log.warn("A connection cannot be accepted: {error}", error=error)
            self.stopReading()
            self._pause = self.reactor.callLater(PAUSE, self._goOn)
            return
        with accepted:
            accepted.setblocking(False)
            # The transport has a duplicate.
            self.reactor.adoptStreamConnection(accepted.fileno(), accepted.family, self._factory)

    def _goOn(self) -> None:
        self._pause = None
        self.startReading()
