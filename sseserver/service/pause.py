"""
The pause of a run that is too far ahead of its viewers, or for which the store has no room.

`Run` makes one when it pauses its source.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from sseserver.interfaces import IStreamLog
from sseserver.timing.ticker import Tick, Ticker

#: Seconds between two looks of a paused run whether the store has room again.
_RETRY = 1.0


class Pause:
    """
    Finds out when a paused run may go on.

    Args:
        streamLog: The stream of the run.
        enough: Bytes. The run may go on when it is ahead of its fastest viewer by no more: less than the read-ahead, or
            it would pause and resume with each write of its viewer.
        makeRoom: Forgets ended streams if the store is full; returns whether the store has room.
        sweep: Ticker of the retries.
        resume: Called when the run may go on.
    """

    def __init__(
        self,
        streamLog: IStreamLog,
        enough: int,
        makeRoom: Callable[[], bool],
        sweep: Ticker,
        resume: Callable[[], object],
    ) -> None:
        self._streamLog = streamLog
        self._enough = enough
        self._makeRoom = makeRoom
        self._sweep = sweep
        self._resume = resume
        # Whether the condition is evaluated at the end of this turn.
        self._evaluating = False
        self._isOver = False
        self._awaiting: list[Deferred[None]] = []
        self._retrying: Tick | None = None
        streamLog.onChange = self._noteChange
        if not makeRoom():
            self._retry()

    def wait(self) -> Deferred[None]:
        """Return a Deferred that fires at the end."""
        ready: Deferred[None] = Deferred(self._awaiting.remove)
        self._awaiting.append(ready)
        return ready

    def end(self) -> None:
        """End the pause: the run goes on, or has ended."""
        self._isOver = True
        self._streamLog.onChange = None
        if self._retrying is not None:
            self._sweep.cancel(self._retrying)
            self._retrying = None
        awaiting, self._awaiting = self._awaiting, []
        for ready in awaiting:
            ready.callback(None)

    def _noteChange(self) -> None:
        """Evaluate at the end of the turn, once for all viewers that have moved, come or left in it."""
        if not self._evaluating:
            self._evaluating = True
            self._sweep.turnEnd.atEnd(self._evaluate)

    def _evaluate(self, now: float | None = None) -> None:
        """
        Let the run go on if its fastest viewer is near enough, and the store has room.

        Args:
            now: The time, if it is a retry: no viewer's read signals that the store has room again.
        """
        if now is None:
            self._evaluating = False
        else:
            self._retrying = None
        if self._isOver or self._streamLog.measureAhead() > self._enough:
            return
        if self._makeRoom():
            self._resume()
        elif self._retrying is None:
            self._retry()

    def _retry(self) -> None:
        self._retrying = self._sweep.at(self._sweep.seconds() + _RETRY, self._evaluate)
