"""Tests for `sseserver.sources.upstreamsilence`: limits, pauses, and the end of the timer."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.sources.upstreamsilence import SilenceTimer


class SilenceTests(SynchronousTestCase):
    """A timer with a limit of 5 seconds."""

    def setUp(self) -> None:
        """Start the timer. The clock must be empty at the end."""
        self.clock = Clock()
        self.reported: list[tuple[float, float]] = []
        self.timer = SilenceTimer(self.clock, 5.0, self.report)
        self.timer.start()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(self.timer.stop)

    def report(self, limit: float) -> None:
        """Note the time of a report, and its limit."""
        self.reported.append((round(self.clock.seconds(), 1), limit))

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps."""
        self.clock.pump([0.1] * round(seconds * 10))

    def test_silence(self) -> None:
        """The silence is reported once."""
        self.advance(4.8)
        self.assertEqual(self.reported, [])
        self.advance(10)
        self.assertEqual(self.reported, [(5.1, 5.0)])

    def test_heard(self) -> None:
        """The limit counts from the last chunk."""
        self.advance(3)
        self.timer.heard = self.clock.seconds()
        self.advance(4.8)
        self.assertEqual(self.reported, [])
        self.advance(0.5)
        self.assertEqual(len(self.reported), 1)

    def test_setLimit(self) -> None:
        """Another limit counts from its chunk, whether it is shorter or longer."""
        self.advance(1)
        for limit in (9.0, 1.0):
            self.timer.heard = self.clock.seconds()
            self.timer.setLimit(limit)
            self.advance(limit - 0.2)
            self.assertEqual(self.reported, [])
        self.advance(0.4)
        self.assertEqual([limit for _, limit in self.reported], [1.0])

    def test_pause(self) -> None:
        """A pause is no silence, and the limit begins anew after it."""
        self.advance(4)
        self.timer.pause()
        self.advance(100)
        self.timer.resume()
        self.advance(4.8)
        self.assertEqual(self.reported, [])
        self.advance(0.4)
        self.assertEqual(len(self.reported), 1)

    def test_stop(self) -> None:
        """A stopped timer leaves nothing on the clock, reports nothing, and may be stopped again."""
        for _ in range(2):
            self.timer.stop()
            self.timer.setLimit(1.0)
            self.assertEqual(self.clock.getDelayedCalls(), [])
        self.advance(10)
        self.assertEqual(self.reported, [])
