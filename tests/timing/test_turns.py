"""
Tests for `sseserver.timing.turns`.
"""

from __future__ import annotations

from collections.abc import Generator

from twisted.internet.defer import CancelledError, Deferred

from sseserver.timing.turns import takeTurns
from tests.fakes import ClockTestCase


class TurnsTests(ClockTestCase):
    """Work in several turns of the reactor."""

    def setUp(self) -> None:
        """Count the steps."""
        super().setUp()
        self.done = 0
        self.closed = False

    def work(self, steps: int, error: Exception | None = None) -> Generator[None, None, str]:
        """Do so many steps, and return or raise."""
        try:
            for _ in range(steps):
                self.done += 1
                yield
            if error is not None:
                raise error
            return "result"
        finally:
            self.closed = True

    def test_turns(self) -> None:
        """#12: each turn does its number of steps; the first ones are done at once."""
        for count in (1, 3):
            self.done = 0
            working = Deferred.fromCoroutine(takeTurns(self.clock, self.work(7), count))
            for expected in range(count, 7, count):
                self.assertEqual(self.done, expected)
                self.assertNoResult(working)
                self.clock.turn()
            self.clock.advance(0)
            self.assertEqual(self.successResultOf(working), "result")
            self.assertEqual(self.done, 7)

    def test_error(self) -> None:
        """An exception of the work is the result."""
        working = Deferred.fromCoroutine(takeTurns(self.clock, self.work(1, ZeroDivisionError())))
        self.clock.advance(0)
        self.failureResultOf(working, ZeroDivisionError)

    def test_cancel(self) -> None:
        """Work that is cancelled ends between two steps, and releases what it holds."""
        working = Deferred.fromCoroutine(takeTurns(self.clock, self.work(5)))
        self.clock.turn()
        working.cancel()
        self.failureResultOf(working, CancelledError)
        self.assertEqual((self.done, self.closed), (2, True))
        self.clock.advance(0)
