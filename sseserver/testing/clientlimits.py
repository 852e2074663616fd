"""
RateContract and CountsContract: the tests of what limits the clients of all processes, public in `sseserver.testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sseserver.interfaces import ICounts, IRate

if TYPE_CHECKING:
    _TestCase = SynchronousTestCase
else:
    _TestCase = object


class RateContract(_TestCase):
    """
    The tests that every `IRate` must pass.

    Attributes:
        clock: The clock of the buckets.
        rate: The buckets, with a period of ten seconds.
    """

    def makeRate(self, period: float) -> IRate:
        """
        Make buckets on `self.clock`.

        Args:
            period: Seconds after which an empty bucket is full.
        """
        raise NotImplementedError("Make your buckets in `makeRate`.")

    def setUp(self) -> None:
        """Make the buckets."""
        super().setUp()
        self.clock = Clock()
        self.clock.advance(1000)
        self.rate = self.makeRate(10.0)

    def test_interface(self) -> None:
        """The buckets have the members that their interface names."""
        verifyObject(IRate, self.rate)

    def test_bucket(self) -> None:
        """A client takes what a bucket has, waits for the next permit, and gets all of them back in a period."""
        self.assertEqual([self.rate.take("a", 5) for _ in range(5)], [0] * 5)
        self.assertAlmostEqual(self.rate.take("a", 5), 2, delta=1)
        self.assertEqual((self.rate.refused, self.rate.take("b", 5), self.rate.count), (1, 0, 2))
        self.clock.advance(2.5)
        self.assertEqual(self.rate.take("a", 5), 0)
        self.assertGreater(self.rate.take("a", 5), 0)
        self.clock.advance(11)
        self.assertEqual([self.rate.take("a", 5) for _ in range(5)], [0] * 5)

    def test_givenBack(self) -> None:
        """A permit that is given back can be taken again."""
        for _ in range(5):
            self.rate.take("a", 5)
        self.rate.giveBack("a", 5)
        self.rate.giveBack("b", 5)
        self.assertEqual(self.rate.take("a", 5), 0)
        self.assertGreater(self.rate.take("a", 5), 0)


class CountsContract(_TestCase):
    """
    The tests that every `ICounts` must pass.

    Attributes:
        counts: The counts.
    """

    def makeCounts(self) -> ICounts:
        """Make counts without clients."""
        raise NotImplementedError("Make your counts in `makeCounts`.")

    def setUp(self) -> None:
        """Make the counts."""
        super().setUp()
        self.counts = self.makeCounts()

    def test_interface(self) -> None:
        """The counts have the members that their interface names."""
        verifyObject(ICounts, self.counts)

    def test_counted(self) -> None:
        """Each client has a number of its own, which takes no memory when it is 0."""
        for client in ("a", "b", "a"):
            self.counts.add(client)
        self.counts.remove("a")
        self.assertEqual([self.counts.get(client) for client in "abc"], [1, 1, 0])
        self.assertEqual(self.counts.count, 2)
        self.counts.remove("a")
        self.counts.remove("b")
        self.assertEqual((self.counts.get("a"), self.counts.count), (0, 0))
