"""
Takeover: runs of processes that are gone go on in this one (`--retry-interrupted`).

A script gives the run to one process, whichever asks first, so its old owner is refused from then on. The new owner
fills a log with what Redis has, as for viewers, and then writes it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from sseserver.errors import StoreDamaged, StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog, ITakeover, Restarter
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.connection import Reply
from sseserver.stores.redis.follower import Follower
from sseserver.stores.redis.opener import Opener
from sseserver.stores.redis.patientscript import PatientScript
from sseserver.stores.redis.restartscripts import KEEP, TAKE
from sseserver.stores.redis.shards import Shards, isRefusedBy
from sseserver.stores.redis.streams import StreamTerms, listAllKeys
from sseserver.stores.redis.table import StreamTable
from sseserver.stores.redis.writer import Writer
from sseserver.streams.ids import makeEpoch
from sseserver.streams.terminal import packRestart
from sseserver.timing.ticker import Ticker

log = Logger(__name__)

#: Seconds between two attempts to read a run that this process has taken.
RETRY = 1.0


class TakenRun(NamedTuple):
    """
    A run that this process has taken, and has not begun anew yet.

    Attributes:
        name: Name of its stream.
        epoch: Its new epoch.
        number: Number of the entry `restart`.
        order: Its order.
    """

    name: str
    epoch: str
    number: int
    order: bytes


class Parts(NamedTuple):
    """
    The parts of the store that a takeover needs.

    Attributes:
        client: The Redis.
        table: The streams in memory.
        shards: Runs the scripts.
        follower: Fills logs.
        opener: Finds them.
        writer: Writes the runs of this process.
    """

    client: Client
    table: StreamTable
    shards: Shards
    follower: Follower
    opener: Opener
    writer: Writer


@implementer(ITakeover)
class Takeover:
    """
    Takes runs over.

    Args:
        clock: The reactor, or a `task.Clock`.
        ticker: Tells the time.
        terms: The limits of streams.
        parts: The parts of the store.

    Attributes:
        restarter: See `ITakeover.restarter`.
    """

    def __init__(self, clock: Any, ticker: Ticker, terms: StreamTerms, parts: Parts) -> None:
        self.restarter: Restarter | None = None
        self._clock = clock
        self._ticker = ticker
        self._terms = terms
        self._parts = parts
        # The runs that were taken, and are not begun anew yet, and the next attempts to read them.
        self._taken: dict[str, TakenRun] = {}
        self._attempts: dict[str, IDelayedCall] = {}

    @property
    def names(self) -> set[str]:
        """Names of the runs that were taken, and are not begun anew yet."""
        return set(self._taken)

    def stop(self) -> None:
        """Make no further attempts. Another process takes these runs."""
        self._taken.clear()
        attempts, self._attempts = self._attempts, {}
        for attempt in attempts.values():
            attempt.cancel()

    def keep(self, streamLog: IStreamLog, order: bytes) -> Deferred[None]:
        """
        Keep the order of a run; see `ITakeover.keep`.

        Args:
            streamLog: Its log.
            order: The order.
        """
        parts = self._parts
        place, arguments = parts.shards.layout.locate(streamLog.name), (streamLog.epoch, parts.writer.node, order)
        keeping = PatientScript(
            parts.client, lambda _: parts.client.run(KEEP, [place.stream], arguments), lambda: not streamLog.sealed
        )
        keeping.go()
        return keeping.answered.addErrback(_reportLost)

    def take(self, name: str, owner: bytes) -> Deferred[bool | None]:
        """
        Take a run over, if that is wanted, and there is room.

        Args:
            name: Name of its stream.
            owner: Its owner, which is gone.

        Returns:
            Fires with whether the run is settled: it was taken, or it is not that of this owner any more. `None` if it
            must end.
        """
        restarter = self.restarter
        if restarter is None:
            return succeed(None)
        parts = self._parts
        place = parts.shards.layout.locate(name)
        head = (repr(self._ticker.wall()), self._terms.window, self._terms.keep, owner, parts.writer.node)
        entry, epoch = packRestart("%d"), makeEpoch()
        arguments = (*head, restarter.limit, int(restarter.hasRoom()), entry.data, epoch)
        return parts.shards.run(TAKE, place.shard, listAllKeys(place), arguments).addCallback(self._note, name, epoch)

    def _note(self, reply: Reply, name: str, epoch: str) -> bool | None:
        if isRefusedBy(reply, "spent"):
            return None
        if isRefusedBy(reply, "room"):
            return False
        if not isRefusedBy(reply, "other"):
            self._taken[name] = run = TakenRun(name, epoch, *reply)
            if name in self._attempts:
                self._attempts[name].cancel()
            self._read(run)
        return True

    def _read(self, run: TakenRun) -> None:
        """Get a log with everything that Redis has of a run."""
        self._attempts.pop(run.name, None)
        opener = self._parts.opener
        found: Deferred[Any] = opener.find(run.name).addCallback(lambda _: opener.reach(run.name, run.number))
        found.addCallback(self._begin, run).addErrback(self._retry, run)
        found.addErrback(lambda failure: log.failure("A run could not be begun anew", failure))

    def _begin(self, _: None, run: TakenRun) -> None:
        """
        Begin a run anew.

        Raises:
            StreamNotFound: It was ended or deleted meanwhile.
            StoreUnavailable: Its log is not complete yet, or of another epoch: Redis may have lost the takeover.
        """
        parts, restarter = self._parts, self.restarter
        stream = parts.table.find(run.name)
        if self._taken.get(run.name) is not run or stream is None or stream.leaving or restarter is None:
            raise StreamNotFound(run.name)
        if not stream.isOpen:
            raise StreamNotFound(run.name)
        if stream.log.last < run.number or stream.epoch != run.epoch:
            raise StoreUnavailable("The stream has not been read yet.")
        del self._taken[run.name]
        parts.follower.leave(stream)
        stream.own, stream.stored = True, stream.log.last
        restarter.restart(stream.log, run.order)
        # It may have been ended, or taken by another process, before this one has written anything.
        parts.writer.ask(stream)

    def _retry(self, failure: Failure, run: TakenRun) -> None:
        error = failure.trap(StreamNotFound, StoreDamaged, StoreUnavailable)
        if self._taken.get(run.name) is not run:
            # It was taken again, or the store is closed.
            return
        if error is not StoreUnavailable:
            del self._taken[run.name]
        else:
            self._attempts[run.name] = self._clock.callLater(RETRY, self._read, run)


def _reportLost(failure: Failure) -> None:
    failure.trap(StoreUnavailable)
    text = getattr(failure.value, "text", failure.getErrorMessage())
    log.error("The order of a run could not be kept; it will be tried again: {text}", text=text)
