"""
The connection of a response: whether it is still there, and the TCP connection below it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection
from twisted.web.http import Request


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


def abort(request: Request) -> None:
    """Close the connection of a response at once, without the bytes that are still to be sent."""
    transport: Any = request.transport
    if transport is None:
        request.loseConnection()
    else:
        transport.abortConnection()
