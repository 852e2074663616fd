"""
The end of a reactor turn: work that is done once for everything that happened in the turn.

`callLater(0)` would do that work in the next turn, after another poll of every socket, which is a
large part of the price of a turn. Code that makes many calls together knows when the last one is
made. Tickers and the intake of `sseserver.speedups` mark such batches; the outbox of
`sseserver.speedups` sends at their end.

A long batch looks now and then whether the reactor has events, and leaves the rest of its work to the next turn then.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

log = Logger(__name__)


class TurnEnd:
    """
    The calls that are made when a turn of one reactor ends.

    Everything that works for the same service shares one: a source and a store whose tickers have
    another one still work, but what they cause is sent one reactor turn later.

    Args:
        clock: The reactor, or a `task.Clock`.
        hasEvents: Tells whether the reactor has a few events to handle, such as a new connection, which should not wait
            for the end of a long batch; `None` if that is not known.

    Attributes:
        hasEvents: See above.
    """

    __slots__ = ("_calls", "_clock", "_depth", "hasEvents")

    def __init__(self, clock: IReactorTime, hasEvents: Callable[[], bool] | None = None) -> None:
        self.hasEvents = hasEvents
        self._clock = clock
        self._calls: list[Callable[[], None]] = []
        # Batches that have begun and not ended.
        self._depth = 0

    def atEnd(self, call: Callable[[], None]) -> None:
        """
        Make a call once when the turn ends.

        That is after the outermost batch, or without a batch in the reactor's next turn.

        Args:
            call: Made once each time it is given. An exception, `SystemExit` too, is logged and affects no other call.
        """
        if not self._calls and not self._depth:
            self._clock.callLater(0, self._finish)
        self._calls.append(call)

    @property
    def isOpen(self) -> bool:
        """Return whether a batch has begun and not ended."""
        return self._depth > 0

    def begin(self) -> None:
        """Begin a batch, which may be inside another; `end` must follow in the same turn."""
        self._depth += 1

    def end(self) -> None:
        """End the batch; make the deferred calls if it was the outermost one."""
        self._depth -= 1
        if self._calls and not self._depth:
            self._finish()

    def _finish(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            try:
                call()
            except BaseException:
                log.failure("A call at the end of a reactor turn failed")
