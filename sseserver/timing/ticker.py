"""
Ticker: one L{LoopingCall} that drives many.

A `LoopingCall` or a delayed call for each of thousands of streams would cost
more than the tokens themselves (28 microseconds a tick with 2,000 loops). So
time is cut into slots, calls wait in the slot that they are due in, and one
loop walks over the slots. A call that is due in the middle of a slot is made
at the slot's end: late by one slot at most, never early.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from time import monotonic
from typing import Any

from twisted.internet.interfaces import IReactorCore, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sseserver.timing.turnend import TurnEnd

log = Logger()

#: Makes C{int} round up. The hair that is missing to 1 is for sums of steps: 0.30000000000000004 is not after the slot
#: that ends at 0.3.
_UP = 1 - 1e-6


#: The slot of a tick that does not wait, and of one that is called now.
IDLE, FIRING = -1, -2


class Tick:
    """
    What waits for its time, again and again. Whoever has many of them derives
    from it, and is called without an object between.

    Attributes:
        slot: Where it waits; L{IDLE} or L{FIRING} while it does not.
    """

    __slots__ = ("slot",)

    def __init__(self) -> None:
        self.slot = IDLE

    def fire(self, now: float) -> float | None:
        """
        Its time has come.

        Args:
            now: In seconds on the ticker's clock.

        Returns:
            When it is due next, or C{None} when it is done.
        """
        raise NotImplementedError("Say what is to be done.")

    def cancelled(self) -> None:
        """It is called no more."""


class _Call(Tick):
    """Calls a function."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[float], float | None]) -> None:
        self.slot = IDLE
        self._function: Callable[[float], float | None] | None = function

    def fire(self, now: float) -> float | None:
        """See L{Tick.fire}."""
        return self._function(now) if self._function is not None else None

    def cancelled(self) -> None:
        """See L{Tick.cancelled}. Often it is a method of who holds this tick, and now the two part."""
        self._function = None


class _Steady:
    """
    What a L{LoopingCall} wants of a clock, with a time that does not jump.

    On the wall clock, which is set a little faster or slower all the time, its
    turns would drift through the slots.
    """

    __slots__ = ("callLater", "seconds")

    def __init__(self, clock: IReactorTime, seconds: Callable[[], float]) -> None:
        self.callLater = clock.callLater
        self.seconds = seconds


class Ticker:
    """
    Makes many calls from one L{LoopingCall}, which runs only while calls wait.

    Args:
        clock: Schedules the loop.
        granularity: Width of a slot in seconds.
        seconds: Tells the time. By default C{time.monotonic} beside a
            reactor, whose own time is the wall clock and can jump
            (twisted#2424), and the clock's own for a L{task.Clock}.
        turnEnd: Ends after the calls of a turn; by default one of its own.

    Attributes:
        clock: See above.
        seconds: See above.
        turnEnd: See above.
    """

    def __init__(
        self,
        clock: IReactorTime,
        granularity: float,
        seconds: Callable[[], float] | None = None,
        turnEnd: TurnEnd | None = None,
    ) -> None:
        self.clock = clock
        self._granularity = granularity
        self.seconds: Callable[[], float] = seconds or (monotonic if IReactorCore.providedBy(clock) else clock.seconds)
        # Slots are counted from when the loop was started, so that they end when it turns.
        self._origin = 0.0
        # The ticks of a slot, in the order in which they came; and the numbers of the slots.
        self._slots: dict[int, dict[Tick, None]] = {}
        self._heap: list[int] = []
        # How many ticks wait.
        self._count = 0
        # The last slot that was walked over; the ticks of the one that is walked over now.
        self._present = 0
        self._walking: dict[Tick, None] | None = None
        self.turnEnd = turnEnd or TurnEnd(clock)
        self._loop = LoopingCall(self._turn)
        steady: Any = _Steady(clock, self.seconds)
        self._loop.clock = steady

    def at(self, due: float, call: Callable[[float], float | None]) -> Tick:
        """
        Call a function when its time has come.

        Args:
            due: When, in seconds on this ticker's clock.
            call: Is given the time; returns when it is due again, or `None`.
                What it raises is logged and ends its ticks, not the others'.

        Returns:
            What L{cancel} takes.
        """
        tick = _Call(call)
        self.put(tick, due)
        return tick

    def put(self, tick: Tick, due: float) -> None:
        """
        Let a tick that is idle wait for its time.

        Args:
            tick: What L{cancel} takes.
            due: When, in seconds on this ticker's clock.
        """
        if not self._loop.running:
            self._origin = self.seconds()
            self._present = 0
            self._loop.start(self._granularity, now=False)
        self._put(tick, due)

    def cancel(self, tick: Tick) -> None:
        """Call this one no more. Harmless when it is done already."""
        slot, tick.slot = tick.slot, IDLE
        tick.cancelled()
        ticks = self._slots.get(slot)
        if ticks is not None:
            del ticks[tick]
            self._count -= 1
            self._stopIfIdle()

    def stop(self) -> None:
        """Forget all calls and stop the loop; also from inside a call."""
        for ticks in (*self._slots.values(), self._walking or {}):
            for tick in ticks:
                tick.slot = IDLE
                tick.cancelled()
        self._slots.clear()
        self._count = 0
        self._stopIfIdle()

    def _stopIfIdle(self) -> None:
        # Not inside a turn: a LoopingCall that is stopped and started by its own function runs twice from then on.
        if not self._count and self._walking is None:
            self._slots.clear()
            self._heap.clear()
            if self._loop.running:
                self._loop.stop()

    def _put(self, tick: Tick, due: float) -> None:
        # What is due now or was due before waits for the next slot: a turn always ends.
        slots = (due - self._origin) / self._granularity
        # Further than that is never, and no number for a C integer.
        slot = int(slots + _UP) if not slots > 1e15 else 10**15
        if slot <= self._present:
            slot = self._present + 1
        ticks = self._slots.get(slot)
        if ticks is None:
            ticks = self._slots[slot] = {}
            heappush(self._heap, slot)
        ticks[tick] = None
        tick.slot = slot
        self._count += 1

    def _turn(self) -> None:
        """Make the calls of all slots whose time has come; stop when none waits."""
        now = self.seconds()
        self.turnEnd.begin()
        try:
            self._walk(now)
        finally:
            self._walking = None
            self.turnEnd.end()
        self._stopIfIdle()

    def _walk(self, now: float) -> None:
        """Make the calls of all slots that have ended."""
        self._present = max(self._present, int((now - self._origin) / self._granularity + 1e-6))
        while self._heap and self._heap[0] <= self._present:
            slot = heappop(self._heap)
            self._walking = self._slots.pop(slot, {})
            self._count -= len(self._walking)
            for tick in self._walking:
                # One that was called earlier in this turn may have cancelled this one.
                if tick.slot == slot:
                    tick.slot = FIRING
                    try:
                        due = tick.fire(now)
                        # It may have been cancelled meanwhile, and even wait again.
                        if tick.slot == FIRING:
                            tick.slot = IDLE
                            if due is not None:
                                self._put(tick, due)
                    except BaseException:
                        # `SystemExit`, too: it would end the loop, and with it all other ticks.
                        tick.slot = IDLE
                        log.failure("A call on a ticker failed, and is made no more")
