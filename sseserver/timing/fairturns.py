"""
FairTurns: the turns of the reactor, shared by many that have more to do than one turn has time for.

A thousand viewers that catch up may all have room in one turn. Each would take a fraction of a millisecond, and
everybody else would wait for all of them. So together they have a share of the turn; those it does not suffice for
wait in a row, and go on one after another in the next turns, a step at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorCore, IReactorTime
from twisted.logger import Logger

from sseserver.timing.turnend import TurnEnd

log = Logger(__name__)

#: Seconds. The share of a turn. The last step that begins in it may take as long again.
SHARE = 0.004


class Worker(Protocol):
    """Has work of many steps. It is hashed by identity."""

    def goOn(self) -> None:
        """Do a step; after it, do more as long as `FairTurns.hasTime`, and otherwise `FairTurns.put` this again."""


class FairTurns:
    """
    Shares the turns of one reactor among workers.

    Args:
        clock: The reactor, or a `task.Clock`.
        turnEnd: The steps of each turn are a batch of it.
    """

    def __init__(self, clock: IReactorTime, turnEnd: TurnEnd) -> None:
        self._clock = clock
        self._turnEnd = turnEnd
        # Not the time of a reactor, which may jump (twisted#2424).
        self._seconds: Callable[[], float] = monotonic if IReactorCore.providedBy(clock) else clock.seconds
        # The end of the share. Turns are not counted: a delayed call in each would cost more than a look at the time.
        self._until = -SHARE
        self._waiting: OrderedDict[Worker, None] = OrderedDict()
        self._call: IDelayedCall | None = None
        # Whether workers go on now; the next turn is scheduled after the last of them.
        self._serving = False

    def hasTime(self) -> bool:
        """Return whether a worker may do a step in this turn: nobody waits, and the share is not used up."""
        if self._waiting:
            return False
        now = self._seconds()
        if now < self._until:
            return True
        if now < self._until + SHARE:
            return False
        # The last share is long over: this one begins.
        self._until = now + SHARE
        return True

    def put(self, worker: Worker) -> None:
        """
        Let a worker go on in another turn, after those that wait already.

        Args:
            worker: Its `goOn` is called once. An exception, `SystemExit` too, is logged and affects no other worker.
        """
        self._waiting[worker] = None
        if self._call is None and not self._serving:
            self._call = self._clock.callLater(0, self._serve)

    def remove(self, worker: Worker) -> None:
        """
        Let a worker wait no longer. Harmless if it does not.

        Args:
            worker: See `put`.
        """
        self._waiting.pop(worker, None)
        if not self._waiting and self._call is not None:
            self._call.cancel()
            self._call = None

    def _serve(self) -> None:
        """Let each worker go on once, the first ones first, until the share of this turn is used up."""
        self._call = None
        until = self._until = self._seconds() + SHARE
        self._serving = True
        self._turnEnd.begin()
        try:
            for _ in range(len(self._waiting)):
                if not self._waiting:
                    break
                worker, _ = self._waiting.popitem(last=False)
                self._letGoOn(worker)
                if self._seconds() >= until:
                    break
        finally:
            self._turnEnd.end()
            self._serving = False
            if self._waiting:
                self._call = self._clock.callLater(0, self._serve)

    def _letGoOn(self, worker: Worker) -> None:
        try:
            worker.goOn()
        except BaseException:
            log.failure("A step of a worker failed")
