"""
The listening sockets of a pool: it opens them, and its workers inherit them.

On Linux each worker has a TCP socket of its own at the same address, and the kernel spreads new connections evenly
(`SO_REUSEPORT`). Other sockets are one for all workers.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import Any

from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from sseserver.command.listening import ExplainedEndpoint, restrictEndpoint
from sseserver.command.systemd import parseEndpoint

#: Whether the kernel spreads connections over the sockets of one address. Elsewhere the option means something else.
SPREADS = sys.platform == "linux"


class SharedSocket:
    """
    The socket, or the sockets, of one endpoint.

    Args:
        reactor: Makes the files of Unix sockets, and deletes them.
        description: The endpoint, in Twisted's notation.
        workers: Number of workers.
        option: Name of the option that the endpoint comes from.

    Attributes:
        description: See above.
        isShared: Whether all workers have the same socket.
        passed: Descriptor under which systemd has passed the socket; `None` for another socket.
    """

    def __init__(self, reactor: Any, description: str, workers: int, option: str = "listen") -> None:
        self.description = description
        self._reactor = reactor
        self._workers = workers
        self._option = option
        self.passed: int | None = None
        # By the numbers of the workers, from 1 on; the same socket again and again where they share it.
        self._sockets: dict[int, socket.socket] = {}
        self._port: IListeningPort | None = None
        self.isShared = True

    def open(self) -> None:
        """
        Bind the sockets. Harmless if they are bound.

        Raises:
            BadEndpoint: The address cannot be used.
        """
        if self._sockets:
            return
        failures: list[Failure] = []
        parsed = parseEndpoint(self, restrictEndpoint(self.description))
        ExplainedEndpoint(self.description, parsed, self._option).listen(Factory()).addErrback(failures.append)
        for failure in failures:
            failure.raiseException()

    def find(self, worker: int) -> socket.socket:
        """Return the socket of a worker."""
        return self._sockets[worker]

    def pause(self, worker: int) -> None:
        """
        Let new connections go to the other workers, after one has ended, until it listens again.

        Its socket stays bound: a server with `--uid` may not have the right to bind it once more.
        """
        if not self.isShared:
            # It may not have listened yet.
            with suppress(OSError):
                self._sockets[worker].shutdown(socket.SHUT_RD)

    def close(self) -> Deferred[Any]:
        """Close all sockets, and delete the file of a Unix socket."""
        for each in set(self._sockets.values()):
            each.close()
        self._sockets.clear()
        port, self._port = self._port, None
        return maybeDeferred(lambda: None if port is None else port.stopListening())

    def listenTCP(self, port: int, factory: Factory, backlog: int = 50, interface: str = "") -> None:
        """See `IReactorTCP.listenTCP`. Binds; each worker listens."""
        family = socket.AF_INET6 if isIPv6Address(interface) else socket.AF_INET
        try:
            # Without `SO_REUSEPORT`: another server may have that.
            first = _bind(family, (interface, port), shared=False)
            address = (family, (interface, first.getsockname()[1]))
            if SPREADS and self._workers > 1:
                first.close()
                self.isShared = False
                self._sockets = {worker: _bind(*address) for worker in range(1, self._workers + 1)}
            else:
                self._share(first)
        except OSError as error:
            raise CannotListenError(interface, port, error) from None

    def listenSSL(
        self, port: int, factory: Factory, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> None:
        """See `IReactorSSL.listenSSL`. The workers have the certificate."""
        self.listenTCP(port, factory, backlog, interface)

    def listenUNIX(
        self, address: str, factory: Factory, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> None:
        """See `IReactorUNIX.listenUNIX`."""
        port: Any = self._reactor.listenUNIX(address, factory, backlog, mode, wantPID)
        # The workers accept.
        port.stopReading()
        self._port = port
        self._share(socket.fromfd(port.fileno(), socket.AF_UNIX, socket.SOCK_STREAM))

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Factory) -> None:
        """See `IReactorSocket.adoptStreamPort`: a socket of systemd. Twisted closes the descriptor."""
        self.passed = fileDescriptor
        self._share(socket.fromfd(fileDescriptor, addressFamily, socket.SOCK_STREAM))

    def _share(self, one: socket.socket) -> None:
        self._sockets = dict.fromkeys(range(1, self._workers + 1), one)


def makeHost(listening: socket.socket) -> IPv4Address | IPv6Address | UNIXAddress:
    """Return the address of a listening socket, as `IListeningPort.getHost` does."""
    address: Any = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return UNIXAddress(address)
    return (IPv6Address if listening.family == socket.AF_INET6 else IPv4Address)("TCP", *address)


def _bind(family: int, address: tuple[str, int], shared: bool = True) -> socket.socket:
    """
    Return a TCP socket that is bound and does not listen yet.

    Raises:
        OSError: The address cannot be bound. Nothing is left open.
    """
    made = socket.socket(family)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # The address may name its interface, such as `fe80::1%eth0`.
        flags = socket.AI_NUMERICHOST | socket.AI_PASSIVE
        made.bind(socket.getaddrinfo(address[0] or None, address[1], family, socket.SOCK_STREAM, 0, flags)[0][4])
    except OSError:
        made.close()
        raise
    return made
