"""
The wait for the last bytes of the responses when a service stops.

A reactor that stops drops the bytes that are queued. `sseserver.service.viewers` waits here first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from sseserver.delivery.connection import findConnection

#: Seconds between two looks at the connections.
_INTERVAL = 0.01


def allSent(reactor: Any, transports: Sequence[Any], inTime: Callable[[], bool]) -> Deferred[None]:
    """
    Wait until all bytes that were written are with the kernel.

    Args:
        reactor: The reactor of the transports.
        transports: The transports of the requests.
        inTime: Called at each look; false ends the wait.

    Returns:
        Fires when everything is sent, or when time is up.
    """
    sent: Deferred[None] = Deferred()

    def look() -> None:
        if inTime() and _areSending(reactor, transports):
            reactor.callLater(_INTERVAL, look)
        else:
            sent.callback(None)

    if transports and inTime():
        # Not before a turn has passed: bytes that are written in this one, through TLS, count as
        # well.
        reactor.callLater(_INTERVAL, look)
    else:
        sent.callback(None)
    return sent


def _areSending(reactor: Any, transports: Sequence[Any]) -> bool:
    """
    Return whether any of these connections has queued bytes: then the reactor writes for it.
    """
    writers = set(reactor.getWriters())
    return any(findConnection(transport) in writers for transport in transports)
