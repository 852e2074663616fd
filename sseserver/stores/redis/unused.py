"""
UnusedStreams: ends open published streams that no process has published into or followed for too long.

Each process reports the streams that have viewers here, and looks for old ones, a few shards at a time.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StoreDamaged, StoreUnavailable, StreamNotFound
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.indices import Index, askIndex
from sseserver.stores.redis.layout import SHARDS, Layout
from sseserver.stores.redis.publisher import Publisher
from sseserver.stores.redis.table import StreamTable
from sseserver.streams.terminal import packCancelled
from sseserver.timing.ticker import Ticker
from sseserver.values import Reason

log = Logger(__name__)

#: Seconds. Longest time between two reports of a stream with viewers.
REPORT = 30.0

#: Number of shards of one look, and of streams of one shard. Registries lose expired streams meanwhile.
LOOK, MOST = 4, 50

_IDLE = packCancelled(Reason.IDLE)


class UnusedStreams:
    """
    The open published streams, and when each must end.

    Args:
        ticker: Tells the time.
        client: The Redis.
        layout: Names of the keys.
        publisher: Ends streams.
        limit: Seconds. A stream is ended after this time without publishes and viewers.
    """

    def __init__(self, ticker: Ticker, client: Client, layout: Layout, publisher: Publisher, limit: float) -> None:
        self._ticker = ticker
        self._client = client
        self._layout = layout
        self._publisher = publisher
        self._interval = min(REPORT, limit / 4)
        self._shard = 0

    def touch(self, table: StreamTable, now: float) -> None:
        """
        Report the streams that have viewers.

        Args:
            table: The streams of this process.
            now: The time on the ticker's clock.
        """
        until = self._publisher.findUnused()
        for stream in table.streams.values():
            streamLog = stream.log
            if streamLog.published and streamLog.viewers and now - stream.touchedAt >= self._interval:
                stream.touchedAt = now
                self._client.ask("ZADD", stream.place.idle, "XX", "GT", until, stream.name).addErrback(_trap)

    def endOld(self) -> None:
        """End the streams of the next shards whose time is over, and forget expired ones."""
        now = repr(self._ticker.wall())
        for _ in range(LOOK):
            self._shard = (self._shard + 1) % SHARDS
            base = self._layout.findBase(self._shard)
            idle = Index(self._client, self._layout, base + b"idle", "ZREM")
            listed = askIndex(self._client, "ZRANGEBYSCORE", idle.key, "-inf", now, "LIMIT", 0, MOST)
            listed.addCallback(self._end, now, idle).addErrback(_trap)
            oldest = askIndex(self._client, "ZRANGE", base + b"streams", 0, MOST - 1)
            oldest.addCallback(self._check, base).addErrback(_trap)

    def _end(self, names: list[bytes], now: str, idle: Index) -> None:
        for written in names:
            name = idle.readName(written)
            if name is not None:
                self._publisher.end(name, _IDLE, unused=now).addErrback(self._noteUnended, name, idle)

    def _noteUnended(self, failure: Failure, name: str, idle: Index) -> None:
        """Let a damaged stream make room for others: nobody can end it."""
        if failure.check(StoreDamaged):
            idle.remove(name)
        _trap(failure)

    def _check(self, names: list[bytes], base: bytes) -> None:
        """Take expired streams from their registry: only a stream that was deleted has left it."""
        for name in names:
            exists = self._client.ask("EXISTS", base + b"stream:" + name)
            exists.addCallback(self._forget, base, name).addErrback(_trap)

    def _forget(self, exists: int, base: bytes, name: bytes) -> Any:
        return None if exists else self._client.ask("ZREM", base + b"streams", name)


def _trap(failure: Failure) -> None:
    """Ignore streams that are gone, and the loss of the connection: the next look tries again."""
    if not failure.check(StreamNotFound, StoreUnavailable):
        log.failure("The look for unused streams broke", failure)
