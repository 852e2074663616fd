"""
StreamService: streams, runs and viewers in one Twisted service.

The APIs ask it for streams, start runs, and give requests to its viewers. It knows no URLs and writes no responses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from sseserver.delivery.body import chooseBody
from sseserver.errors import Overloaded
from sseserver.formats import makeFormats
from sseserver.interfaces import (
    IFormat,
    ISharedStore,
    IStreamLog,
    IStreamStore,
    ITokenSource,
    Publication,
    StreamDescription,
)
from sseserver.service.clients import Client
from sseserver.service.creation import STOPPED, Creation
from sseserver.service.drain import Drain
from sseserver.service.ledger import Ledger
from sseserver.service.opening import Opening
from sseserver.service.publisher import Publisher
from sseserver.service.restarts import Gate, RunRestarter
from sseserver.service.retention import Retention
from sseserver.service.run import Run, Summarize
from sseserver.service.runqueue import RunQueue
from sseserver.service.starter import RunStarter, RunTerms
from sseserver.service.states import SERVICE_STEPS, ServiceState
from sseserver.service.streamends import StreamEnds
from sseserver.service.streamkeys import StreamKeys
from sseserver.service.viewers import Viewers
from sseserver.settings import Settings
from sseserver.speedups.report import listSpeedups
from sseserver.steps import step
from sseserver.stores.memory import MemoryStore
from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.timing.wallclock import findWallClock
from sseserver.values import NewEntry, Prompt, State

log = Logger(__name__)

#: Seconds. Slot width of the tickers of heartbeats, and of lingers and ages.
SWEEP_GRANULARITY = 0.25


class StreamService(Service):
    """
    The streams of a server, with their runs and viewers.

    Add it to your application, or call `startService` and `stopService` yourself. Stopping it ends the runs, and lets
    the viewers receive the end of their streams.

    Args:
        reactor: The clock of everything.
        source: Produces the tokens of the runs.
        settings: Limits and intervals.
        store: Keeps the streams; `None` keeps them in memory.
        turnEnd: End of the reactor turn, when queued writes are sent. Share it with the source and the store: tokens
            then leave in the turn in which they are produced. `None` makes one.

    Attributes:
        clock: The reactor.
        settings: See above.
        source: See above.
        store: See above.
        formats: The formats that a viewer can ask for, by name.
        created: When the service was made, in seconds since 1970.
        keys: The keys under which streams are found again.
        ledger: The accounts of everything that takes memory.
        runs: The runs.
        viewers: The viewers.
        state: State of the service.
        wall: Returns the time of day, in seconds since 1970.
    """

    def __init__(
        self,
        reactor: Any,
        source: ITokenSource,
        settings: Settings | None = None,
        store: IStreamStore | None = None,
        *,
        turnEnd: TurnEnd | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.source = source
        self.clock = reactor
        self.wall: Callable[[], float] = findWallClock(reactor)
        self.created: float = self.wall()
        self.formats: dict[str, IFormat] = makeFormats(source.model)
        turnEnd = turnEnd or TurnEnd(reactor)
        self.store: IStreamStore = store or MemoryStore(reactor, self.settings.kept, turnEnd=turnEnd)
        self.state = ServiceState.NEW
        self.ledger = Ledger(self.settings, self.store, reactor.seconds)
        self.keys = StreamKeys(self.store, self.ledger.keys)
        self._sweep = Ticker(reactor, SWEEP_GRANULARITY, turnEnd=turnEnd, patient=True)
        self._beats = Ticker(reactor, SWEEP_GRANULARITY, turnEnd=turnEnd, lazy=True)
        self._retention = Retention(self.store, self.ledger, self.settings, self._sweep, self.keys.forget)
        makeRoom = self._retention.makeRoom
        creation = Creation(self.store, self._retention, lambda: self.state.takesWork)
        self.runs = RunQueue(source, self.settings, self._sweep, self.ledger.work, makeRoom, self._runEnded)
        if ISharedStore.providedBy(self.store):
            self.runs.isFollowed = self.store.isFollowed
        makeBody, create = chooseBody(turnEnd, self.settings.plain), partial(creation.create, published=False)
        self._ends = StreamEnds(self.store, self.runs, self._retention, self.keys, self.settings.idle, self._sweep)
        createOpen = partial(creation.create, published=True)
        self._publisher = Publisher(self.store, createOpen, self._retention, self._ends.idle, self.ledger)
        self.viewers = Viewers(self.settings, self._beats, self.ledger, makeBody, self._viewerLeft)
        self._starter = RunStarter(create, self.runs, self.viewers, self.ledger, self.keys.starts, reactor)
        if ISharedStore.providedBy(self.store) and self.settings.retryInterrupted and source.takesPrompt:
            limit, starts = self.settings.retryInterrupted, self.keys.starts
            gate = Gate(self._takesRuns, creation.checkRunning)
            restarter = RunRestarter(self.store, self.runs, self.ledger, starts, limit, gate)
            self.store.takeover.restarter = self._starter.restarter = restarter
        self._drain = Drain(reactor, self.settings.drain, self.runs, self.viewers)
        # Fire when the service has stopped.
        self._stopping: list[Deferred[None]] = []

    def startRun(
        self,
        prompt: Prompt | None = None,
        key: str | None = None,
        summarize: Summarize | None = None,
        *,
        viewed: bool = False,
        prefix: str = "",
        client: Client | None = None,
        opening: Opening | None = None,
    ) -> Deferred[IStreamLog]:
        """
        Start a run of the source into a new stream.

        Args:
            prompt: Passed to the source.
            key: An idempotency key: while its stream is kept, the same key and prompt give the same stream.
            summarize: Returns further members of the terminal entry `done`, if any.
            viewed: Whether the caller follows the stream at once. If so, there must be room for this viewer.
            prefix: Begins the name of the stream.
            client: The client, from `identifyClient`; `None` for no limit.
            opening: How the stream begins, if not with the answer.

        Returns:
            A Deferred that fires with the stream's log. Its name is its epoch, or the prefix and 22 characters.

        Raises:
            KeyReused: (errback) The key was used with another prompt.
            Overloaded: (errback) There is no room, or the service is being stopped.
            RateLimited: (errback) The client has too many runs or viewers, or has started too many runs.
            StoreUnavailable: (errback) The store cannot take the stream now.
        """
        return self._starter.start(prompt, RunTerms(summarize, viewed, prefix, client, key, opening))

    def open(self, name: str) -> Deferred[tuple[StreamDescription, bool]]:
        """
        Open a named stream to publish into.

        Args:
            name: Name of the stream.

        Returns:
            A Deferred that fires with the stream, and whether it is new.

        Raises:
            StreamExists: (errback) The stream is written by a run.
            StreamEnded: (errback) The stream has ended.
            Overloaded: (errback) There is no room for another stream, or the service is being stopped.
            StoreUnavailable: (errback) The store cannot take the stream now.
        """
        return self._publisher.open(name) if self.state.takesWork else fail(Overloaded(STOPPED))

    def publish(
        self, name: str, entries: Sequence[NewEntry], close: bool, key: str | None = None
    ) -> Deferred[Publication]:
        """
        Append entries to a stream, all or none.

        Args:
            name: Name of the stream.
            entries: Tokens and events.
            close: Whether the stream ends `done` after them.
            key: An idempotency key: while the entries are kept, the same key with the same entries appends nothing.

        Returns:
            A Deferred that fires when the entries are in the log.

        Raises:
            StreamNotFound: (errback) There is no such stream.
            StreamExists: (errback) The stream is written by a run.
            StreamEnded: (errback) The stream has ended.
            KeyReused: (errback) The key was used with other entries.
            Overloaded: (errback) There is no room for the entries, or the service is being stopped.
            StoreUnavailable: (errback) The store cannot take the entries now; none is in the log.
        """
        if self.state.takesWork:
            return self._publisher.publish(name, entries, close, key)
        return fail(Overloaded(STOPPED))

    def publishAtOnce(
        self, name: str, entries: Sequence[NewEntry], key: str | None = None
    ) -> Publication | Deferred[Publication]:
        """
        Append entries to a stream, all or none. Nearly every publish needs no Deferred.

        Args:
            name: See `publish`.
            entries: See `publish`.
            key: See `publish`.

        Returns:
            The publication, if the entries are in the log; otherwise see `publish`.

        Raises:
            StreamExists: See `publish`, as for the others. They may also be errbacks.
            StreamEnded: See there.
            KeyReused: See there.
            Overloaded: See there.
        """
        if self.state.takesWork:
            return self._publisher.publishAtOnce(name, entries, key)
        raise Overloaded(STOPPED)

    def delete(self, name: str) -> Deferred[None]:
        """
        Stop a stream and delete it. Its viewers get the terminal entry `cancelled`.

        Args:
            name: Name of the stream.

        Raises:
            StreamNotFound: (errback) There is no such stream.
            StoreUnavailable: (errback) The store cannot delete it now.
        """
        return self._ends.delete(name)

    def describe(self, name: str, key: str | None = None) -> Deferred[StreamDescription]:
        """
        Describe a stream without its entries.

        Args:
            name: Name of the stream.
            key: An idempotency key of a publish; the description tells whether it was used.

        Raises:
            StreamNotFound: (errback) There is no such stream.
            StoreUnavailable: (errback) The store cannot look it up now.
        """
        return self.store.describe(name, key)

    def find(self, name: str, lastEventID: str | None = None) -> Deferred[IStreamLog]:
        """
        Find a stream.

        Args:
            name: Name of the stream.
            lastEventID: The last event ID of a viewer that returns.

        Returns:
            A Deferred that fires with the stream's log.

        Raises:
            StreamNotFound: (errback) There is no such stream.
        """
        if lastEventID is not None and ISharedStore.providedBy(self.store):
            return self.store.findFor(name, lastEventID)
        return self.store.find(name)

    def cancel(self, name: str) -> Deferred[StreamDescription]:
        """
        End a stream `cancelled`, and stop its run. Its entries are kept. Harmless after the end.

        Args:
            name: Name of the stream.

        Returns:
            A Deferred that fires with the stream when the end is in its log.

        Raises:
            StreamNotFound: (errback) There is no such stream.
            StoreUnavailable: (errback) The store cannot take the terminal entry now.
        """
        return self._ends.cancel(name)

    def startService(self) -> None:
        """
        Open the store.

        Raises:
            StoreUnavailable: The store cannot be used.
            RuntimeError: The service is running, or has not finished stopping.
        """
        running = step(SERVICE_STEPS, self.state, ServiceState.RUNNING)
        super().startService()
        self._retention.start(self.store.start())
        self._ends.start()
        if ISharedStore.providedBy(self.store) and (problem := self.store.findProblem()) is not None:
            log.warn("The store is awaited: {problem}", problem=problem)  # noqa: G010 (a logger of Twisted)
        self.state = running
        self.viewers.admit()
        log.info("Speedups: {speedups}", speedups=", ".join(listSpeedups(self.settings.plain)) or "none")

    def leave(self) -> None:
        """Tell load balancers, by `/readyz`, that a running service will stop. Everything is served as before."""
        if self.state is ServiceState.RUNNING:
            self.state = step(SERVICE_STEPS, self.state, ServiceState.LEAVING)

    def abandon(self) -> None:
        """Let the drain, which follows or is under way, give no time to runs that nobody watches."""
        self._drain.isForWatched = True
        self._drain.endUnwatched()

    def drain(self) -> Deferred[None]:
        """
        Accept no more runs, viewers and publishes, and wait until those that are there have ended. See `Drain`.

        Returns:
            Fires when no run and no viewer is left: `Settings.drain` and some seconds later at most.
        """
        if self.state is not ServiceState.DRAINING:
            self.state = step(SERVICE_STEPS, self.state, ServiceState.DRAINING)
            self._drain.start()
        return self._drain.wait()

    def hurry(self) -> None:
        """End a drain that is under way at once: runs are ended, viewers are cut."""
        self._drain.hurry()

    def stopService(self) -> Deferred[None]:
        """
        Drain the service, and close the store. Harmless while it is being stopped.

        Returns:
            Fires when no viewer is left and everything is stored.
        """
        super().stopService()
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        if len(self._stopping) == 1:
            self.drain().addCallback(self._closeStore).addBoth(self._stop)
        return stopped

    def _closeStore(self, _: None) -> Deferred[None]:
        self._retention.stop()
        self._ends.idle.stop()
        self._sweep.stop()
        self._beats.stop()
        return self.store.stop()

    def _stop(self, result: Any) -> None:
        self.state = step(SERVICE_STEPS, self.state, ServiceState.STOPPED)
        stopping, self._stopping = self._stopping, []
        for stopped in stopping:
            stopped.callback(result)

    def _takesRuns(self) -> bool:
        """Return whether runs of other processes can be begun anew here."""
        return self.state is ServiceState.RUNNING and self._retention.makeRoom(1)

    def _runEnded(self, run: Run) -> None:
        self.keys.starts.endRun(run.streamLog)
        self._retention.keepAfter(run.streamLog)

    def _viewerLeft(self, streamLog: IStreamLog) -> None:
        run = self.runs.find(streamLog.name)
        if run is not None:
            run.viewerLeft()
            self._drain.endUnwatched()
        elif streamLog.published and streamLog.state is State.OPEN:
            self._ends.idle.use(streamLog.name)
