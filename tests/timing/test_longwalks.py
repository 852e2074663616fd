"""
Tests of `sseserver.timing.ticker`: walks that take longer than a turn of the reactor may last.
"""

from __future__ import annotations

from collections.abc import Callable

from sseserver.timing.ticker import CALLS_PER_LOOK, LONGEST_TURN, PATIENCE, Tick, Ticker
from sseserver.timing.turnend import TurnEnd
from tests.timing.cases import SLOT, TickerTestCase

#: Number of ticks that are due together.
MANY = 5 * CALLS_PER_LOOK


class LongWalkTests(TickerTestCase):
    """Ticks that are due together, and of which each takes so long that a turn has time for `CALLS_PER_LOOK`."""

    def work(self, number: int, again: float | None = None) -> Callable[[float], float | None]:
        """Make a call that takes a while, and leaves its number."""

        def call(now: float) -> float | None:
            self.clock.step(LONGEST_TURN / (CALLS_PER_LOOK - 1))
            self.calls.append(number)
            return None if again is None else now + again

        return call

    def put(self, again: float | None = None) -> list[Tick]:
        """Schedule the ticks, and let the slot end in which they are due."""
        ticks = [self.ticker.at(SLOT, self.work(number, again)) for number in range(MANY)]
        self.clock.step(SLOT)
        return ticks

    def test_turns(self) -> None:
        """#12: each turn makes some of the calls, all in their order and once; other calls come in between."""
        self.put()
        for turn in range(1, 6):
            self.clock.callLater(0, self.calls.append, "other")
            self.clock.turn()
            self.assertEqual(len(self.calls), turn * (CALLS_PER_LOOK + 1))
        self.assertEqual([one for one in self.calls if one != "other"], list(range(MANY)))
        self.assertLessEqual(LONGEST_TURN, 0.005)

    def test_batches(self) -> None:
        """Each turn is a batch: its writes are sent at its end."""
        self.put()
        ends = []
        for _ in range(5):
            self.ticker.turnEnd.begin()
            self.ticker.turnEnd.atEnd(lambda: ends.append(len(self.calls)))
            self.ticker.turnEnd.end()
            self.clock.turn()
        self.assertEqual(ends, [CALLS_PER_LOOK * number for number in range(5)])

    def test_cancel(self) -> None:
        """A tick that still waits for its turn can be cancelled; without any, nothing is left in the clock."""
        ticks = self.put()
        self.clock.turn()
        self.ticker.cancel(ticks[-1])
        self.clock.turn()
        self.assertEqual(len(self.calls), 2 * CALLS_PER_LOOK)
        for tick in ticks[:-2]:
            self.ticker.cancel(tick)
        self.assertNotEqual(list(self.clock.getDelayedCalls()), [])
        self.ticker.cancel(ticks[-2])
        self.assertEqual(list(self.clock.getDelayedCalls()), [])

    def test_stop(self) -> None:
        """A ticker that is stopped between two turns, or in one, makes no further call."""
        for inside in (False, True):
            self.calls.clear()
            self.put()
            if inside:
                self.ticker.at(0, lambda now: self.ticker.stop())
            self.clock.turn()
            self.ticker.stop()
            self.clock.advance(2 * SLOT)
            self.assertEqual(len(self.calls), CALLS_PER_LOOK)

    def test_again(self) -> None:
        """Ticks that are due again while the walk goes on are not called twice in one slot, and none is forgotten."""
        self.put(again=4 * SLOT)
        for _ in range(4):
            self.clock.turn()
        self.assertEqual(self.calls, list(range(4 * CALLS_PER_LOOK)))
        self.clock.advance(2 * SLOT)
        self.assertEqual(self.calls, list(range(MANY)))
        self.slots(6)
        self.assertEqual(self.calls[: 2 * MANY], [*range(MANY)] * 2)
        self.ticker.stop()


class EventTests(TickerTestCase):
    """Ticks that are due together while the reactor has something else to do."""

    def setUp(self) -> None:
        """Make a ticker that is told of the events of the reactor."""
        super().setUp()
        self.isAsked = False
        self.ticker = Ticker(self.clock, SLOT, turnEnd=TurnEnd(self.clock, lambda: self.isAsked))

    def put(self, count: int) -> None:
        """Schedule ticks, and let the slot end in which they are due."""
        for number in range(count):
            self.ticker.at(SLOT, self.record(number))
        self.clock.step(SLOT)

    def test_interrupted(self) -> None:
        """#16: a walk lets the events of the reactor pass after some calls, and then makes the rest."""
        self.isAsked = True
        self.put(3 * CALLS_PER_LOOK)
        for turn in range(1, 4):
            self.clock.turn()
            self.assertEqual(self.calls, list(range(turn * CALLS_PER_LOOK)))
        self.assertLessEqual(CALLS_PER_LOOK, 100)

    def test_patience(self) -> None:
        """Events that come all the time interrupt a walk for a limited time."""
        self.isAsked = True
        self.put(5 * CALLS_PER_LOOK)
        for _ in range(2):
            self.clock.turn()
            self.clock.step(PATIENCE / 2)
        self.assertEqual(len(self.calls), 2 * CALLS_PER_LOOK)
        self.clock.turn()
        self.assertEqual(len(self.calls), 5 * CALLS_PER_LOOK)

    def test_eventsOfTheWalk(self) -> None:
        """#16: events that come during a walk interrupt it at the next look."""
        self.ticker.at(SLOT, lambda now: setattr(self, "isAsked", True))
        self.put(3 * CALLS_PER_LOOK)
        self.clock.turn()
        self.assertEqual(len(self.calls), CALLS_PER_LOOK - 1)
        self.isAsked = False
        self.clock.turn()
        self.assertEqual(len(self.calls), 3 * CALLS_PER_LOOK)

    def test_withoutEvents(self) -> None:
        """A walk that nobody waits for makes all its calls in one turn."""
        self.put(3 * CALLS_PER_LOOK)
        self.clock.turn()
        self.assertEqual(len(self.calls), 3 * CALLS_PER_LOOK)
