"""
Tests of `sseserver.timing.ages`.
"""

from __future__ import annotations

from sseserver.timing.ages import ENDS_PER_TURN, Ages
from tests.timing.cases import SLOT, TickerTestCase


class AgesTests(TickerTestCase):
    """Things whose time is over."""

    def setUp(self) -> None:
        super().setUp()
        self.due: list[float] = []
        self.ended: list[float] = []
        self.ages = Ages(self.ticker, lambda: self.due[0] if self.due else None, self.end)
        self.stopAtEnd(self.ages.stop)

    def end(self) -> None:
        """End the thing that is due next."""
        self.ended.append(self.due.pop(0))

    def test_order(self) -> None:
        """Each thing ends in the slot of its time, also one that comes when all others have ended."""
        self.due += [SLOT, 2 * SLOT, 2 * SLOT, 4 * SLOT]
        self.ages.start()
        self.ages.start()
        for expected in (1, 3, 3, 4):
            self.slots(1)
            self.assertEqual(len(self.ended), expected)
        self.due.append(6 * SLOT)
        self.ages.start()
        self.slots(2)
        self.assertEqual(self.ended, [SLOT, 2 * SLOT, 2 * SLOT, 4 * SLOT, 6 * SLOT])

    def test_turns(self) -> None:
        """#12: of thousands that are due at once, each turn ends a bounded number; what is due later ends later."""
        self.due += [SLOT] * 3 * ENDS_PER_TURN + [3 * SLOT]
        self.ages.start()
        self.clock.step(SLOT)
        for turn in (1, 2, 3):
            self.clock.turn()
            self.ages.start()
            self.assertEqual(len(self.ended), turn * ENDS_PER_TURN)
        self.clock.turn()
        self.slots(1)
        self.assertEqual(len(self.due), 1)
        self.slots(1)
        self.assertEqual(self.due, [])
        self.assertLessEqual(ENDS_PER_TURN, 200)

    def test_stop(self) -> None:
        """A stop leaves nothing in the clock, also between two turns, and a start goes on."""
        self.due += [SLOT] * 3 * ENDS_PER_TURN
        self.ages.start()
        self.ages.stop()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.ages.start()
        self.clock.step(SLOT)
        self.clock.turn()
        self.ages.stop()
        self.clock.turn()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.assertEqual(len(self.ended), ENDS_PER_TURN)
        self.ages.start()
        self.slots(1)
        self.assertEqual(self.due, [])

    def test_error(self) -> None:
        """An end that fails is logged, and the others take place."""

        def end() -> None:
            self.end()
            if len(self.ended) == 2:
                raise SystemExit

        self.ages = Ages(self.ticker, lambda: self.due[0] if self.due else None, end)
        self.due += [SLOT] * 4
        self.ages.start()
        self.slots(1)
        self.assertEqual(len(self.ended), 4)
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)
