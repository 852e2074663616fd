"""
What the kernel knows of a viewer: options of its socket, and what it has taken.

Twisted sees only its own buffer, which is the last to fill: behind it the kernel
takes megabytes for a viewer that reads nothing.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.tcp import Connection
from twisted.web.http import Request
from twisted.web.http_headers import Headers
from zope.interface import implementer

#: Bytes that the kernel takes ahead of what is on its way: so a slow viewer is noticed long before the kernel's
#: megabytes are full, and what it gets is fresh. Linux; the number is from <linux/tcp.h>.
_NOTSENT_LOWAT = (getattr(socket, "TCP_NOTSENT_LOWAT", 25), 128 * 1024)

#: Milliseconds after which the kernel gives up a peer that takes nothing. Linux.
_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", 18)

#: What is the same for all viewers.
_OPTIONS = ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, *_NOTSENT_LOWAT))

#: The ports whose viewers have these options from the start, with the stall of each.
_tuned: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

#: Stands for the headers of all responses whose head is written.
_SENT = Headers()

#: Seconds between two looks whether the last bytes have left.
_LOOK = 0.01

#: Where `struct tcp_info` of Linux has `tcpi_bytes_acked`, an unsigned 64-bit number.
_BYTES_ACKED = 120


def isOver(request: Request) -> bool:
    """Whether a response is finished, or its client gone: then nothing can be written to it."""
    return getattr(request, "channel", None) is None


def connection(transport: Any) -> Connection | None:
    """Find the plain connection below a transport, or below TLS; C{None} on a test's wire."""
    while transport is not None and not isinstance(transport, Connection):
        transport = getattr(transport, "transport", None)
    return transport


def tune(transport: Any, stall: float) -> None:
    """
    Set a viewer's socket options, as far as the system has them.

    Args:
        transport: A request's.
        stall: After so many seconds the kernel gives up a peer that takes
            nothing or is gone without a word; else it tries for 15 minutes.
    """
    plain = connection(transport)
    if plain is None or not plain.connected:
        return
    port = getattr(plain, "server", None)
    if port is None or _tuned.get(port) != stall:
        _setOptions(plain.getHandle(), stall)


def _setOptions(handle: socket.socket, stall: float) -> bool:
    """Set those of L{tune}; tell whether the system has them all."""
    complete = True
    for level, name, value in (*_OPTIONS, (socket.IPPROTO_TCP, _USER_TIMEOUT, max(1, int(stall * 1000)))):
        try:
            handle.setsockopt(level, name, value)
        except OSError:
            # Not every system has all of them, and no Unix socket; the stall timer is there all the same.
            complete = False
    return complete


@implementer(IStreamServerEndpoint)
class TunedEndpoint:
    """
    Listens for viewers: sets the options of L{tune} on the socket that they
    come in by, once for all of them. For ports that nobody else uses.

    Args:
        endpoint: Where it listens.
        stall: See L{tune}.
    """

    def __init__(self, endpoint: IStreamServerEndpoint, stall: float) -> None:
        self._endpoint = endpoint
        self._stall = stall

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See L{IStreamServerEndpoint.listen}."""
        return self._endpoint.listen(factory).addCallback(self._tune)

    def _tune(self, port: Any) -> IListeningPort:
        handle = getattr(port, "socket", None)
        # Linux: what is accepted has the options of what listens. Elsewhere each viewer's are set.
        if handle is not None and sys.platform == "linux" and _setOptions(handle, self._stall):
            _tuned[port] = self._stall
        listening: IListeningPort = port
        return listening


def slim(request: Request) -> None:
    """
    Make a request and its channel small, once the head of an endless response is written.

    Both have so many attributes that Python gives each a table of twice the
    size that they need, and the headers that were sent are never looked at
    again: together a fifth of what an idle viewer costs. L{StreamSite}'s own
    requests know better what they can do without.
    """
    if hasattr(request, "slim"):
        request.slim()
        return
    request.responseHeaders = _SENT
    for one in (request, request.channel):
        one.__dict__ = dict(list(vars(one).items()))


def allSent(reactor: Any, transports: Sequence[Any], inTime: Callable[[], bool]) -> Deferred[None]:
    """
    Wait until all that was written is with the kernel: a reactor that stops drops what is queued.

    Args:
        inTime: Whether there is time to wait yet.
    """
    sent: Deferred[None] = Deferred()

    def look() -> None:
        if inTime() and any(map(_isSending, transports)):
            reactor.callLater(_LOOK, look)
        else:
            sent.callback(None)

    if transports and inTime():
        # What is written in this turn and the next, through TLS, is waited for as well.
        reactor.callLater(_LOOK, look)
    else:
        sent.callback(None)
    return sent


def _isSending(transport: Any) -> bool:
    plain = connection(transport)
    return plain is not None and bool(plain.connected and (plain.dataBuffer or plain._tempDataBuffer))


def taken(transport: Any) -> object:
    """
    Measure what a viewer has taken.

    Returns:
        Something that changes whenever the viewer takes bytes while nothing
        is written to it.
    """
    plain = connection(transport)
    if plain is None or not plain.connected:
        return None
    return _acknowledged(plain.getHandle()), len(plain.dataBuffer) - plain.offset


def _acknowledged(handle: socket.socket) -> int | None:
    """Read how many bytes the peer has acknowledged; C{None} where the system does not tell."""
    try:
        info = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
    except OSError:
        return None
    return int(struct.unpack_from("Q", info, _BYTES_ACKED)[0]) if len(info) == _BYTES_ACKED + 8 else None
