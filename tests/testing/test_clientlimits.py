"""
Tests for `sseserver.testing.clientlimits`: the contract of buckets on ours, and both on careless ones.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import ICounts, IRate
from sseserver.service.buckets import Buckets
from sseserver.service.localcounts import LocalCounts
from sseserver.testing import CountsContract, RateContract
from tests.testing.failing import findFailures


class BucketsTests(RateContract, SynchronousTestCase):
    """Buckets in memory."""

    def makeRate(self, period: float) -> IRate:
        return Buckets(period, self.clock.seconds)


class CarelessTests(SynchronousTestCase):
    """The failures that the contracts find."""

    def test_careless(self) -> None:
        """Permits that do not come back, and numbers that stay, are found."""

        class Buried(Buckets):
            def giveBack(self, client: object, size: float) -> None:
                pass

        class Kept(LocalCounts):
            def remove(self, client: str) -> None:
                pass

        class RateTests(RateContract, SynchronousTestCase):
            def makeRate(self, period: float) -> IRate:
                return Buried(period, self.clock.seconds)

        class CountsTests(CountsContract, SynchronousTestCase):
            def makeCounts(self) -> ICounts:
                return Kept()

        self.assertEqual(findFailures(RateTests), {"test_givenBack"})
        self.assertEqual(findFailures(CountsTests), {"test_counted"})
