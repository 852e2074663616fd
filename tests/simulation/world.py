"""
World: virtual time, and the order of everything that happens at the same time.

Time moves from one due call to the next. Whatever is due at once, in all processes, on the network and among the
actors, happens in an order that the seed chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Protocol

#: Seconds since 1970. Time of the world's start.
START = 1_800_000_000.0

#: Turns without progress of time after which the world counts as stuck in a loop.
MAX_TURNS = 20_000

#: One thing that is due. It checks itself whether it still has to happen.
Action = Callable[[], object]


class Stuck(Exception):
    """Something happens again and again, and no time passes."""


class Machine(Protocol):
    """A part of the world with a clock of its own: the reactor of a process."""

    def nextTime(self) -> float | None:
        """Return when the next call is due; `None` if there is none."""

    def dueActions(self, now: float) -> list[Action]:
        """Return everything that is due or ready, in a fixed order."""


class Timer:
    """A call that `World.after` has scheduled."""

    __slots__ = ("_call",)

    def __init__(self, call: Action) -> None:
        self._call: Action | None = call

    def cancel(self) -> None:
        """Do not make the call. Harmless if it was made."""
        self._call = None

    def fire(self) -> None:
        """Make the call, unless it was cancelled."""
        call, self._call = self._call, None
        if call is not None:
            call()

    @property
    def active(self) -> bool:
        """Whether the call is still to be made."""
        return self._call is not None


class World:
    """
    The scheduler of a simulation.

    Args:
        chance: Decides the order of what is due at once.

    Attributes:
        now: Seconds since 1970.
        chance: See above.
        turns: Number of turns so far.
    """

    def __init__(self, chance: Random) -> None:
        self.now = START
        self.chance = chance
        self.turns = 0
        self._machines: list[Machine] = []
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._still = 0

    def add(self, machine: Machine) -> None:
        """Add a machine to the world."""
        self._machines.append(machine)

    def remove(self, machine: Machine) -> None:
        """Remove a machine; nothing of it happens any more."""
        self._machines.remove(machine)

    def end(self) -> None:
        """Forget everything that was still to happen."""
        self._machines.clear()
        self._timers.clear()

    def after(self, delay: float, call: Action) -> Timer:
        """Make a call of the network or of an actor later."""
        timer = Timer(call)
        self._count += 1
        heappush(self._timers, (self.now + delay, self._count, timer))
        return timer

    def seconds(self) -> float:
        """Return the time."""
        return self.now

    def run(self, until: Callable[[], bool], limit: float) -> bool:
        """
        Let the world turn.

        Args:
            until: Evaluated after each turn.
            limit: Seconds of virtual time.

        Returns:
            Whether `until` became true within the limit.

        Raises:
            Stuck: No time passes any more.
        """
        end = self.now + limit
        while not until():
            if not self._turn(end):
                return until()
        return True

    def pass_(self, seconds: float) -> None:
        """Let the world turn for some time."""
        end = self.now + seconds
        while self._turn(end):
            pass
        self.now = end

    def _turn(self, end: float) -> bool:
        """Do everything that is due; if nothing is, move on to the next time. Return false at the end."""
        actions: list[Action] = []
        while self._timers and self._timers[0][0] <= self.now:
            actions.append(heappop(self._timers)[2].fire)
        for machine in self._machines:
            actions += machine.dueActions(self.now)
        if not actions:
            following = self._nextTime()
            if following is None or following > end:
                return False
            self.now = max(self.now, following)
            self._still = 0
            return True
        self.turns += 1
        self._still += 1
        if self._still > MAX_TURNS:
            raise Stuck(f"{MAX_TURNS} turns in the same moment; the last actions: {actions[:5]}")
        self.chance.shuffle(actions)
        for action in actions:
            action()
        return True

    def _nextTime(self) -> float | None:
        while self._timers and not self._timers[0][2].active:
            heappop(self._timers)
        times = [time for machine in self._machines if (time := machine.nextTime()) is not None]
        if self._timers:
            times.append(self._timers[0][0])
        return min(times, default=None)
