"""
The next turn of the reactor, or the end of the present one: ticks that are due then share one call.

A delayed call for each of fifty requests of a turn costs as much as the tokens of their answers. And it would be made
behind calls of the same turn, such as the outbox of `sseserver.speedups`, so that one answer leaves in two sends.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from sseserver.timing.ticker import FIRING, IDLE, Tick
from sseserver.timing.turnend import TurnEnd

log = Logger(__name__)


class NextTurn:
    """
    Makes the calls of many ticks in the next turn of a reactor.

    Ticks that come in a batch of the turn end do not wait so long: their calls are made at its end. Those that come
    while the calls are made do, so that each turn ends.

    Args:
        clock: The reactor, or a `task.Clock`.
        turnEnd: The calls of each turn are a batch of it. `None` makes no batches.
    """

    __slots__ = ("_call", "_clock", "_number", "_ticks", "_turnEnd", "_waits", "_walks")

    def __init__(self, clock: IReactorTime, turnEnd: TurnEnd | None = None) -> None:
        self._clock = clock
        self._turnEnd = turnEnd
        self._call: IDelayedCall | None = None
        # Whether the end of a batch will make the calls; and whether they are being made.
        self._waits = self._walks = False
        # The ticks of the next turn, in the order in which they came, and the number of that turn: their slot.
        self._ticks: dict[Tick, None] = {}
        self._number = 0

    def put(self, tick: Tick) -> None:
        """
        Schedule an idle tick. Its `fire` gets 0, and returns any number if the tick is due again in the turn after.

        Args:
            tick: The tick, which `cancel` takes too.
        """
        if self._call is None and not self._waits:
            if self._turnEnd is not None and self._turnEnd.isOpen and not self._walks:
                self._waits = True
                self._turnEnd.atEnd(self._fire)
            else:
                self._call = self._clock.callLater(0, self._fire)
        tick.slot = self._number
        self._ticks[tick] = None

    def cancel(self, tick: Tick) -> None:
        """Cancel a tick. Does nothing to one that is done."""
        slot, tick.slot = tick.slot, IDLE
        tick.cancelled()
        if slot == self._number:
            del self._ticks[tick]
            if not self._ticks and self._call is not None:
                self._call.cancel()
                self._call = None

    def _fire(self) -> None:
        """Make the calls of the ticks that are due."""
        self._call, self._waits = None, False
        if self._turnEnd is None:
            self._walk()
            return
        self._turnEnd.begin()
        self._walks = True
        try:
            self._walk()
        finally:
            self._walks = False
            self._turnEnd.end()

    def _walk(self) -> None:
        ticks, self._ticks = self._ticks, {}
        number = self._number
        self._number += 1
        for tick in ticks:
            # A call before this one may have cancelled it, and even put it again.
            if tick.slot == number:
                tick.slot = FIRING
                try:
                    again = tick.fire(0.0)
                    if tick.slot == FIRING:
                        tick.slot = IDLE
                        if again is not None:
                            self.put(tick)
                except BaseException:
                    # `SystemExit`, too: it would end all other ticks of the turn.
                    tick.slot = IDLE
                    log.failure("A call of a turn failed; it is not repeated")
