"""
MemoryStore: stream logs in the memory of this process, lost when it ends (`--store memory`).

The service keeps its streams here by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface import implementer

from sseserver.errors import StreamExists, StreamNotFound
from sseserver.interfaces import ILocalStore, IStreamLog, Publication, StreamDescription
from sseserver.stores.listing import describe, findPage
from sseserver.stores.publishing import end, publish
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.ids import makeEpoch
from sseserver.streams.keeper import Keeper
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.values import EndedStream, ListedPlace, ListedStream, NewEntry, State


@implementer(ILocalStore)
class MemoryStore(Keeper):
    """
    Keeps stream logs in memory. All its Deferreds have fired when they are returned.

    Args:
        clock: The reactor, or a `task.Clock`.
        window: Bytes that each stream keeps; see `StreamLog`.
        turnEnd: Turn end of the service, so that the entries of one tick are sent together. By default the store has
            its own.
    """

    def __init__(self, clock: Any, window: int, *, turnEnd: TurnEnd | None = None) -> None:
        super().__init__()
        self._ticker = Ticker(clock, FLUSH_TICK / 4, turnEnd=turnEnd)
        self._window = window
        self._logs: dict[str, StreamLog] = {}

    @property
    def count(self) -> int:
        """See `IStreamStore.count`."""
        return len(self._logs)

    def start(self) -> Sequence[EndedStream]:
        """See `IStreamStore.start`. A store that was stopped still has its streams."""
        ended = [
            EndedStream(each.ended, each.name, each.epoch, each.published)
            for each in self._logs.values()
            if each.ended is not None
        ]
        return sorted(ended)

    def stop(self) -> Deferred[None]:
        """See `IStreamStore.stop`."""
        self._ticker.stop()
        return succeed(None)

    def create(self, name: str | None, published: bool, question: str = "") -> Deferred[IStreamLog]:
        """See `IStreamStore.create`."""
        epoch = makeEpoch()
        name = name or epoch
        if name in self._logs:
            return fail(StreamExists(f"There is a stream {name} already."))
        streamLog = self._logs[name] = StreamLog(name, epoch, self._ticker, self._window, self, published=published)
        streamLog.question = question
        self.account(published).add(streamLog.size, True)
        return succeed(streamLog)

    def list(self, limit: int, before: ListedPlace | None = None) -> Deferred[Sequence[ListedStream]]:
        """See `IStreamStore.list`."""
        page = [
            ListedStream(each.name, each.epoch, each.published, each.created, each.ended, each.size)
            for each in findPage(self._logs, limit, before)
        ]
        return succeed(page)

    def describe(self, name: str, key: str | None = None) -> Deferred[StreamDescription]:
        """See `IStreamStore.describe`."""
        return self.find(name).addCallback(describe, key)

    def find(self, name: str) -> Deferred[IStreamLog]:
        """See `IStreamStore.find`."""
        streamLog = self._logs.get(name)
        return fail(StreamNotFound(name)) if streamLog is None else succeed(streamLog)

    def peek(self, name: str) -> IStreamLog | None:
        """See `ILocalStore.peek`."""
        return self._logs.get(name)

    def publish(
        self, name: str, entries: Sequence[NewEntry], close: bool, key: str | None = None, room: bool = True
    ) -> Deferred[Publication]:
        """See `IStreamStore.publish`."""
        streamLog = self._logs.get(name)
        if streamLog is None:
            return fail(StreamNotFound(name))
        return maybeDeferred(publish, streamLog, entries, close, key, room)

    def end(self, name: str, entry: NewEntry, epoch: str | None = None) -> Deferred[bool]:
        """See `IStreamStore.end`."""
        return self.find(name).addCallback(end, entry, epoch)

    def delete(self, name: str, epoch: str | None = None) -> Deferred[None]:
        """See `IStreamStore.delete`."""
        streamLog = self._logs.get(name)
        if streamLog is None or epoch not in {None, streamLog.epoch}:
            return fail(StreamNotFound(name))
        del self._logs[name]
        isOpen = streamLog.state is State.OPEN
        self.account(streamLog.published).subtract(streamLog.drop(), isOpen)
        return succeed(None)
