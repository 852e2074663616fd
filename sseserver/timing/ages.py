"""
Ages: ends things whose time is over, a bounded number in each turn of the reactor.

`sseserver.service` deletes ended streams with it, and ends open ones that nobody uses.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from sseserver.timing.ticker import Tick, Ticker

log = Logger(__name__)

#: Number of things that are ended in one turn of the reactor. Thousands may be due at once: those of the same moment.
ENDS_PER_TURN = 100


class Ages:
    """
    Ends things in the order in which they are due.

    Args:
        ticker: Schedules the ends.
        findDue: Returns the time at which the next thing is due, on the ticker's clock; `None` if there is none.
        end: Ends the thing that is due next, and forgets it first. An exception is logged.
    """

    def __init__(self, ticker: Ticker, findDue: Callable[[], float | None], end: Callable[[], object]) -> None:
        self._ticker = ticker
        self._findDue = findDue
        self._end = end
        # At most one of the two is set.
        self._tick: Tick | None = None
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Schedule the next end, unless one is scheduled: that one is not later."""
        if self._tick is None and self._next is None:
            due = self._findDue()
            if due is not None:
                self._tick = self._ticker.at(due, self._endOld)

    def stop(self) -> None:
        """Schedule no further end until the next start."""
        if self._tick is not None:
            self._ticker.cancel(self._tick)
            self._tick = None
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _endOld(self, now: float) -> float | None:
        """End what is due, as far as the turn has time for it."""
        for _ in range(ENDS_PER_TURN):
            due = self._findDue()
            if due is None or due > now:
                if due is None:
                    self._tick = None
                return due
            try:
                self._end()
            except BaseException:
                log.failure("The end of something old failed")
        self._tick = None
        self._next = self._ticker.clock.callLater(0, self._goOn)
        return None

    def _goOn(self) -> None:
        """Go on, and schedule what is not due yet."""
        self._next = None
        due = self._endOld(self._ticker.seconds())
        if due is not None:
            self._tick = self._ticker.at(due, self._endOld)
