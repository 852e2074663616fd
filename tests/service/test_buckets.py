"""
Tests of `sseserver.service.buckets`: token buckets.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.service.buckets import MAX_BUCKETS, Buckets


class BucketTests(SynchronousTestCase):
    """The buckets of a limit."""

    def setUp(self) -> None:
        self.clock = Clock()
        # As on the wall clock, where fractions of seconds are least exact.
        self.clock.rightNow = 1.8e9
        self.buckets = Buckets(60.0, self.clock.seconds)

    def takeAll(self, client: str, size: float) -> int:
        """Take permits until one is refused; return their number."""
        count = 0
        while not self.buckets.take(client, size):
            count += 1
        return count

    def test_burst(self) -> None:
        """A client may do everything of a period at once."""
        for size in (1, 7, 60, 1000):
            self.assertEqual(self.takeAll(str(size), size), size)

    def test_refill(self) -> None:
        """Permits come back evenly, and no more than a bucket holds."""
        self.takeAll("a", 10)
        self.clock.advance(6)
        self.assertEqual(self.takeAll("a", 10), 1)
        self.clock.advance(18)
        self.assertEqual(self.takeAll("a", 10), 3)
        self.clock.advance(6000)
        self.assertEqual(self.takeAll("a", 10), 10)

    def test_wait(self) -> None:
        """A refusal tells when there is a permit again; trying earlier changes nothing."""
        self.takeAll("a", 10)
        self.assertAlmostEqual(self.buckets.take("a", 10), 6, 3)
        self.clock.advance(2)
        for _ in range(100):
            self.assertAlmostEqual(self.buckets.take("a", 10), 4, 3)
        self.assertEqual(self.buckets.refused, 102)
        self.clock.advance(4)
        self.assertEqual(self.buckets.take("a", 10), 0)

    def test_giveBack(self) -> None:
        """A permit that is given back can be taken again, but a bucket holds no more than its size."""
        self.takeAll("a", 10)
        self.buckets.giveBack("a", 10)
        self.assertEqual(self.takeAll("a", 10), 1)
        self.buckets.giveBack("b", 10)
        self.buckets.take("c", 10)
        self.clock.advance(60)
        self.buckets.take("a", 10)
        self.buckets.giveBack("c", 10)
        self.assertEqual([self.takeAll(client, 10) for client in "abc"], [9, 10, 10])

    def test_clients(self) -> None:
        """Each client has a bucket of its own."""
        self.takeAll("a", 10)
        self.assertEqual(self.takeAll("b", 10), 10)

    def test_forgotten(self) -> None:
        """Full buckets are forgotten."""
        for number in range(100):
            self.buckets.take(str(number), 10)
        self.assertEqual(self.buckets.count, 100)
        for _ in range(3):
            self.clock.advance(60)
            self.buckets.take("a", 10)
        self.assertLessEqual(self.buckets.count, 2)

    def test_remembered(self) -> None:
        """A bucket that is not full outlives the turn of the tables."""
        self.takeAll("a", 10)
        self.clock.advance(59.9)
        self.buckets.take("b", 10)
        self.takeAll("a", 10)
        self.clock.advance(0.2)
        self.assertEqual(self.takeAll("a", 10), 0)

    def test_bounded(self) -> None:
        """The number of buckets is bounded; those that were used last are kept."""
        for number in range(MAX_BUCKETS + 1000):
            self.buckets.take(number, 1)
        self.assertLessEqual(self.buckets.count, MAX_BUCKETS)
        self.assertGreater(self.buckets.take(MAX_BUCKETS + 999, 1), 0)

    def test_clockSetBack(self) -> None:
        """A clock that is set back delays nobody longer than a period."""
        self.takeAll("a", 10)
        self.clock.rightNow -= 86_400
        self.assertLessEqual(self.buckets.take("a", 10), 66)
        self.clock.advance(61)
        self.assertGreaterEqual(self.takeAll("a", 10), 9)

    @given(
        st.integers(1, 50),
        st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40)), max_size=40),
    )
    def test_neverMore(self, size: int, uses: list[tuple[float, int]]) -> None:
        """In no span of time a client gets more than a bucket and what comes back in this span; and never less."""
        clock = Clock()
        buckets = Buckets(60.0, clock.seconds)
        taken: list[float] = []
        for pause, tries in uses:
            clock.advance(pause)
            now = clock.seconds()
            for _ in range(tries):
                if not buckets.take("a", size):
                    taken.append(now)
                else:
                    # A bucket is refilled within a period: whoever is refused has used it up.
                    recent = [each for each in taken if now - each <= 60]
                    self.assertGreaterEqual(len(recent), size)
        for first, begin in enumerate(taken):
            for last in range(first, len(taken)):
                allowed = size + (taken[last] - begin) * size / 60 + 1
                self.assertLessEqual(last - first + 1, allowed)
