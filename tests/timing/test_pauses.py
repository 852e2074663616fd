"""Tests for `sseserver.timing.ticker`: what a ticker does after a pause of the process."""

from __future__ import annotations

from sseserver.service.linger import Linger
from sseserver.timing.patience import LATE
from sseserver.timing.ticker import Ticker
from tests.fakes import ClockTestCase, LateClock

#: Seconds. Width of the slots.
SLOT = 0.25


class PauseTests(ClockTestCase):
    """F127: the time of a patient ticker stands still while the process is paused."""

    def setUp(self) -> None:
        super().setUp()
        self.late = LateClock()
        self.ticker = Ticker(self.late, SLOT, self.late.seconds, patient=True)
        self.calls: list[float] = []
        self.addCleanup(lambda: self.assertEqual(self.late.getDelayedCalls(), []))
        self.addCleanup(self.ticker.stop)

    def note(self, now: float) -> None:
        """Note a call."""
        self.calls.append(now)

    def test_F127_remains(self) -> None:
        """A call has as much time left after a pause as before it, whether the pause ends before it is due or after."""
        for pause in (2, 50):
            self.ticker.at(self.ticker.seconds() + 10, self.note)
            self.late.letPass(4)
            self.late.advance(pause)
            self.late.letPass(5)
            self.assertEqual(self.calls, [], pause)
            self.late.letPass(2)
            self.assertEqual(len(self.calls), 1, pause)
            self.calls.clear()

    def test_F127_putAfterAPause(self) -> None:
        """A call that is put before the first turn after a pause is not delayed by the pause."""
        self.ticker.at(self.ticker.seconds() + 1000, lambda now: None)
        self.late.letPass(1)
        self.late.step(500)
        self.ticker.at(self.ticker.seconds() + 10, self.note)
        self.late.advance(0)
        self.late.letPass(9)
        self.assertEqual(self.calls, [])
        self.late.letPass(2)
        self.assertEqual(len(self.calls), 1)

    def test_F127_shortDelays(self) -> None:
        """A turn that is a little late is no pause: the calls keep their times."""
        start = self.late.seconds()
        self.ticker.at(10, self.note)
        while not self.calls:
            self.late.advance(LATE)
        self.assertLess(self.late.seconds() - start, 11.5)
        self.assertEqual(self.ticker.seconds(), self.late.seconds())

    def test_F127_idle(self) -> None:
        """The time between two calls, while the loop stands still, is no pause."""
        self.ticker.at(1, self.note)
        self.late.letPass(2)
        self.late.advance(100)
        self.assertEqual(self.ticker.seconds(), self.late.seconds())
        self.ticker.at(self.ticker.seconds() + 1, self.note)
        self.late.letPass(2)
        self.assertEqual(len(self.calls), 2)

    def test_F127_longCall(self) -> None:
        """A call that takes seconds delays the limits of others by that time."""
        self.ticker.at(1, lambda now: self.late.step(5))
        self.ticker.at(4, self.note)
        self.late.letPass(3)
        self.assertEqual((self.calls, self.late.seconds()), ([], 8))
        self.late.letPass(2)
        self.assertEqual(len(self.calls), 1)

    def test_F127_linger(self) -> None:
        """F127 b: a viewer that came while the process was paused is read before the linger is over."""
        viewers: list[int] = []
        linger = Linger(_Log(viewers), self.ticker, lambda: self.calls.append(0))  # type: ignore[arg-type]
        linger.begin(3)
        self.late.letPass(0.5)
        # The reactor reads the request of the viewer after the turn in which the linger would be over.
        self.late.advance(5)
        viewers.append(1)
        self.late.letPass(10)
        self.assertEqual(self.calls, [])

    def test_F127_impatient(self) -> None:
        """A ticker that is not patient makes its calls after the pause, and says how late they are."""
        ticker = Ticker(self.late, SLOT, self.late.seconds)
        ticker.at(10, lambda now: self.calls.append(ticker.late))
        ticker.at(60, lambda now: self.calls.append(ticker.late))
        self.late.letPass(1)
        self.late.advance(50)
        self.late.letPass(10)
        self.assertEqual(self.calls, [50 - SLOT, 0])

    def test_F127_clock(self) -> None:
        """The steps of a `task.Clock` are no pauses."""
        ticker = Ticker(self.clock, SLOT, patient=True)
        ticker.at(10, self.note)
        self.clock.advance(100)
        self.assertEqual(self.calls, [100])


class _Log:
    """
    A stream log with viewers.

    Attributes:
        viewers: The viewers; their number is what counts.
    """

    def __init__(self, viewers: list[int]) -> None:
        self.viewers = viewers
