"""
Limits of clients over several processes.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.redis.layout import Layout
from tests.redisservers import findMissing

if findMissing() is None:
    from sseserver.stores.redis.limits import SILENCE, SharedLimits, readReport


class Channel:
    """A Redis that only publishes: each message goes to all processes."""

    def __init__(self) -> None:
        self.processes: list[SharedLimits] = []
        self.cut = False

    def ask(self, *words: Any) -> Deferred[int]:
        """Publish a message."""
        if not self.cut:
            for process in self.processes:
                process.receive(readReport(words[2].encode()))
        return succeed(1)


class LimitTests(SynchronousTestCase):
    """Rates and counts that processes share."""

    skip = findMissing()

    def setUp(self) -> None:
        self.clock, self.channel = Clock(), Channel()
        for node in (b"a", b"b"):
            client: Any = self.channel
            self.channel.processes.append(SharedLimits(self.clock, client, Layout(), lambda node=node: node))
        self.first, self.second = self.channel.processes
        for process in self.channel.processes:
            process.start()

    def tearDown(self) -> None:
        for process in self.channel.processes:
            process.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_alone(self) -> None:
        """A bucket gives its permits, and one more after a share of the period."""
        rate = self.first.makeRate("starts", 60)
        self.assertEqual([rate.take("c", 3) for _ in range(3)], [0, 0, 0])
        self.assertAlmostEqual(rate.take("c", 3), 20)
        self.assertEqual((rate.refused, rate.count, rate.take("d", 3)), (1, 1, 0))
        self.clock.advance(20)
        self.assertEqual(rate.take("c", 3), 0)

    def test_rates(self) -> None:
        """The uses of one process count in the others a moment later."""
        rates = [process.makeRate("starts", 60) for process in self.channel.processes]
        self.assertEqual([rates[0].take("c", 2) for _ in range(2)], [0, 0])
        self.clock.advance(1.1)
        self.assertGreater(rates[1].take("c", 2), 0)
        self.assertEqual(rates[1].take("d", 2), 0)

    def test_counts(self) -> None:
        """The counts of all processes are added; those of a process that is gone are forgotten."""
        counts = [process.makeCounts("viewers") for process in self.channel.processes]
        for _ in range(2):
            counts[0].add("c")
        counts[1].add("c")
        self.clock.advance(1.1)
        self.assertEqual([each.get("c") for each in counts], [3, 3])
        counts[0].remove("c")
        self.clock.advance(1.1)
        self.assertEqual([each.get("c") for each in counts], [2, 2])
        self.channel.cut = True
        self.clock.pump([1] * int(SILENCE + 2))
        self.assertEqual([each.get("c") for each in counts], [1, 1])
