"""
RedisStore: streams that any number of processes share in a Redis (`--store redis://…`).

Each process has a store. It writes the runs of its own process, follows the streams of others while they are read, and
publishes into any stream. What Redis has is the truth; a log here is a copy of it, or ahead of it while Redis is away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from sseserver.errors import StoreUnavailable
from sseserver.interfaces import (
    IKeyDirectory,
    ISharedStore,
    IStreamLog,
    Publication,
    StreamDescription,
)
from sseserver.steps import step
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.layout import PREFIX, Layout
from sseserver.stores.redis.opener import bindLogs
from sseserver.stores.redis.publisher import End, PublishTerms
from sseserver.stores.redis.registry import Registry
from sseserver.stores.redis.session import Session
from sseserver.stores.redis.streams import StreamTerms
from sseserver.stores.states import STORE_STEPS, StoreState
from sseserver.streams.account import Account
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.keeper import Keeper
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.values import EndedStream, ListedPlace, ListedStream, NewEntry

#: Seconds. Time for the last entries to reach Redis when the store is stopped.
LAST_WRITES = 5.0

_CLOSED = "The store is closed."


@dataclass(frozen=True, slots=True)
class StoreTerms:
    """
    The terms of a store.

    Attributes:
        window: Bytes that each stream keeps; see `StreamLog`.
        keep: Seconds for which an ended stream is kept.
        idle: Seconds. An open published stream ends after this time without use.
        prefix: Begin of the names of all keys and channels.
    """

    window: int
    keep: float = 600.0
    idle: float = 86400.0
    prefix: str = PREFIX


@implementer(ISharedStore)
class RedisStore(Keeper):
    """
    Keeps streams in a Redis, for any number of processes.

    Args:
        clock: The reactor, or a `task.Clock`.
        client: The connections to the Redis.
        terms: The terms of the store.
        turnEnd: Turn end of the service, so that the entries of one tick are sent together. By default the store has
            its own.

    Attributes:
        client: See above.
        commits: Seconds from the begin of a write to its end, of each group of entries that was stored.
        limits: See `ISharedStore.limits`; so are `onEnded` and `takeover`.
        session: The parts of the store.
        state: State of the store.
    """

    def __init__(self, clock: Any, client: Client, terms: StoreTerms, turnEnd: TurnEnd | None = None) -> None:
        super().__init__(durable=True)
        self.client = client
        self.onEnded: Callable[[IStreamLog], None] | None = None
        self.state = StoreState.CLOSED
        self._clock = clock
        self._ticker = Ticker(clock, FLUSH_TICK / 4, turnEnd=turnEnd)
        layout = Layout(terms.prefix)
        makeLog = bindLogs(self._ticker, terms.window, self)
        streamTerms = StreamTerms(terms.window, int(1000 * terms.keep), terms.idle)
        self.session = Session(clock, self._ticker, client, layout, streamTerms, makeLog)
        self.session.onEnded = lambda streamLog: self.onEnded is not None and self.onEnded(streamLog)
        self.takeover, self.limits = self.session.takeover, self.session.limits
        self.commits = self.session.writer.commits
        self._registry = Registry(self.session, client, layout, self._ticker, makeLog)
        self._stops: list[Deferred[None]] = []

    @property
    def count(self) -> int:
        """See `IStreamStore.count`."""
        return self.runs.count + self.published.count

    @property
    def failures(self) -> int:
        """Number of groups that could not be stored."""
        return self.session.writer.failures

    def start(self) -> Sequence[EndedStream]:
        """See `ISharedStore`."""
        self.state = step(STORE_STEPS, self.state, StoreState.OPEN)
        self.session.start()
        return []

    def stop(self) -> Deferred[None]:
        """See `IStreamStore.stop`."""
        if self.state is StoreState.CLOSED:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stops.append(stopped)
        if self.state is StoreState.OPEN:
            self.state = step(STORE_STEPS, self.state, StoreState.STOPPING)
            self._awaitWrites(self._clock.seconds() + LAST_WRITES)
        return stopped

    def create(self, name: str | None, published: bool, question: str = "") -> Deferred[IStreamLog]:
        """See `IStreamStore.create`."""
        if not self.state.takesChanges:
            return fail(StoreUnavailable(_CLOSED))
        return self._registry.create(name, published, question)

    def list(self, limit: int, before: ListedPlace | None = None) -> Deferred[Sequence[ListedStream]]:
        """See `IStreamStore.list`."""
        if not self.state.takesChanges:
            return fail(StoreUnavailable(_CLOSED))
        return self._registry.list(limit, before)

    def describe(self, name: str, key: str | None = None) -> Deferred[StreamDescription]:
        """See `IStreamStore.describe`."""
        if not self.state.takesChanges:
            return fail(StoreUnavailable(_CLOSED))
        return self.session.opener.describe(name, key)

    def find(self, name: str) -> Deferred[IStreamLog]:
        """See `IStreamStore.find`."""
        if not self.state.takesChanges:
            return fail(StoreUnavailable(_CLOSED))
        return self.session.opener.find(name)

    def findFor(self, name: str, lastEventID: str) -> Deferred[IStreamLog]:
        """See `ISharedStore.findFor`."""
        if not self.state.takesChanges:
            return fail(StoreUnavailable(_CLOSED))
        return self.session.opener.findFor(name, lastEventID)

    def publish(
        self, name: str, entries: Sequence[NewEntry], close: bool, key: str | None = None, room: bool = True
    ) -> Deferred[Publication]:
        """See `IStreamStore.publish`."""
        if not self.state.takesChanges:
            return fail(StoreUnavailable(_CLOSED))

        def reach(publication: Publication) -> Deferred[Publication]:
            reached = self.session.opener.reach(name, publication.last)
            return reached.addCallback(lambda _: publication)

        return self.session.publisher.publish(name, entries, PublishTerms(close, key, room)).addCallback(reach)

    def end(self, name: str, entry: NewEntry, epoch: str | None = None) -> Deferred[bool]:
        """See `IStreamStore.end`."""
        if not self.state.takesChanges:
            return fail(StoreUnavailable(_CLOSED))

        def reach(end: End) -> Deferred[bool]:
            return self.session.opener.reach(name, end.number).addCallback(lambda _: end.mine)

        return self.session.publisher.end(name, entry, epoch or "").addCallback(reach)

    def delete(self, name: str, epoch: str | None = None) -> Deferred[None]:
        """See `IStreamStore.delete`."""
        if not self.state.takesChanges:
            return fail(StoreUnavailable(_CLOSED))
        return self._registry.delete(name, epoch)

    def shed(self, published: bool) -> bool:
        """See `ISharedStore.shed`."""
        stream = self.session.table.findOldest(published)
        if stream is not None:
            self.session.sweeper.release(stream)
        return stream is not None

    def isFollowed(self, name: str) -> Deferred[bool]:
        """See `ISharedStore.isFollowed`."""
        return self._registry.isFollowed(name)

    def makeDirectory(self, purpose: str) -> IKeyDirectory:
        """See `ISharedStore.makeDirectory`."""
        return self.session.makeDirectory(purpose)

    def write(self, streamLog: StreamLog) -> None:
        """See `Keeper.write`."""
        stream = self.session.table.find(streamLog.name)
        if stream is None or stream.log is not streamLog:
            # It has left memory, since it had no viewers. Nobody else appends to such a log.
            self._ticker.turnEnd.atEnd(lambda: streamLog.refuse(StoreUnavailable("The stream is not in memory.")))
        elif stream.own:
            self.session.writer.write(stream)
        elif not stream.applying and not stream.writing:
            stream.writing = True
            offer, release = self.session.publisher.offer, self.session.follower.release
            self._ticker.turnEnd.atEnd(lambda: offer(stream, release))

    def findProblem(self) -> str | None:
        """See `IChecked.findProblem`."""
        return (self.client.problem or self.session.writer.problem) if self.state is StoreState.OPEN else _CLOSED

    def _awaitWrites(self, deadline: float) -> None:
        """Close the store when Redis has everything, or cannot be reached."""
        if not self.session.writer.isIdle and self.client.up and self._clock.seconds() < deadline:
            self._clock.callLater(0.01, self._awaitWrites, deadline)
            return
        self.state = step(STORE_STEPS, self.state, StoreState.CLOSING)
        self.session.stop(StoreUnavailable(_CLOSED)).addCallback(self._close)

    def _close(self, _: None) -> None:
        self._ticker.stop()
        self.runs, self.published = Account(), Account()
        self.state = step(STORE_STEPS, self.state, StoreState.CLOSED)
        stops, self._stops = self._stops, []
        for stopped in stops:
            stopped.callback(None)
