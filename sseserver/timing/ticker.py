"""
A ticker: one `LoopingCall` that makes the calls of many.

A `LoopingCall` or a delayed call for each of thousands of streams would cost more than the tokens
themselves (28 microseconds a tick with 2,000 loops). So time is cut into slots: calls wait in the
slot in which they are due, and one loop walks over the slots. A call that is due in the middle of
a slot is made at its end: late by one slot at most, never early.

Paced sources, flushes, heartbeats, lingers and ages share the tickers of a service. Ten thousand heartbeats may be due
in one slot: a walk that takes too long goes on in the next turns of the reactor.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from time import monotonic
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorCore, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from sseserver.timing.patience import LATE
from sseserver.timing.turnend import TurnEnd
from sseserver.timing.wallclock import findWallClock

log = Logger(__name__)

#: Number. Added before `int`, it rounds up. It is a little less than 1 because sums of floats are
#: not exact: 0.30000000000000004 belongs to the slot that ends at 0.3.
_UP = 1 - 1e-6

#: Seconds. No further calls are made in a turn of the reactor that has lasted so long. What they have written is sent
#: at the end of the turn, which takes twice as long.
LONGEST_TURN = 0.0015

#: Calls that are made between two looks at the time and for events of the reactor, which interrupt the walk.
CALLS_PER_LOOK = 10

#: Seconds. Events do not interrupt a walk that has waited for them so long: whatever comes, ticks are late by no more.
PATIENCE = 0.01


#: Slot numbers of a tick that does not wait, and of one whose call is being made.
IDLE, FIRING = -1, -2

# Looked up for each call.
_IDLE, _FIRING = IDLE, FIRING


class Tick:
    """
    A call that a ticker makes, once or repeatedly.

    Classes with many instances derive from it: that saves the object between the ticker and each
    instance.

    Attributes:
        slot: Number of the slot in which it waits; `IDLE` or `FIRING` while it does not.
    """

    __slots__ = ("slot",)

    def __init__(self) -> None:
        self.slot = IDLE

    def fire(self, now: float) -> float | None:
        """
        Do the work; the tick is due.

        Args:
            now: The time, in seconds on the ticker's clock.

        Returns:
            The time when it is due again; `None` ends it.
        """
        raise NotImplementedError("A subclass must define fire.")

    def cancelled(self) -> None:
        """Release resources; the tick was cancelled and is not called again."""


class _Call(Tick):
    """A tick that calls a function."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[float], float | None]) -> None:
        self.slot = IDLE
        self._function: Callable[[float], float | None] | None = function

    def fire(self, now: float) -> float | None:
        """See `Tick.fire`."""
        return self._function(now) if self._function is not None else None

    def cancelled(self) -> None:
        """
        See `Tick.cancelled`.

        The function is often a method of the tick's owner: this breaks the cycle.
        """
        self._function = None


class _Steady:
    """
    A clock for `LoopingCall` whose time does not jump.

    The wall clock is adjusted all the time; on it the loop's turns would drift through the slots.
    """

    __slots__ = ("callLater", "seconds")

    def __init__(self, clock: IReactorTime, seconds: Callable[[], float]) -> None:
        self.callLater = clock.callLater
        self.seconds = seconds


class Ticker:
    """
    Makes many calls from one `LoopingCall`, which runs only while calls wait.

    Args:
        clock: Schedules the loop.
        granularity: Seconds. Width of a slot.
        seconds: Returns the time. By default `time.monotonic` for a reactor, whose own time may be the
            wall clock and jump (twisted#2424); for a `task.Clock` its own time.
        turnEnd: The calls of each tick are a batch of it. By default the ticker has its own.
        patient: Whether `seconds` stands still while the process is paused (suspended, stopped by a debugger, starved
            by its host). Limits for others must not count that time: what would have kept them is still to be read.
            A turn that is more than `LATE` seconds late shows a pause; in a `task.Clock` no turn is late.
        lazy: Whether the loop runs on until its next turn when the last tick was cancelled, for ticks that come and go
            in microseconds. `stop` ends it at once.

    Attributes:
        clock: See above.
        late: Seconds by which the present turn is late, if the process was paused and the ticker is not patient.
        seconds: Returns the time, by which calls are due.
        turnEnd: See above.
        wall: Returns the time of day, in seconds since 1970.
    """

    def __init__(
        self,
        clock: IReactorTime,
        granularity: float,
        seconds: Callable[[], float] | None = None,
        turnEnd: TurnEnd | None = None,
        patient: bool = False,
        lazy: bool = False,
    ) -> None:
        self.clock = clock
        self.wall = findWallClock(clock)
        self._granularity = granularity
        self._lazy = lazy
        real: Callable[[], float] = seconds or (monotonic if IReactorCore.providedBy(clock) else clock.seconds)
        self._real = real
        self.seconds = self._countActive if patient else real
        # Seconds of all pauses that a patient ticker has seen; the time on the real clock at which the next turn of the
        # loop is expected, and whether it can be late.
        self._paused = 0.0
        self._expected = inf
        self._canBeLate = IReactorCore.providedBy(clock)
        self.late = 0.0
        # The time when the loop was started. Slots are counted from there, so that they end with
        # its turns.
        self._origin = 0.0
        # By number, the ticks of each slot in the order in which they came; and a heap of the
        # numbers.
        self._slots: dict[int, dict[Tick, None]] = {}
        self._heap: list[int] = []
        # Number of ticks that wait.
        self._count = 0
        # Number of the last slot whose calls were made; the ticks of the slot whose calls are being
        # made.
        self._present = 0
        self._walking: dict[Tick, None] | None = None
        # Goes on with a walk that was interrupted.
        self._next: IDelayedCall | None = None
        # The time from which on events do not interrupt the present walk.
        self._patientUntil = 0.0
        self.turnEnd = turnEnd or TurnEnd(clock)
        self._loop = LoopingCall(self._turn)
        steady: Any = _Steady(clock, real)
        self._loop.clock = steady

    def at(self, due: float, call: Callable[[float], float | None]) -> Tick:
        """
        Call a function at a time.

        Args:
            due: The time, in seconds on this ticker's clock.
            call: Gets the time, and returns the time when it is due again, or `None`. An exception
                is logged and ends this tick, no other.

        Returns:
            The tick, for `cancel`.
        """
        tick = _Call(call)
        self.put(tick, due)
        return tick

    def put(self, tick: Tick, due: float) -> None:
        """
        Schedule an idle tick.

        Args:
            tick: The tick, which `cancel` takes too.
            due: The time, in seconds on this ticker's clock.
        """
        if not self._loop.running:
            self._origin = self.seconds()
            self._present = 0
            self._expectTurn(self._origin + self._paused)
            self._loop.start(self._granularity, now=False)
        self._put(tick, due)

    def cancel(self, tick: Tick) -> None:
        """Cancel a tick. Does nothing to one that is done."""
        slot, tick.slot = tick.slot, IDLE
        tick.cancelled()
        ticks = self._slots.get(slot)
        if ticks is not None:
            del ticks[tick]
            self._count -= 1
            if not self._lazy:
                self._stopIfIdle()

    def stop(self) -> None:
        """Cancel all ticks and stop the loop. May be called inside a call."""
        for ticks in (*self._slots.values(), self._walking or {}):
            for tick in ticks:
                tick.slot = IDLE
                tick.cancelled()
        self._slots.clear()
        self._count = 0
        self._stopIfIdle()

    def setLazy(self, lazy: bool) -> None:
        """
        Change whether the loop runs on after its last tick; if it no longer may, it stops at once when no tick waits.

        Args:
            lazy: See `Ticker`.
        """
        self._lazy = lazy
        if not lazy:
            self._stopIfIdle()

    def _countActive(self) -> float:
        """Return the time without the pauses of the process."""
        now = self._real()
        late = now - self._expected
        if late > LATE:
            # Whole slots, so that they still end with the turns of the loop.
            pause = int(late / self._granularity) * self._granularity
            self._paused += pause
            self._expected += pause
        return now - self._paused

    def _expectTurn(self, now: float) -> None:
        """Note when the next turn of the loop is expected: one slot from now, on the real clock."""
        if self._canBeLate:
            self._expected = now + self._granularity

    def _stopIfIdle(self) -> None:
        # Not inside a turn of the loop: a LoopingCall that its own function stops and starts runs
        # twice from then on.
        if not self._count and self._walking is None:
            self._slots.clear()
            self._heap.clear()
            self._expected = inf
            if self._loop.running:
                self._loop.stop()
            if self._next is not None:
                self._next.cancel()
                self._next = None

    def _put(self, tick: Tick, due: float) -> None:
        # A tick that is due now or was due before waits for the next slot, so that each walk ends.
        slots = (due - self._origin) / self._granularity
        if slots <= 1e15:
            # A time long past would overflow a C integer.
            slot = int(max(slots, 0.0) + _UP)
        elif slots > 1e15:
            # So would a later time, which means never.
            slot = 10**15
        else:
            raise ValueError("The time of a tick must be a number.")
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
        """Make the calls of all slots that have ended; stop the loop if no tick waits."""
        now = self.seconds()
        real = now + self._paused
        late = real - self._expected
        self.late = late if late > LATE else 0.0
        self._expectTurn(real)
        if self._next is None:
            self._patientUntil = real + PATIENCE
        self._present = max(self._present, int((now - self._origin) / self._granularity + 1e-6))
        self._makeCalls(now)

    def _goOn(self) -> None:
        """Go on with a walk."""
        self._next = None
        self._makeCalls(self.seconds())

    def _makeCalls(self, now: float) -> None:
        """Make calls in one batch; stop the loop if no tick waits then."""
        self.turnEnd.begin()
        try:
            self._walk(now)
        finally:
            # The end of the turn is still inside the loop's function, see `_stopIfIdle`.
            self._walking = {}
            try:
                self.turnEnd.end()
            finally:
                self._walking = None
        self._stopIfIdle()

    def _walk(self, now: float) -> None:
        """Make the calls of the slots that have ended, as far as the turn has time for them."""
        room = CALLS_PER_LOOK
        until = self._real() + LONGEST_TURN
        while self._heap and self._heap[0] <= self._present:
            slot = heappop(self._heap)
            ticks = self._walking = self._slots.pop(slot, {})
            self._count -= len(ticks)
            for tick in ticks:
                # A call before this one may have cancelled it.
                if tick.slot != slot:
                    continue
                if not room:
                    real = self._real()
                    if real >= until or (real < self._patientUntil and self._isAsked()):
                        self._interrupt(slot)
                        return
                    room = CALLS_PER_LOOK
                room -= 1
                tick.slot = _FIRING
                try:
                    due = tick.fire(now)
                    # Inside the call the tick may be cancelled, and even put again.
                    if tick.slot == _FIRING:
                        tick.slot = _IDLE
                        if due is not None:
                            self._put(tick, due)
                except BaseException:
                    # `SystemExit`, too: it would end the loop, and with it all other ticks.
                    tick.slot = IDLE
                    log.failure("A call of a ticker failed; it is not repeated")

    def _isAsked(self) -> bool:
        """Return whether the reactor has a few events to handle."""
        return self.turnEnd.hasEvents is not None and self.turnEnd.hasEvents()

    def _interrupt(self, slot: int) -> None:
        """Let the ticks of a slot that were not called wait for the next turn of the reactor."""
        ticks = {tick: None for tick in self._walking or () if tick.slot == slot}
        self._slots[slot] = ticks
        self._count += len(ticks)
        heappush(self._heap, slot)
        if self._next is None:
            self._next = self.clock.callLater(0, self._goOn)
