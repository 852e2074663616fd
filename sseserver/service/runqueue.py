"""
RunQueue: the runs of a service, working and waiting.

`StreamService` starts its runs here, and ends them all when it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from sseserver.errors import SourceError, StoreUnavailable
from sseserver.interfaces import IStreamLog, ITokenSource
from sseserver.service.ledger import RUN_COST
from sseserver.service.opening import ORDINARY, RunTraits, addDurations, addEnd
from sseserver.service.prompts import KeptPrompt
from sseserver.service.run import Run, Summarize
from sseserver.service.runcounts import RunCounts
from sseserver.service.runturns import RunTurns
from sseserver.service.states import RunState
from sseserver.settings import Settings
from sseserver.streams.account import Account
from sseserver.streams.terminal import packFailed
from sseserver.timing.patience import PatientCall
from sseserver.timing.ticker import Ticker
from sseserver.values import Reason

#: Seconds that sources have to release their resources when the service stops: a little more than a
#: program has between TERM and KILL.
RELEASE_LIMIT = 4.0


class RunQueue:
    """
    All runs of a service.

    Args:
        source: Produces the tokens of the runs.
        settings: Limits: `maxRuns`, `maxWaiting`, and those of a run.
        sweep: Ticker of the runs.
        work: Account of the runs.
        makeRoom: Forgets ended streams if the store is full; returns whether the store has room.
        onEnd: Called with each run whose terminal entry is written.

    Attributes:
        counts: The counts of the runs.
        isFollowed: Tells whether another process follows a stream; `None` if there are no others.
        turns: Lets a limited number of sources work at a time.
    """

    def __init__(
        self,
        source: ITokenSource,
        settings: Settings,
        sweep: Ticker,
        work: Account,
        makeRoom: Callable[[], bool],
        onEnd: Callable[[Run], None],
    ) -> None:
        self.counts = RunCounts()
        self.isFollowed: Callable[[str], Deferred[bool]] | None = None
        self._work = work
        self._settings = settings
        self._sweep = sweep
        self._makeRoom = makeRoom
        self._onEnd = onEnd
        # Runs without a terminal entry, by the names of their streams.
        self._open: dict[str, Run] = {}
        # Runs whose source still holds something, with a function to call when it does not.
        self._held: dict[Run, Callable[[], None] | None] = {}
        self.turns = RunTurns(source, settings, sweep.clock)
        # Fires when the last source has released everything, and the limit of that time after all runs were ended.
        self._released: Deferred[None] | None = None
        self._limit: PatientCall | None = None

    @property
    def names(self) -> list[str]:
        """Names of the streams whose runs have not ended, in the order of their starts."""
        return list(self._open)

    @property
    def held(self) -> int:
        """Number of runs whose source still works or releases its resources."""
        return len(self._held)

    def find(self, name: str) -> Run | None:
        """
        Return the run that writes a stream.

        Args:
            name: Name of the stream.

        Returns:
            `None` if the run has ended, or the stream has no run.
        """
        return self._open.get(name)

    def start(
        self,
        streamLog: IStreamLog,
        prompt: KeptPrompt | None,
        summarize: Summarize | None = None,
        onReleased: Callable[[], None] | None = None,
        traits: RunTraits = ORDINARY,
        *,
        restarted: bool = False,
    ) -> None:
        """
        Start a run, now or when it is its turn.

        Args:
            streamLog: A new stream, or that of a run which has lost its process.
            prompt: Passed to the source. It is released when the source has it.
            summarize: Adds members to the entry `done`, if any.
            onReleased: Called when the source has released everything.
            traits: Traits of the run.
            restarted: Whether the run has begun before, in another process.
        """
        if traits.tellsEnd:
            summarize = addEnd(summarize, self._sweep.wall)
        if traits.tellsDurations:
            summarize = addDurations(summarize, lambda: run.firstToken, self._sweep.clock.seconds)
        run = Run(streamLog, self._settings, self._sweep, self._makeRoom, self._ended, summarize)
        run.prompt = prompt
        if restarted:
            self.counts.noteRestart(run, streamLog.last, self._sweep.clock.seconds())
        self._open[streamLog.name] = run
        self._held[run] = onReleased
        self._work.add(RUN_COST)
        run.start(self.turns.produce, self._sourceReleased, self.counts, self.isFollowed)
        if traits.isDetached:
            run.detach()

    def endWaiting(self) -> None:
        """End the runs that wait for their turn: the server stops, and their sources have not begun."""
        self._stop(run for run in tuple(self._open.values()) if run.state is RunState.WAITING)

    def endUnwatched(self) -> None:
        """
        End the runs whose streams have no viewers: the server stops, and nobody waits for them.

        A run that another process follows goes on. It ends if that cannot be found out: somebody waits for the end.
        """
        unwatched = [run for run in self._open.values() if not run.streamLog.viewers]
        if self.isFollowed is None:
            self._stop(unwatched)
            return

        def end(followed: bool, run: Run) -> None:
            name = run.streamLog.name
            if not followed and self._open.get(name) is run and not run.streamLog.viewers:
                self._stop([run])

        for run in unwatched:
            self.isFollowed(run.streamLog.name).addErrback(_doubt).addCallback(end, run)

    def endAll(self) -> None:
        """
        End all runs because the server stops.

        From now on `awaitRelease` waits `RELEASE_LIMIT` seconds at most.
        """
        self._stop(tuple(self._open.values()))
        if self._released is not None and self._limit is None:
            self._limit = PatientCall(self._sweep.clock, RELEASE_LIMIT, self._giveUp)

    def awaitRelease(self) -> Deferred[None]:
        """
        Wait until no source holds anything, because the server stops.

        Returns:
            A Deferred that fires when all runs have ended, and their sources have released their resources.
        """
        if not self._held:
            return succeed(None)
        self._released = Deferred()
        return self._released

    def _stop(self, runs: Iterable[Run]) -> None:
        entry = packFailed(SourceError("The server was stopped before the end.", Reason.SHUTDOWN))
        for run in runs:
            run.stop(entry)

    def _ended(self, run: Run) -> None:
        del self._open[run.streamLog.name]
        self._onEnd(run)

    def _sourceReleased(self, run: Run) -> None:
        onReleased = self._held.pop(run)
        self._work.subtract(RUN_COST)
        if onReleased is not None:
            onReleased()
        if run.prompt is not None:
            run.prompt.release()
        if not self._held and self._released is not None:
            if self._limit is not None:
                self._limit.cancel()
            self._giveUp()

    def _giveUp(self) -> None:
        """Stop waiting for the sources."""
        self._limit = None
        released, self._released = self._released, None
        if released is not None:
            released.callback(None)


def _doubt(failure: Failure) -> bool:
    """Take a run for one that nobody follows where nobody knows."""
    failure.trap(StoreUnavailable)
    return False
