"""
A ticker on a fake clock.
"""

from __future__ import annotations

from collections.abc import Callable

from sseserver.timing.ticker import Ticker
from tests.fakes import ClockTestCase

# Seconds. A power of two, so that sums of slots are exact.
SLOT = 0.25

# Seconds. Tolerance of comparisons: sums of floats are not exact, which `Ticker` allows for too.
HAIR = SLOT * 1e-5


class TickerTestCase(ClockTestCase):
    """
    Gives each test a ticker, which must have come to rest by itself in the end, unless the test
    stops it.
    """

    def setUp(self) -> None:
        """Make a ticker and a list for what its calls leave behind."""
        super().setUp()
        self.ticker = Ticker(self.clock, SLOT)
        self.calls: list[object] = []

    def record(self, name: object = None, again: float | None = None) -> Callable[[float], float | None]:
        """Make a call that leaves its name, or the time; it is due again after so many seconds."""

        def call(now: float) -> float | None:
            self.calls.append(now if name is None else name)
            return None if again is None else now + again

        return call

    def slots(self, number: float) -> None:
        """Let so many slots pass, in quarters of a slot."""
        for _ in range(int(number * 4)):
            self.clock.advance(SLOT / 4)
