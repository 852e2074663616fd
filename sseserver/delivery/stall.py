"""
The stall limit: a viewer that takes no bytes for too long is cut.

Twisted sees only its own buffer, which is the last to fill: the kernel buffers megabytes for a
viewer that reads nothing. A `StallWatch` therefore asks the kernel for the number of bytes that the
viewer has acknowledged. Each `ResponseProducer` has one; its looks also trigger the heartbeats of an
`EventStreamProducer`.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any, Protocol

from twisted.web.http import Request

from sseserver.delivery.connection import findConnection
from sseserver.speedups.writequeue import countQueued
from sseserver.timing.ticker import IDLE, Tick, Ticker

#: The fields that are read of Linux's `struct tcp_info`: the number of segments without an
#: acknowledgement (`tcpi_unacked`), the number of acknowledged bytes (`tcpi_bytes_acked`), and of
#: bytes that are not sent (`tcpi_notsent_bytes`).
_TCP_INFO = struct.Struct("=24x I 92x Q 16x I")


class Watched(Protocol):
    """
    A response whose viewer is watched.

    Attributes:
        request: The request.
        written: Bytes of the body so far.
        isPaused: Whether the transport is full.
    """

    @property
    def request(self) -> Request:
        """See `Watched`."""

    @property
    def written(self) -> int:
        """See `Watched`."""

    @property
    def isPaused(self) -> bool:
        """See `Watched`."""

    def beat(self, now: float) -> float:
        """
        Write a heartbeat if it is due.

        Args:
            now: The time, in seconds of the ticker.

        Returns:
            The time of the next one.
        """

    def abort(self, reason: str) -> None:
        """Close the connection at once."""


class StallWatch(Tick):
    """
    Watches one viewer, and cuts it if it has taken nothing within the limit.

    Args:
        watched: The response.
        ticker: Schedules the looks.
        limit: Seconds. A viewer to which bytes are on their way must take some within this time.
    """

    __slots__ = ("_limit", "_lookedAt", "_taken", "_takenAt", "_ticker", "_watched", "_written")

    def __init__(self, watched: Watched, ticker: Ticker, limit: float) -> None:
        self.slot = IDLE
        self._watched: Watched | None = watched
        self._ticker = ticker
        self._limit = limit
        # The measure at the last look, and the time when it changed.
        self._taken: object = None
        self._takenAt = 0.0
        # The time of the last look, and the bytes that were written by its end.
        self._lookedAt = 0.0
        self._written = -1

    def start(self, interval: float) -> None:
        """Start watching: the first look comes after an interval in seconds."""
        self._ticker.put(self, self._ticker.seconds() + interval)

    def stop(self) -> None:
        """Stop watching."""
        self._ticker.cancel(self)

    def noteFull(self) -> None:
        """Count from now on: the transport is full."""
        if self._watched is not None:
            self._takenAt = self._ticker.seconds()
            self._taken = measureTaken(self._watched.request.transport, self._watched.written)

    def fire(self, now: float) -> float | None:
        """See `Tick.fire`."""
        watched = self._watched
        if watched is None:
            return None
        taken = measureTaken(watched.request.transport, watched.written)
        # A paused viewer has bytes on their way, even if no connection can be asked.
        isIdle = taken is None and not watched.isPaused
        if isIdle or taken != self._taken:
            # Bytes that the last look wrote, such as a heartbeat, and that are still on their way, count from then.
            isOld = self._taken is None and not isIdle and watched.written == self._written
            self._taken = taken
            self._takenAt = min(self._lookedAt + self._ticker.late, now) if isOld else now
        else:
            # A viewer could not show that it reads while the process was paused.
            self._takenAt += self._ticker.late
            if now - self._takenAt >= self._limit:
                watched.abort("stalled")
                return None
        beat = watched.beat(now)
        self._lookedAt, self._written = now, watched.written
        return min(beat, now + (self._limit if isIdle else self._limit / 4))

    def cancelled(self) -> None:
        """See `Tick.cancelled`."""
        self._watched = None


def measureTaken(transport: Any, written: int) -> object:
    """
    Measure the bytes that a viewer has taken.

    Args:
        transport: The transport of its request.
        written: Bytes of the body so far.

    Returns:
        `None` if no bytes are on their way to the viewer, or no connection can be asked. Otherwise
        a value that changes whenever the viewer takes bytes; where the system does not tell,
        whenever it has taken enough that more can be sent.
    """
    connection: Any = findConnection(transport)
    if connection is None or not connection.connected:
        return None
    queued = countQueued(connection)
    if sys.platform != "linux":
        # Other systems have other fields, under the same name.
        return (queued, written) if queued else None
    try:
        info = connection.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        unacknowledged, acknowledged, unsent = _TCP_INFO.unpack(info)
    except (OSError, AttributeError, struct.error):
        return (queued, written) if queued else None
    return acknowledged if unacknowledged or unsent or queued else None
