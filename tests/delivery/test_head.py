"""
Tests of `sseserver.delivery.head`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.delivery.head import jitter


class JitterTests(SynchronousTestCase):
    """The reconnection time of each viewer."""

    def test_spread(self) -> None:
        """It differs between viewers, by up to a third both ways."""
        times = [jitter(3000) for _ in range(1000)]
        self.assertGreaterEqual(min(times), 2000)
        self.assertLessEqual(max(times), 4000)
        self.assertLess(min(times), 2100)
        self.assertGreater(max(times), 3900)
        self.assertTrue(all(type(time) is int for time in times))

    def test_neverNone(self) -> None:
        """It is at least one millisecond."""
        self.assertEqual({jitter(1) for _ in range(100)}, {1})
