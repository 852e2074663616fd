"""
The socket options of viewers' connections.

They limit the bytes that the kernel takes ahead, and let it notice that a peer is gone.

Producers set them on the connection of each viewer. `TunedEndpoint` sets them once, on the
listening socket, and saves the calls for each viewer; `twistd sseserver` listens through it.

A few viewers that are far behind get larger writes: see `LargeWrites`.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import Any, NamedTuple
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from zope.interface import implementer

from sseserver.delivery.connection import findConnection
from sseserver.speedups.transports import FastPort, FastServer, quicken

#: Bytes. Limit of unsent data in the kernel. A slow viewer is noticed long before the megabytes of
#: the kernel's buffer are full, and gets fresh data.
_NOTSENT_LOWAT = 128 * 1024

#: Bytes. The same for one of the `LargeWrites`.
_LARGE_LOWAT = 2 * 1024 * 1024

#: Number of viewers with large writes at a time. The kernel keeps up to 4 MiB for each (the last of
#: Linux's `tcp_wmem`).
MOST_LARGE = 8

#: Ports whose connections have the options from the start.
_tuned: WeakSet[Any] = WeakSet()


class SocketOption(NamedTuple):
    """The arguments of `socket.setsockopt`."""

    level: int
    number: int
    value: int


def listOptions(platform: str = sys.platform) -> list[SocketOption]:
    """
    List the options of a viewer's socket.

    Not among them is `TCP_USER_TIMEOUT`: it also ends a connection whose window has long been too
    small for the next segment, even if the viewer reads steadily.

    Args:
        platform: As in `sys.platform`. A number means something else on each.
    """
    options = [SocketOption(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    # 25 is from <linux/tcp.h>.
    number = getattr(socket, "TCP_NOTSENT_LOWAT", 25 if platform == "linux" else None)
    if number is not None:
        options.append(SocketOption(socket.IPPROTO_TCP, number, _NOTSENT_LOWAT))
    return options


_OPTIONS = listOptions()


def tune(transport: Any) -> None:
    """
    Set the options of a viewer's socket, as far as the system has them.

    Args:
        transport: The transport of the viewer's request.
    """
    if type(transport) is FastServer:
        port: Any = transport.server
        if port.isTuned:
            # Nearly all.
            return
    connection = findConnection(transport)
    if connection is not None and connection.connected and getattr(connection, "server", None) not in _tuned:
        _setOptions(connection.getHandle())


def _setOptions(handle: socket.socket) -> bool:
    """
    Set the options on a socket.

    Returns:
        Whether the system has all of them.
    """
    complete = True
    for option in _OPTIONS:
        try:
            handle.setsockopt(*option)
        except OSError:
            # Systems differ, and a Unix socket has none of TCP's.
            complete = False
    return complete


class LargeWrites:
    """
    The viewers for which the kernel takes megabytes ahead, so that they catch up in few writes.

    They are far behind, and read formats in which nothing is joined: nothing is fresher if it is
    sent later. There are at most `MOST_LARGE` of them, since they use the kernel's memory.
    """

    def __init__(self) -> None:
        self._transports: dict[object, Any] = {}

    def __len__(self) -> int:
        return len(self._transports)

    def begin(self, viewer: object, transport: Any) -> None:
        """
        Allow a viewer large writes, if fewer than `MOST_LARGE` have them.

        Args:
            viewer: The viewer. Harmless if it has them.
            transport: The transport of its request.
        """
        if len(self._transports) < MOST_LARGE and viewer not in self._transports:
            self._transports[viewer] = transport
            _setLowat(transport, _LARGE_LOWAT)

    def end(self, viewer: object) -> None:
        """Allow a viewer large writes no longer. Harmless if it has none."""
        if viewer in self._transports:
            _setLowat(self._transports.pop(viewer), _NOTSENT_LOWAT)


def _setLowat(transport: Any, limit: int) -> None:
    """Set the limit of unsent data on the connection of a transport, as far as the system has it."""
    connection = findConnection(transport)
    if connection is not None and connection.connected:
        for option in _OPTIONS:
            if option.level == socket.IPPROTO_TCP:
                with suppress(OSError):
                    connection.getHandle().setsockopt(option.level, option.number, limit)


@implementer(IStreamServerEndpoint)
class TunedEndpoint:
    """
    An endpoint whose connections have the options of viewers.

    It is for ports that serve nothing else.

    Args:
        endpoint: Listens.
        isFast: Whether the port accepts connections in fewer steps than Twisted's.

    Attributes:
        port: The port, while it listens; `None` before.
    """

    def __init__(self, endpoint: IStreamServerEndpoint, isFast: bool = False) -> None:
        self._endpoint = endpoint
        self._isFast = isFast
        self.port: IListeningPort | None = None

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See `IStreamServerEndpoint.listen`."""
        return self._endpoint.listen(factory).addCallback(self._tune)

    def _tune(self, port: Any) -> IListeningPort:
        handle = getattr(port, "socket", None)
        # Linux: an accepted socket has the options of the listening one. Elsewhere each viewer's
        # are set.
        if handle is not None and sys.platform == "linux" and _setOptions(handle):
            _tuned.add(port)
        if self._isFast:
            quicken(port)
            if type(port) is FastPort:
                port.isTuned = port in _tuned
        listening: IListeningPort = port
        self.port = listening
        return listening
