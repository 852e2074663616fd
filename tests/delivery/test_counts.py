"""Tests for `sseserver.delivery.counts`, by the producers that add to them."""

from __future__ import annotations

from sseserver.delivery.counts import ENDS, DeliveryCounts
from tests.delivery.cases import HEARTBEAT, SLOT, ProducerTestCase


class DeliveryCountsTests(ProducerTestCase):
    """`DeliveryCounts`."""

    window = 64 * 1024

    def beat(self) -> None:
        """Let the time of a heartbeat pass."""
        self.reactor.advance(HEARTBEAT + SLOT)

    def test_start(self) -> None:
        """Everything is 0, and the words of a viewer's end are known."""
        counts = DeliveryCounts()
        self.assertEqual((counts.bytes, counts.entries, sum(counts.ends.counts.values())), (0, 0, 0))
        self.assertLessEqual({"complete", "left", "stalled", "shutdown", "retired", "expired", "limit"}, set(ENDS))

    def test_beat(self) -> None:
        """Entries and bytes are counted at the next beat of their viewer, and the rest at its end."""
        wire = self.follow()
        self.append("a", "b")
        self.assertEqual(self.counts.entries, 0)
        self.beat()
        self.assertEqual(self.counts.entries, 2)
        self.assertGreater(self.counts.bytes, 0)
        self.append("c")
        wire.close()
        self.assertEqual((self.counts.entries, self.counts.bytes), (3, self.producers[0].written))
        self.assertEqual(self.counts.ends.counts["left"], 1)

    def test_complete(self) -> None:
        """The terminal entry is sent, too."""
        self.follow()
        self.append("a")
        self.end()
        self.assertEqual((self.counts.entries, self.counts.bytes), (2, self.producers[0].written))
        self.assertEqual(self.counts.ends.counts["complete"], 1)

    def test_resume(self) -> None:
        """Entries that a viewer has already are not counted again. The result is."""
        self.append("a", "b", "c")
        self.follow(after=2).close()
        self.assertEqual((self.counts.entries, self.counts.resumes.counts["continued"]), (1, 1))
        self.follow(after=9).close()
        self.assertEqual((self.counts.entries, self.counts.resumes.counts["gap"]), (4, 1))
        self.assertEqual(self.counts.gaps.counts, {"trimmed": 0, "lost": 1, "unknown": 0, "other": 0})

    def test_unknown(self) -> None:
        """An ID that is none of ours is a result of its own."""
        self.streamLog.epoch = "nonsense"
        self.follow(after=1)
        self.assertEqual(self.counts.resumes.counts["unknown"], 1)
        self.assertEqual(self.counts.gaps.counts["unknown"], 1)

    def test_gapWhileReading(self) -> None:
        """A viewer that is too slow is told of a gap; the entries in it are not counted as sent."""
        wire = self.pausedViewer()
        self.append(*["x" * 8000] * 20)
        wire.take()
        self.reactor.advance(1)
        wire.close()
        self.assertEqual(self.counts.gaps.counts["trimmed"], 1)
        sent = wire.received.count(b"\nid: ")
        self.assertLess(sent, 20)
        self.assertLess(self.counts.entries, 21)
        self.assertGreaterEqual(self.counts.entries, sent)

    def test_lag(self) -> None:
        """A viewer that has everything has no lag; one that takes nothing has the time since its last write."""
        self.follow()
        self.append("a")
        self.beat()
        self.assertEqual((self.counts.lags.counts[0], self.counts.lags.total), (1, 0.0))
        self.pausedViewer()
        self.append("x")
        self.beat()
        self.assertGreater(self.counts.lags.total, HEARTBEAT - SLOT)
