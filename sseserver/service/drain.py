"""
Drain: the orderly end of a service's work.

`StreamService` has one while it stops. First runs end and viewers read, in peace; then runs are ended, viewers are told
to return later, and connections are cut. No peer, source or program can make it last longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from sseserver.service.runqueue import RunQueue
from sseserver.service.viewers import Viewers
from sseserver.timing.patience import PatientCall

log = Logger(__name__)

#: Seconds after the end of the runs until viewers that are still behind are told to return later.
RETIRE_AFTER = 1.0

#: Seconds from then until the rest of the connections is cut.
CUT_AFTER = 2.0


class Drain:
    """
    The end of all runs and viewers, within a time.

    Args:
        clock: The reactor.
        seconds: Time that runs have to end, and viewers to read.
        runs: The runs.
        viewers: The viewers.

    Attributes:
        isForWatched: Whether only runs with viewers have that time.
    """

    def __init__(self, clock: Any, seconds: float, runs: RunQueue, viewers: Viewers) -> None:
        self.isForWatched = False
        self._clock = clock
        self._seconds = seconds
        self._runs = runs
        self._viewers = viewers
        # The next step.
        self._next: PatientCall | None = None
        # Fire at the end; `None` before the start and after the end.
        self._waiting: list[Deferred[None]] | None = None

    def start(self) -> None:
        """Accept nothing more, and begin to wait."""
        self._waiting = []
        left = self._viewers.drain()
        self._runs.endWaiting()
        self.endUnwatched()
        released = self._runs.awaitRelease()
        if self._runs.names or self._viewers.count:
            log.info(
                "Stopping: {runs} runs and {viewers} viewers have {seconds:g} seconds to end",
                runs=len(self._runs.names),
                viewers=self._viewers.count,
                seconds=self._seconds,
            )
        self._schedule(self._seconds, self._endRuns)
        left.addCallback(lambda _: released).addCallback(self._end)

    def endUnwatched(self) -> None:
        """End the runs without viewers, if the drain is only for the others. Does nothing before the start."""
        if self.isForWatched and self._waiting is not None:
            self._runs.endUnwatched()

    def wait(self) -> Deferred[None]:
        """Return a Deferred that fires when no run holds anything and no viewer is left."""
        if self._waiting is None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def hurry(self) -> None:
        """End all runs, and cut all viewers, at once. Does nothing before the start and after the end."""
        if self._waiting is not None:
            self._unschedule()
            self._runs.endAll()
            self._viewers.cut()

    def _endRuns(self) -> None:
        self._schedule(RETIRE_AFTER, self._retire)
        self._runs.endAll()

    def _retire(self) -> None:
        """Tell viewers that have not read everything to return later."""
        self._schedule(CUT_AFTER, self._cut)
        self._viewers.retire()

    def _cut(self) -> None:
        self._next = None
        self._viewers.cut()

    def _end(self, _: None) -> None:
        self.isForWatched = False
        self._unschedule()
        waiting, self._waiting = self._waiting or [], None
        for each in waiting:
            each.callback(None)

    def _schedule(self, seconds: float, call: Callable[[], None]) -> None:
        self._next = PatientCall(self._clock, seconds, call)

    def _unschedule(self) -> None:
        following, self._next = self._next, None
        if following is not None:
            following.cancel()
