"""
Tests of `sseserver.timing.fairturns`.
"""

from __future__ import annotations

from collections.abc import Callable

from sseserver.timing.fairturns import SHARE, FairTurns
from sseserver.timing.turnend import TurnEnd
from tests.fakes import ClockTestCase


class Work:
    """
    A worker with some steps.

    Args:
        test: Has the turns, and notes the steps.
        name: Its name in the notes.
        steps: Number of its steps.

    Attributes:
        after: Called after each step.
    """

    def __init__(self, test: FairTurnsTests, name: str, steps: int) -> None:
        self._test = test
        self._name = name
        self._steps = steps
        self.after: Callable[[], object] = lambda: None

    def goOn(self) -> None:
        """See `Worker.goOn`."""
        while True:
            self._test.step(self._name)
            self.after()
            self._steps -= 1
            if not self._steps:
                return
            if not self._test.turns.hasTime():
                self._test.turns.put(self)
                return


class FairTurnsTests(ClockTestCase):
    """Workers that share the turns of a reactor. Each of their steps takes a quarter of the share."""

    def setUp(self) -> None:
        super().setUp()
        self.turnEnd = TurnEnd(self.clock)
        self.turns = FairTurns(self.clock, self.turnEnd)
        self.done = ""

    def step(self, name: str) -> None:
        """Note a step; it takes time."""
        self.done += name
        self.clock.step(SHARE / 4)

    def take(self) -> str:
        """Let a turn pass, and return the steps in it."""
        self.done = ""
        self.clock.turn()
        return self.done

    def work(self, name: str, steps: int = 1) -> Work:
        """Make a worker that waits for its turn."""
        work = Work(self, name, steps)
        self.turns.put(work)
        return work

    def test_share(self) -> None:
        """Many workers have a share of each turn, in the order in which they came."""
        for name in "abcdefghij":
            self.work(name)
        self.assertEqual([self.take() for _ in range(4)], ["abcd", "efgh", "ij", ""])

    def test_fair(self) -> None:
        """One with many steps goes on after the others have had one each; alone, it has the whole share."""
        self.work("a", 9)
        self.work("b", 3)
        self.work("c", 1)
        self.assertEqual([self.take() for _ in range(5)], ["abc", "ab", "ab", "aaaa", "aa"])

    def test_hasTime(self) -> None:
        """There is time until the share is used up, and again once it is long over."""
        self.assertTrue(self.turns.hasTime())
        self.clock.step(SHARE / 2)
        self.assertTrue(self.turns.hasTime())
        self.clock.step(SHARE / 2)
        self.assertFalse(self.turns.hasTime())
        self.clock.step(SHARE)
        self.assertTrue(self.turns.hasTime())

    def test_othersWait(self) -> None:
        """Nobody has time while others wait, however long they do."""
        self.work("a")
        self.clock.step(10 * SHARE)
        self.assertFalse(self.turns.hasTime())
        self.assertEqual(self.take(), "a")
        self.assertTrue(self.turns.hasTime())

    def test_remove(self) -> None:
        """A worker that is removed has no turn; without workers nothing is left in the clock."""
        first, second = self.work("a"), self.work("b")
        self.turns.remove(first)
        self.turns.remove(first)
        self.assertEqual(self.take(), "b")
        self.turns.put(first)
        self.turns.put(second)
        self.turns.remove(first)
        self.turns.remove(second)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_twice(self) -> None:
        """A worker that is put twice has one turn."""
        work = self.work("a")
        self.turns.put(work)
        self.assertEqual([self.take(), self.take()], ["a", ""])

    def test_batch(self) -> None:
        """The steps of a turn are one batch: what they write leaves together."""
        for name in "ab":
            self.work(name).after = lambda: self.turnEnd.atEnd(lambda: self.step("."))
        self.assertEqual(self.take(), "ab..")

    def test_failure(self) -> None:
        """A worker that fails disturbs no other one."""
        self.work("a").after = self.fail
        self.work("b")
        self.assertEqual(self.take(), "ab")
        self.assertEqual(len(self.flushLoggedErrors(self.failureException)), 1)
