"""
The connection of a response: whether it is still there, the TCP connection below it, and whether it is read.

Used by the producers, and wherever a response can find its client gone: in `service`, `web` and `apis`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection
from twisted.web.http import Request

from sseserver.speedups.privates import hasEnoughInput, seesInput


def isOver(request: Request) -> bool:
    """
    Return whether a response was finished or its client is gone. Nothing can be written to it then.
    """
    return getattr(request, "channel", None) is None


def findConnection(transport: Any) -> Connection | None:
    """
    Return the TCP or UNIX connection below a transport and its TLS; `None` if there is none.
    """
    while transport is not None and not isinstance(transport, Connection):
        transport = getattr(transport, "transport", None)
    return transport


def setReadSize(transport: Any, size: int | None) -> None:
    """
    Set how many bytes a connection reads at a time.

    Args:
        transport: The transport of a channel. Nothing happens if there is no TCP or UNIX connection below it.
        size: Bytes; `None` for the default of Twisted.
    """
    connection = findConnection(transport)
    if connection is not None:
        connection.bufferSize = size or Connection.bufferSize


def abort(request: Request) -> None:
    """Close the connection of a response at once, without the bytes that are still to be sent."""
    transport: Any = request.transport
    if transport is None:
        request.loseConnection()
    else:
        transport.abortConnection()


def stopReading(request: Request) -> None:
    """
    Read nothing from the connection of a response whose transport is full.

    Without this the channel reads all that the client sends meanwhile: twisted.web stops only between requests.
    """
    transport: Any = request.transport
    # HTTP/2 has no transport for each request: a window for each stream bounds what comes.
    if transport is not None:
        transport.pauseProducing()


def resumeReading(request: Request) -> None:
    """Read from the connection again, unless its channel has a reason of its own not to."""
    transport: Any = request.transport
    if transport is not None and not (seesInput() and hasEnoughInput(request.channel)):
        transport.resumeProducing()
