"""
Tests for `sseserver.timing.nextturn`.
"""

from __future__ import annotations

from collections.abc import Callable

from sseserver.timing.nextturn import NextTurn
from sseserver.timing.ticker import FIRING, IDLE, Tick
from sseserver.timing.turnend import TurnEnd
from tests.fakes import ClockTestCase


class Noted(Tick):
    """
    A tick that notes its calls.

    Args:
        calls: Gets its name with each call.
        name: The name.
        work: Done in each call; its result is that of the tick.
    """

    def __init__(self, calls: list[str], name: str, work: Callable[[], float | None] = lambda: None) -> None:
        super().__init__()
        self._calls = calls
        self._name = name
        self.work = work

    def fire(self, now: float) -> float | None:
        """See `Tick.fire`."""
        self._calls.append(self._name)
        return self.work()


class NextTurnTests(ClockTestCase):
    """The ticks of the next turn."""

    def setUp(self) -> None:
        """Make a turn, and a list for the names of calls."""
        super().setUp()
        self.turnEnd = TurnEnd(self.clock)
        self.turn = NextTurn(self.clock, self.turnEnd)
        self.calls: list[str] = []

    def make(self, name: str, work: Callable[[], float | None] = lambda: None) -> Noted:
        """Make a tick of the next turn."""
        tick = Noted(self.calls, name, work)
        self.turn.put(tick)
        return tick

    def test_together(self) -> None:
        """Ticks are called in order, by one delayed call, and then idle."""
        ticks = [self.make("a"), self.make("b")]
        self.assertEqual((self.calls, len(self.clock.getDelayedCalls())), ([], 1))
        self.clock.turn()
        self.assertEqual((self.calls, [tick.slot for tick in ticks]), (["a", "b"], [IDLE, IDLE]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again(self) -> None:
        """A tick that returns a number is due again in the turn after, as often as it does."""
        results: list[float | None] = [0.0, 0.0, None]
        self.make("a", lambda: results.pop(0))
        for number in (1, 2, 3, 3):
            self.clock.turn()
            self.assertEqual(len(self.calls), number)

    def test_cancelled(self) -> None:
        """A cancelled tick is not called. Without any tick there is no delayed call."""
        first, second = self.make("a"), self.make("b")
        self.turn.cancel(first)
        self.turn.cancel(first)
        self.clock.turn()
        self.assertEqual(self.calls, ["b"])
        self.turn.put(second)
        self.turn.cancel(second)
        self.assertEqual((self.clock.getDelayedCalls(), second.slot), ([], IDLE))

    def test_cancelledInTheTurn(self) -> None:
        """A tick can be cancelled by one before it, and put again: then it is called in the turn after, once."""
        ticks: list[Noted] = []

        def swap() -> None:
            self.turn.cancel(ticks[0])
            self.turn.cancel(ticks[1])
            self.turn.put(ticks[1])

        self.make("first", swap)
        ticks += [self.make("a"), self.make("b")]
        self.clock.turn()
        self.assertEqual(self.calls, ["first"])
        self.clock.turn()
        self.assertEqual(self.calls, ["first", "b"])

    def test_putInItsOwnCall(self) -> None:
        """A tick that is cancelled and put inside its own call is due in the turn after, whatever it returns."""

        def putAgain() -> float:
            self.assertEqual(tick.slot, FIRING)
            if len(self.calls) == 1:
                self.turn.cancel(tick)
                self.turn.put(tick)
                return 0.0
            self.turn.cancel(tick)
            return 0.0

        tick = self.make("a", putAgain)
        for _ in range(4):
            self.clock.turn()
        self.assertEqual((self.calls, self.clock.getDelayedCalls()), (["a", "a"], []))

    def test_batch(self) -> None:
        """A turn is a batch: calls at its end come behind all ticks, also those that were asked for before the turn."""
        self.make("a", lambda: self.turnEnd.atEnd(lambda: self.calls.append("end of a")))
        self.turnEnd.atEnd(lambda: self.calls.append("end"))
        self.make("b")
        self.clock.turn()
        self.assertEqual(self.calls, ["a", "b", "end", "end of a"])

    def test_inABatch(self) -> None:
        """#16: ticks that come in a batch are called at its end, before what was to be done after them."""
        self.turnEnd.begin()
        self.make("a", lambda: self.turnEnd.atEnd(lambda: self.calls.append("end of a")))
        self.turnEnd.atEnd(lambda: self.calls.append("end"))
        self.make("b")
        self.assertEqual((self.calls, self.clock.getDelayedCalls()), ([], []))
        self.turnEnd.end()
        self.assertEqual(self.calls, ["a", "b", "end of a", "end"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_againInABatch(self) -> None:
        """#16: a tick that is due again, or puts another, does not prolong the batch."""
        results: list[float | None] = [0.0, None]
        self.turnEnd.begin()
        self.make("a", lambda: results.pop(0))
        self.make("b", lambda: self.make("c") and None)
        self.turnEnd.end()
        self.assertEqual(self.calls, ["a", "b"])
        self.clock.turn()
        self.assertEqual(self.calls, ["a", "b", "a", "c"])

    def test_cancelledInABatch(self) -> None:
        """#16: a tick that is cancelled in the batch is not called; one that is put again is called once."""
        self.turnEnd.begin()
        first, second = self.make("a"), self.make("b")
        for tick in (first, second):
            self.turn.cancel(tick)
        self.turn.put(second)
        self.turnEnd.end()
        self.assertEqual((self.calls, self.clock.getDelayedCalls()), (["b"], []))
        self.make("c")
        self.clock.turn()
        self.assertEqual(self.calls, ["b", "c"])

    def test_withoutTurnEnd(self) -> None:
        """Without an end of the turn there are no batches."""
        self.turn = NextTurn(self.clock)
        self.make("a")
        self.clock.turn()
        self.assertEqual(self.calls, ["a"])

    def test_broken(self) -> None:
        """An exception of a tick, `SystemExit` too, is logged, and ends this tick alone."""

        def leave() -> float:
            raise SystemExit("planted")

        broken = self.make("a", leave)
        self.make("b")
        self.clock.turn()
        self.assertEqual((self.calls, broken.slot), (["a", "b"], IDLE))
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)
