"""Tests for `sseserver.timing.reactorlag`."""

from __future__ import annotations

from sseserver.timing.reactorlag import INTERVAL, ReactorLag
from tests.fakes import ClockTestCase


class ReactorLagTests(ClockTestCase):
    """`ReactorLag`."""

    def setUp(self) -> None:
        super().setUp()
        self.lag = ReactorLag(self.clock)

    def test_lag(self) -> None:
        """Each call is measured; one that is late by half a second is counted as that."""
        self.lag.startService()
        self.clock.advance(INTERVAL)
        self.assertEqual((self.lag.lags.counts[0], self.lag.lags.total), (1, 0.0))
        self.clock.advance(INTERVAL + 0.5)
        self.assertAlmostEqual(self.lag.lags.total, 0.5)
        self.lag.stopService()

    def test_stop(self) -> None:
        """Stopping leaves no call behind, started or not."""
        self.lag.stopService()
        self.lag.startService()
        self.lag.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
