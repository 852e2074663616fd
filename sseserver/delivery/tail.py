"""
The tail of a response: bytes that were written, and that the peer has not acknowledged.

`request.finish` returns before they are sent. A `Tail` watches the connection until they are acknowledged, and cuts a
peer that takes none of them. `sseserver.service.viewers` counts the tails of responses;
`sseserver.web.connection` watches connections that are being closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from sseserver.delivery.connection import findConnection
from sseserver.delivery.stall import measureTaken
from sseserver.speedups.sendbuffer import canBypassQueue
from sseserver.speedups.writequeue import countQueued, isQueueEmpty
from sseserver.timing.patience import LATE

#: Seconds. Time until the first look; it doubles with each look, up to `_LONGEST`.
INTERVAL = 0.01
_LONGEST = 1.0

#: Bytes. A larger body is watched until the peer has acknowledged it; a smaller one, until the kernel has it.
LARGE = 64 * 1024


class Tail:
    """
    One connection whose peer has not taken everything.

    Args:
        transport: The transport of the connection.
        clock: The reactor.
        limit: Seconds. A peer that has not taken anything for this time is cut.
        onEnd: Called once with this tail, when everything is acknowledged, or when the connection is closed.
        grace: Seconds. For a connection that is being closed, and waits for the peer's `close_notify` under TLS: it is
            also cut this time after everything was acknowledged. `None` for any other connection.
    """

    def __init__(
        self, transport: Any, clock: Any, limit: float, onEnd: Callable[[Tail], None], grace: float | None = None
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._limit = limit
        self._grace = grace
        self._onEnd: Callable[[Tail], None] | None = onEnd
        self._interval = INTERVAL
        # The measure at the last look, and the time when it changed.
        self._taken: object = None
        self._takenAt: float = clock.seconds()
        self._call: IDelayedCall | None = clock.callLater(INTERVAL, self.look)
        # When that is due.
        self._due: float = self._takenAt + INTERVAL

    def stop(self) -> None:
        """Stop watching."""
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def abort(self) -> None:
        """Close the connection at once, without the rest."""
        # A TLS transport that was lost since the last look has nothing left to abort with.
        if isConnected(self._transport):
            self._transport.abortConnection()
        self._end()

    def look(self) -> None:
        """
        Measure what the peer has taken, and cut it if it is too slow.

        A pause of the process does not count, and nobody is cut before the next look after it: the kernel may have room
        again, or a `close_notify` for us.
        """
        self.stop()
        now = self._clock.seconds()
        taken = measureTaken(self._transport, 0)
        if taken != self._taken:
            self._taken, self._takenAt = taken, now
        late = now - self._due
        if late > LATE:
            self._takenAt = min(self._takenAt + late, now)
        limit = self._grace if taken is None else self._limit
        if limit is None or not isConnected(self._transport):
            self._end()
        elif now - self._takenAt >= limit and late <= LATE:
            self.abort()
        else:
            self._interval = min(self._interval * 2, _LONGEST, limit)
            self._due = now + self._interval
            self._call = self._clock.callLater(self._interval, self.look)

    def _end(self) -> None:
        self.stop()
        onEnd, self._onEnd = self._onEnd, None
        if onEnd is not None:
            onEnd(self)


class Tails:
    """
    The tails of the responses of a service.

    Args:
        clock: The reactor.
        limit: Seconds. See `Tail`.
    """

    def __init__(self, clock: Any, limit: float) -> None:
        self._clock = clock
        self._limit = limit
        # Transports of responses that have just ended. The reactor has not sent all of their bytes yet, but it most
        # likely will in its next turn.
        self._fresh: list[tuple[Any, int]] = []
        self._tails: dict[Tail, None] = {}

    def __len__(self) -> int:
        """Return the number of tails."""
        return len(self._tails)

    def add(self, transport: Any, written: int = 0) -> None:
        """
        Watch the tail of a response, if it has one.

        Args:
            transport: The transport of the request. The response is finished.
            written: Bytes of the body. Of a large one, the kernel may have much that the peer has not taken.
        """
        if written <= LARGE and canBypassQueue(transport) and isQueueEmpty(transport):
            return
        if findConnection(transport) is not None:
            if not self._fresh:
                self._clock.callLater(INTERVAL, self._sort)
            self._fresh.append((transport, written))

    def drain(self, atOnce: bool) -> Deferred[None]:
        """
        Wait until there is no tail.

        Args:
            atOnce: Whether the Deferred may have fired already. Otherwise responses that end in this turn count, too.
        """
        drained: Deferred[None] = Deferred()

        def look() -> None:
            for tail in tuple(self._tails):
                tail.look()
            if self._fresh or self._tails:
                self._clock.callLater(INTERVAL, look)
            else:
                drained.callback(None)

        if atOnce:
            look()
        else:
            self._clock.callLater(INTERVAL, look)
        return drained

    def cut(self) -> None:
        """Close the connections of all tails at once."""
        self._sort()
        for tail in tuple(self._tails):
            tail.abort()

    def _sort(self) -> None:
        """Watch the fresh ones that have something to send."""
        fresh, self._fresh = self._fresh, []
        for transport, written in fresh:
            connection = findConnection(transport)
            if isConnected(transport) and (written > LARGE or countQueued(connection)):
                self._tails[Tail(transport, self._clock, self._limit, self._forget)] = None

    def _forget(self, tail: Tail) -> None:
        del self._tails[tail]


def isConnected(transport: Any) -> bool:
    """Return whether the connection below a transport is open."""
    connection = findConnection(transport)
    return connection is not None and bool(connection.connected)
