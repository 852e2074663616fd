"""Tests for `sseserver.sources.text`: words at a pace."""

from __future__ import annotations

import sys
from itertools import pairwise

from twisted.internet.defer import CancelledError

from sseserver.sources.text import SLOT, TextSource, chooseSlot
from tests.fakes import FakeSink
from tests.sources.texts import STEP, SourceTestCase, stop


class PacedTests(SourceTestCase):
    """Words at a pace."""

    def test_pace(self) -> None:
        """
        The first word comes at once, each other one interval after the one before, never early, and late by one slot of
        the ticker at most.
        """
        written: list[float] = []
        self.sink.onWrite = lambda: written.append(self.clock.seconds())
        words = [f"{number} " for number in range(60)]
        done = self.begin("".join(words), 0.03)
        self.assertEqual(written, [0.0])
        self.steps(0.03 * 59 + 2 * SLOT)
        self.assertDone(done, "".join(words))
        self.assertEqual(self.sink.tokens, words)
        for number, at in enumerate(written):
            self.assertGreaterEqual(at, 0.03 * number - 1e-9)
            self.assertLessEqual(at, 0.03 * number + chooseSlot(0.03) + STEP + 1e-9)

    def test_evenPace(self) -> None:
        """The time between two words is constant, whenever the run started."""
        source = TextSource(self.clock, "x " * 50, 0.05)
        starts = [0.0, 0.011, 0.0374]
        written: dict[float, list[float]] = {start: [] for start in starts}
        for start in starts:
            self.steps(start - self.clock.seconds())
            sink = FakeSink()
            sink.onWrite = lambda start=start: written[start].append(self.clock.seconds())
            source.produce(sink, None)
        self.steps(0.05 * 55)
        for times in written.values():
            self.assertEqual(len(times), 50)
            # The first word waits for no slot.
            for one, two in pairwise(times[1:]):
                self.assertLess(abs(two - one - 0.05), STEP + 1e-9)

    def test_slots(self) -> None:
        """
        An interval is a whole number of slots, each at least `SLOT` and less than twice as long. A shorter
        interval has slots of `SLOT`.
        """
        for interval in (SLOT, 0.02, 0.03, 0.05, 0.1, 0.123, 7.0, 1e300):
            self.assertEqual(interval % chooseSlot(interval), 0)
            self.assertTrue(SLOT <= chooseSlot(interval) < 2 * SLOT)
        for interval in (0.0, sys.float_info.min, 0.0013, 0.0099):
            self.assertEqual(chooseSlot(interval), SLOT)

    def test_paceBetweenSlots(self) -> None:
        """An interval shorter than a slot is kept on average."""
        for interval in (0.0077, 0.0013):
            sink = FakeSink()
            done = TextSource(self.clock, "x " * 1000, interval).produce(sink, None)
            for tenth in range(1, 10):
                self.steps(100 * interval)
                self.assertLess(abs(len(sink.tokens) - 100 * tenth), 2 + 2 * SLOT / interval)
            self.steps(100 * interval + 2 * SLOT)
            self.successResultOf(done)
            self.assertEqual(len(sink.tokens), 1000)

    def test_catchesUp(self) -> None:
        """A late tick writes all words that are due, and the pace continues from there."""
        done = self.begin("a b c d e f g h", 1.0)
        self.assertEqual(self.sink.tokens, ["a "])
        self.clock.advance(3.5)
        self.assertEqual(self.sink.tokens, ["a ", "b ", "c ", "d "])
        self.steps(0.45)
        self.assertEqual(len(self.sink.tokens), 4)
        self.steps(0.1)
        self.assertEqual(len(self.sink.tokens), 5)
        self.steps(1.0)
        self.assertEqual(len(self.sink.tokens), 6)
        self.clock.advance(1000)
        self.assertDone(done, "a b c d e f g h")

    def test_oneLoopForAllRuns(self) -> None:
        """The runs of a source share one `LoopingCall`, which stops with the last of them."""
        source = TextSource(self.clock, "a b c", 1.0)
        sinks = [FakeSink() for _ in range(20)]
        done = []
        for sink in sinks:
            done.append(source.produce(sink, None))
            self.steps(0.02)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual([sink.tokens for sink in sinks], [["a "]] * 20)
        self.steps(2.0 + 2 * SLOT)
        for one in done:
            self.successResultOf(one)
        self.assertEqual([sink.tokens for sink in sinks], [["a ", "b ", "c"]] * 20)

    def test_runsDoNotShareTheirPlace(self) -> None:
        """A paused or cancelled run does not affect the other runs of its source."""
        source = TextSource(self.clock, "a b c", 1.0)
        paused, cancelled, other = FakeSink(), FakeSink(), FakeSink()
        runs = [source.produce(sink, None) for sink in (paused, cancelled, other)]
        paused.producer.pauseProducing()
        runs[1].cancel()
        self.failureResultOf(runs[1], CancelledError)
        self.steps(3.1)
        self.successResultOf(runs[2])
        self.assertEqual((paused.tokens, cancelled.tokens, other.tokens), ([], [], ["a ", "b ", "c"]))
        paused.producer.resumeProducing()
        self.steps(3.1)
        self.successResultOf(runs[0])
        self.assertEqual(paused.tokens, ["a ", "b ", "c"])

    def test_pause(self) -> None:
        """
        A paused run writes nothing and holds no timer. It continues one interval after its resumption and
        does not catch up.
        """
        done = self.begin("a b c d", 1.0)
        self.sink.producer.pauseProducing()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.clock.advance(100)
        self.sink.producer.pauseProducing()
        self.assertEqual(self.sink.tokens, ["a "])
        self.sink.producer.resumeProducing()
        self.steps(0.95)
        self.assertEqual(self.sink.tokens, ["a "])
        self.steps(0.1)
        self.assertEqual(self.sink.tokens, ["a ", "b "])
        self.steps(2.0)
        self.assertDone(done, "a b c d")

    def test_pausedBeforeTheFirstWord(self) -> None:
        """A run that is paused before its first word holds no timer, and writes it at once when it is resumed."""
        done = self.produce("a b", 1.0)
        self.sink.producer.pauseProducing()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.clock.advance(100)
        self.assertEqual(self.sink.tokens, [])
        self.sink.producer.resumeProducing()
        self.clock.turn()
        self.assertEqual(self.sink.tokens, ["a "])
        self.steps(0.95)
        self.assertEqual(self.sink.tokens, ["a "])
        self.steps(0.1)
        self.assertDone(done, "a b")

    def test_lateFirstTurn(self) -> None:
        """The pace begins with the run: words are caught up with if its first turn is late."""
        done = self.produce("a b c d", 1.0)
        self.clock.advance(2.5)
        self.steps(2 * SLOT)
        self.assertEqual(self.sink.tokens, ["a ", "b ", "c "])
        self.steps(0.5)
        self.assertDone(done, "a b c d")

    def test_resumeTwice(self) -> None:
        """Resuming a run that is not paused changes neither its pace nor its words."""
        done = self.begin("a b c", 1.0)
        for _ in range(3):
            self.steps(0.3)
            self.sink.producer.resumeProducing()
        self.assertEqual(self.sink.tokens, ["a "])
        self.steps(0.2)
        self.assertEqual(self.sink.tokens, ["a ", "b "])
        self.steps(1.0)
        self.assertDone(done, "a b c")

    def test_pausedWhileCatchingUp(self) -> None:
        """
        A sink that pauses inside a write gets no further word, however many are due. None is lost or
        repeated.
        """
        done = self.begin("a b c d e f", 1.0)
        self.sink.onWrite = lambda: len(self.sink.tokens) == 2 and self.sink.producer.pauseProducing()
        self.clock.advance(4.5)
        self.assertEqual(self.sink.tokens, ["a ", "b "])
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.sink.producer.resumeProducing()
        self.clock.advance(1.1)
        self.assertEqual(self.sink.tokens, ["a ", "b ", "c "])
        self.clock.advance(10)
        self.assertDone(done, "a b c d e f")

    def test_pausedAndResumedInsideAWrite(self) -> None:
        """
        A sink that pauses and resumes inside a write gets the next word one interval later, and each word
        once.
        """
        self.sink.onWrite = self.pauseAndResume
        done = self.begin("a b c d", 1.0)
        self.stopAtEnd(lambda: self.clock.advance(20))
        for number in range(2, 5):
            self.assertEqual(len(self.sink.tokens), number - 1)
            self.steps(1.0 + 2 * SLOT)
            self.assertEqual(len(self.sink.tokens), number)
        self.assertDone(done, "a b c d")

    def pauseAndResume(self) -> None:
        """Pause and resume at once."""
        self.sink.producer.pauseProducing()
        self.sink.producer.resumeProducing()

    def test_pausedInItsLastWrite(self) -> None:
        """A run that is paused inside its last write ends, at the latest when it is resumed."""
        self.sink.onWrite = lambda: self.sink.producer.pauseProducing()
        done = self.produce("a", 1.0)
        self.steps(1.1)
        if self.sink.producer is not None:
            self.sink.producer.resumeProducing()
            self.steps(1.1)
        self.assertDone(done, "a")

    def test_cancel(self) -> None:
        """A cancelled run writes nothing more, holds no timer and fails with `CancelledError`."""
        done = self.begin("a b c", 1.0)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.clock.advance(10)
        self.assertEqual(self.sink.tokens, ["a "])

    def test_cancelWhilePaused(self) -> None:
        """A paused run can be cancelled."""
        done = self.produce("a b c", 1.0)
        self.sink.producer.pauseProducing()
        done.cancel()
        self.failureResultOf(done, CancelledError)

    def test_stop(self) -> None:
        """A stopped producer writes nothing more and holds no timer, and its run can be cancelled."""
        done = self.begin("a b c", 1.0)
        self.sink.producer.stopProducing()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.assertNoResult(done)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.sink.tokens, ["a "])

    def test_cancelledInsideAWrite(self) -> None:
        """A run that is cancelled inside a write, even the last one, writes nothing more and logs nothing."""
        for last in (1, 2, 3):
            sink = FakeSink()
            done = TextSource(self.clock, "a b c", 1.0).produce(sink, None)
            sink.onWrite = lambda sink=sink, done=done, last=last: len(sink.tokens) == last and stop(sink, done)
            self.clock.turn()
            self.clock.advance(20)
            self.failureResultOf(done, CancelledError)
            self.assertEqual(len(sink.tokens), last)
            self.assertEqual(self.flushLoggedErrors(), [])
