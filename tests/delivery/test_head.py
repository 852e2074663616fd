"""
Tests of `sseserver.delivery.head`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.delivery.head import jitter


class JitterTests(SynchronousTestCase):
    """The reconnection time that each viewer is told."""

    def test_spread(self) -> None:
        """
        It differs from viewer to viewer, by a third at most, both ways.
        """
        times = [jitter(3000) for _ in range(1000)]
        self.assertGreaterEqual(min(times), 2000)
        self.assertLessEqual(max(times), 4000)
        self.assertLess(min(times), 2100)
        self.assertGreater(max(times), 3900)
        self.assertTrue(all(type(time) is int for time in times))

    def test_neverNone(self) -> None:
        """
        However short, it is a millisecond at least: 0 would be no time at all.
        """
        self.assertEqual({jitter(1) for _ in range(100)}, {1})
