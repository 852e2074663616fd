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
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.tcp import Connection
from twisted.web.http import Request
from twisted.web.http_headers import Headers
from zope.interface import implementer

#: Bytes that the kernel takes ahead of what is on its way: so a slow viewer is noticed long before the kernel's
#: megabytes are full, and what it gets is fresh. Linux; the number is from <linux/tcp.h>.
_NOTSENT_LOWAT = (getattr(socket, "TCP_NOTSENT_LOWAT", 25), 128 * 1024)

#: A viewer's options.
_OPTIONS = ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, *_NOTSENT_LOWAT))

#: The ports whose viewers have these options from the start.
_tuned: WeakSet[Any] = WeakSet()

#: Stands for the headers of all responses whose head is written.
_SENT = Headers()

#: Seconds between two looks whether the last bytes have left.
_LOOK = 0.01

#: What we read of Linux's `struct tcp_info`: how many segments are not acknowledged (`tcpi_unacked`), how many bytes
#: are (`tcpi_bytes_acked`), and how many are not sent (`tcpi_notsent_bytes`).
_TCP_INFO = struct.Struct("=24x I 92x Q 16x I")


def isOver(request: Request) -> bool:
    """Whether a response is finished, or its client gone: then nothing can be written to it."""
    return getattr(request, "channel", None) is None


def connection(transport: Any) -> Connection | None:
    """Find the plain connection below a transport, or below TLS; C{None} on a test's wire."""
    while transport is not None and not isinstance(transport, Connection):
        transport = getattr(transport, "transport", None)
    return transport


def tune(transport: Any) -> None:
    """
    Set a viewer's socket options, as far as the system has them.

    Not C{TCP_USER_TIMEOUT}, which also ends a connection whose window has long
    been too small for the next segment, however steadily the viewer reads.

    Args:
        transport: A request's.
    """
    plain = connection(transport)
    if plain is not None and plain.connected and getattr(plain, "server", None) not in _tuned:
        _setOptions(plain.getHandle())


def _setOptions(handle: socket.socket) -> bool:
    """Set those of L{tune}; tell whether the system has them all."""
    complete = True
    for option in _OPTIONS:
        try:
            handle.setsockopt(*option)
        except OSError:
            # Not every system has all of them, and no Unix socket.
            complete = False
    return complete


@implementer(IStreamServerEndpoint)
class TunedEndpoint:
    """
    Listens for viewers: sets the options of L{tune} on the socket that they
    come in by, once for all of them. For ports that nobody else uses.

    Args:
        endpoint: Where it listens.
    """

    def __init__(self, endpoint: IStreamServerEndpoint) -> None:
        self._endpoint = endpoint

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See L{IStreamServerEndpoint.listen}."""
        return self._endpoint.listen(factory).addCallback(self._tune)

    def _tune(self, port: Any) -> IListeningPort:
        handle = getattr(port, "socket", None)
        # Linux: what is accepted has the options of what listens. Elsewhere each viewer's are set.
        if handle is not None and sys.platform == "linux" and _setOptions(handle):
            _tuned.add(port)
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
    return plain is not None and bool(plain.connected and _queued(plain))


def _queued(plain: Any) -> int:
    """Count the bytes that the kernel has not yet."""
    # The other name is private to Twisted.
    queued: int = len(plain.dataBuffer) - plain.offset + sum(map(len, getattr(plain, "_tempDataBuffer", ())))
    return queued


def taken(transport: Any, written: int) -> object:
    """
    Measure what a viewer has taken.

    Args:
        transport: Its request's.
        written: Bytes so far.

    Returns:
        C{None} when nothing is on its way to it, or there is no plain
        connection to look at. Else something that changes
        whenever the viewer takes bytes; where the system does not tell, when
        it has taken so many that more can be sent.
    """
    plain = connection(transport)
    if plain is None or not plain.connected:
        return None
    queued = _queued(plain)
    try:
        info = plain.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        unacknowledged, acknowledged, unsent = _TCP_INFO.unpack(info)
    except (OSError, AttributeError, struct.error):
        return (queued, written) if queued else None
    return acknowledged if unacknowledged or unsent or queued else None
