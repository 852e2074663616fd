"""
TurnEnd: what is done when the reactor's turn ends.

`callLater(0)` comes in the reactor's next turn, with another look at all its
connections between. That is a good part of what a turn costs, and who makes
many calls in one go knows better when it has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from twisted.logger import Logger

log = Logger()


class TurnEnd:
    """The end of a reactor's turn."""

    __slots__ = ("_calls", "_depth")

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] = []
        # How many began and have not ended.
        self._depth = 0

    def atEnd(self, clock: Any, call: Callable[[], None]) -> None:
        """
        Make a call once when this turn ends: after what was begun, else when
        the reactor comes round. What it raises is logged.

        Args:
            clock: The reactor whose turn it is.
            call: Is made once, also when it asks for the end of the turn again.
        """
        if not self._calls and not self._depth:
            clock.callLater(0, self._finish)
        self._calls.append(call)

    def begin(self) -> None:
        """Many calls follow, and then an L{end}."""
        self._depth += 1

    def end(self) -> None:
        """That were all."""
        self._depth -= 1
        if self._calls and not self._depth:
            self._finish()

    def _finish(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            try:
                call()
            except Exception:
                log.failure("What waited for the end of the turn failed")


_turns: WeakKeyDictionary[Any, TurnEnd] = WeakKeyDictionary()


def turnOf(clock: Any) -> TurnEnd:
    """Give the turn of a reactor; who runs on the same one has the same."""
    turn = _turns.get(clock)
    if turn is None:
        turn = _turns[clock] = TurnEnd()
    return turn
