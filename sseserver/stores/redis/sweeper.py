"""
Looks every two seconds for logs that nobody uses, for streams that are silent, and for runs without an owner.

`Session` has one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from twisted.internet.interfaces import IDelayedCall

from sseserver.stores.redis.client import Client
from sseserver.stores.redis.follower import Follower
from sseserver.stores.redis.owners import RunOwners
from sseserver.stores.redis.streams import SharedStream
from sseserver.stores.redis.table import StreamTable
from sseserver.stores.redis.unused import UnusedStreams
from sseserver.timing.ticker import Ticker

#: Seconds between two looks.
SWEEP = 2.0


class Swept(NamedTuple):
    """
    The parts of a store that a sweeper looks at.

    Attributes:
        client: The Redis.
        follower: Reads streams again that were silent for too long.
        owners: Looks for runs without an owner.
        table: The streams in memory.
        unused: Ends published streams that nobody uses.
    """

    client: Client
    follower: Follower
    owners: RunOwners
    table: StreamTable
    unused: UnusedStreams


class Sweeper:
    """
    Looks at the parts of a store now and then.

    Args:
        clock: The reactor, or a `task.Clock`.
        ticker: Tells the time.
        parts: The parts.
    """

    def __init__(self, clock: Any, ticker: Ticker, parts: Swept) -> None:
        self._clock = clock
        self._ticker = ticker
        self._parts = parts
        self._sweeping: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to look."""
        self._sweeping = self._clock.callLater(SWEEP, self._sweep)

    def stop(self) -> None:
        """Look no more."""
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is not None:
            sweeping.cancel()

    def release(self, stream: SharedStream) -> None:
        """
        Drop a log that nobody uses.

        Args:
            stream: The stream.
        """
        self._parts.follower.leave(stream)
        self._parts.table.release(stream)

    def _sweep(self) -> None:
        self.start()
        parts, now = self._parts, self._ticker.seconds()
        for stream in parts.table.listUnused(now):
            self.release(stream)
        parts.follower.check(now)
        if parts.client.up:
            parts.unused.touch(parts.table, now)
            parts.unused.endOld()
            parts.owners.look()
