"""
Tests for L{sseserver.sources.text}.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.sources import text as textModule
from sseserver.sources.text import SLOT, WELCOME, WORDS_PER_TURN, TextSource, granularity, splitWords
from tests.fakes import ClockTestCase, FakeSink, TurnClock

# Everything that `\s`, str.split or str.splitlines takes for white space, what looks like it but is not, and words.
SPACES = "".join(chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace())
#: How the clock is moved; what a word may be late by on top of a slot. A power of two, so that steps add up.
STEP = 1 / 512

HOSTILE = st.text(st.sampled_from(SPACES + "\u200b\ufeff\u2060\x00ab\u00e9\U0001f600")) | st.text()


class SplitTests(SynchronousTestCase):
    """How a text is cut into words."""

    def test_words(self) -> None:
        """
        Words keep the white space that follows them.
        """
        self.assertEqual(splitWords("To be,  or\nnot\r\n\tto be."), ["To ", "be,  ", "or\n", "not\r\n\t", "to ", "be."])

    def test_edges(self) -> None:
        """
        What stands before the first word belongs to it; white space alone is
        one word; an empty text has none.
        """
        self.assertEqual(splitWords(" \n a b "), [" \n a ", "b "])
        self.assertEqual(splitWords(" \n\t "), [" \n\t "])
        self.assertEqual(splitWords(""), [])

    @given(HOSTILE)
    @example(SPACES)
    @example(SPACES + "a" + SPACES)
    def test_joinedIsTheText(self, text: str) -> None:
        """
        Whatever the text, its words joined are the text; each holds one run of
        other than white space, and none is empty.
        """
        words = splitWords(text)
        self.assertEqual("".join(words), text)
        self.assertEqual([len(word.split()) for word in words if not text.isspace()], [1] * len(text.split()))
        self.assertNotIn("", words)

    def test_whiteSpaceIsNotQuadratic(self) -> None:
        """
        A megabyte of white space is cut in linear time.
        """
        self.assertEqual(splitWords(" " * 1_000_000), [" " * 1_000_000])
        self.assertEqual(len(splitWords("a" + " " * 1_000_000 + "b")), 2)


class SourceTestCase(ClockTestCase):
    """Runs a source into a sink."""

    def setUp(self) -> None:
        """Make a sink."""
        super().setUp()
        self.sink = FakeSink()

    def run_(self, text: str, interval: float) -> Deferred[None]:
        """Start a run."""
        return TextSource(self.clock, text, interval).produce(self.sink, None)

    def steps(self, seconds: float) -> None:
        """Let time pass in small steps."""
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)

    def assertDone(self, done: Deferred[None], text: str) -> None:
        """The run wrote all, let go of the sink, and is over."""
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual("".join(self.sink.tokens), text)
        self.assertIsNone(self.sink.producer)


class TextSourceTests(SourceTestCase):
    """What does not depend on the pace."""

    def test_interface(self) -> None:
        """
        It is a token source that takes no prompt, and what it registers is a
        push producer, at any pace.
        """
        source = TextSource(self.clock, "a b")
        verifyObject(ITokenSource, source)
        self.assertIs(source.takesPrompt, False)
        verifyObject(ITokenSink, self.sink)
        for interval in (0, 1.0):
            sink = FakeSink()
            done = TextSource(self.clock, "a b", interval).produce(sink, None)
            verifyObject(IPushProducer, sink.producer)
            done.cancel()
            self.failureResultOf(done, CancelledError)

    def test_wrongIntervals(self) -> None:
        """
        What is no pace is refused, in a sentence that shows it.
        """
        for interval in (-1, -0.001, float("nan"), float("inf"), float("-inf")):
            error = self.assertRaises(ValueError, TextSource, self.clock, "a", interval)
            self.assertIn(repr(interval), str(error))

    def test_emptyText(self) -> None:
        """
        An empty text is done in the first turn, at any pace, and nothing was
        written.
        """
        for interval in (0, 0.1, 1000.0):
            done = self.run_("", interval)
            self.clock.turn()
            self.assertDone(done, "")
            self.assertEqual(self.sink.tokens, [])

    def test_nothingInsideProduce(self) -> None:
        """
        Nothing is written before C{produce} has returned.
        """
        for interval in (0, 0.1):
            done = self.run_("a b", interval)
            self.assertEqual(self.sink.tokens, [])
            self.clock.advance(10)
            self.assertDone(done, "a b")
            self.sink.tokens.clear()

    def test_runAgain(self) -> None:
        """
        A source runs many times, one after the other and at once, and always
        from the start.
        """
        for interval in (0, 0.1):
            source = TextSource(self.clock, "a b c", interval)
            for _ in range(2):
                sinks = [FakeSink() for _ in range(3)]
                done = [source.produce(sink, None) for sink in sinks]
                self.clock.advance(10)
                for sink, one in zip(sinks, done, strict=True):
                    self.successResultOf(one)
                    self.assertEqual(sink.tokens, ["a ", "b ", "c"])

    def test_welcome(self) -> None:
        """
        The built-in text is not empty, and arrives as it is.
        """
        self.assertTrue(WELCOME.strip())
        done = self.run_(WELCOME, 0)
        self.clock.advance(0)
        self.assertDone(done, WELCOME)

    def test_defaultPace(self) -> None:
        """
        By default a word comes each tenth of a second.
        """
        done = TextSource(self.clock, "a b").produce(self.sink, None)
        self.steps(0.095)
        self.assertEqual(self.sink.tokens, [])
        self.steps(0.015)
        self.assertEqual(self.sink.tokens, ["a "])
        self.steps(0.1)
        self.assertDone(done, "a b")

    def test_sinkRefuses(self) -> None:
        """
        What the sink raises ends the run as its failure: no run hangs because
        of a word that cannot be written, here one with a lone surrogate.
        """
        for interval in (0, 0.1):
            sink = FakeSink()
            done = TextSource(self.clock, "good \ud800 good", interval).produce(sink, None)
            self.stopAtEnd(done.cancel)
            done.addErrback(lambda failure: failure.type)
            try:
                self.clock.advance(1)
            except UnicodeEncodeError:
                self.fail("It was left to the reactor.")
            self.flushLoggedErrors(UnicodeEncodeError)
            self.assertIs(self.successResultOf(done), UnicodeEncodeError)
            self.assertEqual(sink.tokens, ["good "])


class PacedTests(SourceTestCase):
    """Words at a pace."""

    def test_pace(self) -> None:
        """
        The first word comes after one interval, each other one an interval
        later: never early, and late by one slot of the ticker at most.
        """
        written: list[float] = []
        self.sink.onWrite = lambda: written.append(self.clock.seconds())
        words = [f"{number} " for number in range(60)]
        done = self.run_("".join(words), 0.03)
        self.steps(0.03 * 60 + 2 * SLOT)
        self.assertDone(done, "".join(words))
        self.assertEqual(self.sink.tokens, words)
        for number, at in enumerate(written, 1):
            self.assertGreaterEqual(at, 0.03 * number - 1e-9)
            self.assertLessEqual(at, 0.03 * number + granularity(0.03) + STEP + 1e-9)

    def test_evenPace(self) -> None:
        """
        The time between two words is always the same, whenever the run began.
        """
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
            for one, two in pairwise(times):
                self.assertLess(abs(two - one - 0.05), STEP + 1e-9)

    def test_slots(self) -> None:
        """
        An interval is a whole number of slots, each one to two times the
        shortest; an interval that is shorter than that has those.
        """
        for interval in (SLOT, 0.02, 0.03, 0.05, 0.1, 0.123, 7.0, 1e300):
            self.assertEqual(interval % granularity(interval), 0)
            self.assertTrue(SLOT <= granularity(interval) < 2 * SLOT)
        for interval in (0.0, sys.float_info.min, 0.0013, 0.0099):
            self.assertEqual(granularity(interval), SLOT)

    def test_paceBetweenSlots(self) -> None:
        """
        An interval that is shorter than a slot is kept on average.
        """
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
        """
        A tick that comes late makes up for all words that were due meanwhile,
        and the pace goes on from there.
        """
        done = self.run_("a b c d e f g h", 1.0)
        self.steps(1.0)
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
        """
        Runs of one source share one L{LoopingCall}, which stops with the last
        of them.
        """
        source = TextSource(self.clock, "a b c", 1.0)
        sinks = [FakeSink() for _ in range(20)]
        done = []
        for sink in sinks:
            done.append(source.produce(sink, None))
            self.steps(0.02)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.steps(1.0 + 2 * SLOT)
        self.assertEqual([sink.tokens for sink in sinks], [["a "]] * 20)
        self.steps(2.0)
        for one in done:
            self.successResultOf(one)
        self.assertEqual([sink.tokens for sink in sinks], [["a ", "b ", "c"]] * 20)

    def test_runsDoNotShareTheirPlace(self) -> None:
        """
        A run that is paused, cancelled or behind does not touch another one of
        the same source.
        """
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
        A paused run writes nothing and holds no timer; resumed it goes on with
        the next word after one interval, and does not make up for the pause.
        """
        done = self.run_("a b c d", 1.0)
        self.steps(1.05)
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

    def test_resumeTwice(self) -> None:
        """
        Resuming what is not paused changes nothing: neither the pace nor the
        number of words.
        """
        done = self.run_("a b c", 1.0)
        for _ in range(3):
            self.steps(0.3)
            self.sink.producer.resumeProducing()
        self.steps(0.2)
        self.assertEqual(self.sink.tokens, ["a "])
        self.steps(2.0)
        self.assertDone(done, "a b c")

    def test_pausedWhileCatchingUp(self) -> None:
        """
        A sink that pauses inside C{write} gets no word more, however many are
        due; none is lost, and none comes twice.
        """
        done = self.run_("a b c d e f", 1.0)
        self.sink.onWrite = lambda: len(self.sink.tokens) == 2 and self.sink.producer.pauseProducing()
        self.clock.advance(5.5)
        self.assertEqual(self.sink.tokens, ["a ", "b "])
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.sink.producer.resumeProducing()
        self.clock.advance(1.1)
        self.assertEqual(self.sink.tokens, ["a ", "b ", "c "])
        self.clock.advance(10)
        self.assertDone(done, "a b c d e f")

    def test_pausedAndResumedInsideAWrite(self) -> None:
        """
        A sink that pauses and resumes inside one C{write} gets the next word
        one interval later, and each word once.
        """
        self.sink.onWrite = self.pauseAndResume
        done = self.run_("a b c d", 1.0)
        self.stopAtEnd(lambda: self.clock.advance(20))
        for number in range(1, 5):
            self.assertEqual(len(self.sink.tokens), number - 1)
            self.steps(1.0 + 2 * SLOT)
            self.assertEqual(len(self.sink.tokens), number)
        self.assertDone(done, "a b c d")

    def pauseAndResume(self) -> None:
        """Do both at once."""
        self.sink.producer.pauseProducing()
        self.sink.producer.resumeProducing()

    def test_pausedInItsLastWrite(self) -> None:
        """
        A sink that pauses inside the last C{write} has all: the run is over,
        at the latest when it is resumed.
        """
        self.sink.onWrite = lambda: self.sink.producer.pauseProducing()
        done = self.run_("a", 1.0)
        self.steps(1.1)
        if self.sink.producer is not None:
            self.sink.producer.resumeProducing()
            self.steps(1.1)
        self.assertDone(done, "a")

    def test_cancel(self) -> None:
        """
        A cancelled run writes no more and holds no timer; its Deferred fails
        with C{CancelledError}.
        """
        done = self.run_("a b c", 1.0)
        self.steps(1.1)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.clock.advance(10)
        self.assertEqual(self.sink.tokens, ["a "])

    def test_cancelWhilePaused(self) -> None:
        """
        A paused run can be cancelled.
        """
        done = self.run_("a b c", 1.0)
        self.sink.producer.pauseProducing()
        done.cancel()
        self.failureResultOf(done, CancelledError)

    def test_stop(self) -> None:
        """
        A stopped producer writes no more and holds no timer; the run can be
        cancelled then.
        """
        done = self.run_("a b c", 1.0)
        self.steps(1.1)
        self.sink.producer.stopProducing()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.assertNoResult(done)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.sink.tokens, ["a "])

    def test_cancelledInsideAWrite(self) -> None:
        """
        A run that is cancelled while it writes a word, be it the last, writes
        no more; nothing is logged.
        """
        for last in (1, 2, 3):
            sink = FakeSink()
            done = TextSource(self.clock, "a b c", 1.0).produce(sink, None)
            sink.onWrite = lambda sink=sink, done=done, last=last: len(sink.tokens) == last and stop(sink, done)
            self.clock.advance(20)
            self.failureResultOf(done, CancelledError)
            self.assertEqual(len(sink.tokens), last)
            self.assertEqual(self.flushLoggedErrors(), [])


def stop(sink: FakeSink, done: Deferred[None]) -> None:
    """End a run as a sink does: the producer is stopped, then the work cancelled."""
    sink.producer.stopProducing()
    done.cancel()


class RegisteredTests(SourceTestCase):
    """Sinks that are not ready when the run begins."""

    def test_pausedAtOnce(self) -> None:
        """
        A sink that pauses the producer while it is registered gets nothing
        before it resumes it.
        """
        for interval in (0, 0.1):
            sink = FakeSink()
            sink.onRegister = lambda producer: producer.pauseProducing()
            done = TextSource(self.clock, "a b", interval).produce(sink, None)
            self.stopAtEnd(done.cancel)
            done.addErrback(lambda failure: failure.trap(CancelledError))
            self.clock.advance(10)
            self.assertEqual(sink.tokens, [])
            sink.producer.resumeProducing()
            self.clock.advance(10)
            self.successResultOf(done)
            self.assertEqual(sink.tokens, ["a ", "b"])

    def test_stoppedAtOnce(self) -> None:
        """
        A sink whose run has ended stops the producer while it is registered:
        nothing is written, and no timer is left.
        """
        for interval in (0, 0.1):
            sink = FakeSink()
            sink.onRegister = lambda producer: producer.stopProducing()
            done = TextSource(self.clock, "a b", interval).produce(sink, None)
            done.addErrback(lambda failure: failure.trap(CancelledError))
            self.clock.advance(10)
            self.assertEqual(sink.tokens, [])
            self.assertEqual(list(self.clock.getDelayedCalls()), [])
            done.cancel()


class UnpacedTests(SourceTestCase):
    """Words as fast as the sink takes them."""

    def test_boundedTurns(self) -> None:
        """
        Each turn of the reactor writes so many words and no more; the run is
        over with the last one.
        """
        self.patch(textModule, "WORDS_PER_TURN", 4)
        done = self.run_("0 1 2 3 4 5 6 7 8 9", 0)
        for words in (4, 8):
            self.assertEqual(self.clock.turn(), 1)
            self.assertEqual(len(self.sink.tokens), words)
            self.assertNoResult(done)
        self.clock.turn()
        self.assertDone(done, "0 1 2 3 4 5 6 7 8 9")

    def test_fullLastTurn(self) -> None:
        """
        When the last turn is just full, the run is over with it.
        """
        self.patch(textModule, "WORDS_PER_TURN", 4)
        done = self.run_("0 1 2 3 4 5 6 7", 0)
        self.clock.turn()
        self.clock.turn()
        self.assertDone(done, "0 1 2 3 4 5 6 7")

    def test_defaultIsTold(self) -> None:
        """
        By default a thousand words are written in a turn.
        """
        self.assertEqual(WORDS_PER_TURN, 1000)
        done = self.run_("x " * 1001, 0)
        self.clock.turn()
        self.assertEqual(len(self.sink.tokens), 1000)
        self.clock.turn()
        self.assertDone(done, "x " * 1001)

    def test_noTimePasses(self) -> None:
        """
        The clock need not move.
        """
        done = self.run_("a b c", 0)
        self.clock.advance(0)
        self.assertDone(done, "a b c")
        self.assertEqual(self.clock.seconds(), 0)

    def test_pause(self) -> None:
        """
        A paused run writes nothing and holds no timer; resumed it goes on with
        the next word.
        """
        self.patch(textModule, "WORDS_PER_TURN", 2)
        done = self.run_("a b c d e", 0)
        self.clock.turn()
        self.sink.producer.pauseProducing()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.sink.producer.pauseProducing()
        self.clock.advance(10)
        self.assertEqual(self.sink.tokens, ["a ", "b "])
        self.sink.producer.resumeProducing()
        self.assertEqual(self.sink.tokens, ["a ", "b "])
        self.clock.turn()
        self.assertEqual(self.sink.tokens, ["a ", "b ", "c ", "d "])
        self.clock.turn()
        self.assertDone(done, "a b c d e")

    def test_resumeTwice(self) -> None:
        """
        Resuming what is not paused makes no second loop.
        """
        self.patch(textModule, "WORDS_PER_TURN", 1)
        done = self.run_("a b c", 0)
        for number in range(1, 4):
            self.sink.producer.resumeProducing()
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.turn()
            self.assertEqual(len(self.sink.tokens), number)
        self.assertDone(done, "a b c")

    def test_pausedInsideAWrite(self) -> None:
        """
        A sink that pauses inside C{write} gets no word more in that turn;
        pausing at every word it still gets each once. With the last one the
        run is done, paused or not.
        """
        self.sink.onWrite = lambda: self.sink.producer.pauseProducing()
        done = self.run_("a b c", 0)
        for number in range(1, 3):
            self.clock.advance(1)
            self.assertEqual(len(self.sink.tokens), number)
            self.assertEqual(list(self.clock.getDelayedCalls()), [])
            self.assertNoResult(done)
            self.sink.producer.resumeProducing()
        self.clock.advance(1)
        self.assertDone(done, "a b c")
        self.assertEqual(list(self.clock.getDelayedCalls()), [])

    def test_pausedAndResumedInsideAWrite(self) -> None:
        """
        A sink that pauses and resumes inside one C{write} makes no second
        loop: each word comes once and the run ends once.
        """
        self.patch(textModule, "WORDS_PER_TURN", 2)
        done = self.run_("a b c d e", 0)
        done.addErrback(lambda failure: failure.trap(CancelledError))
        self.stopAtEnd(done.cancel)
        self.sink.onWrite = self.pauseAndResume
        for _ in range(6):
            self.assertLessEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.turn()
        self.assertDone(done, "a b c d e")
        self.assertEqual(len(self.sink.tokens), 5)

    def pauseAndResume(self) -> None:
        """Do both at once."""
        self.sink.producer.pauseProducing()
        self.sink.producer.resumeProducing()

    def test_cancel(self) -> None:
        """
        A cancelled run writes no more and holds no timer, paused or not; its
        Deferred fails with C{CancelledError}.
        """
        self.patch(textModule, "WORDS_PER_TURN", 1)
        for paused in (False, True):
            sink = FakeSink()
            done = TextSource(self.clock, "a b c", 0).produce(sink, None)
            self.clock.turn()
            if paused:
                sink.producer.pauseProducing()
            done.cancel()
            self.failureResultOf(done, CancelledError)
            self.assertEqual(list(self.clock.getDelayedCalls()), [])
            self.assertEqual(sink.tokens, ["a "])

    def test_cancelledInsideAWrite(self) -> None:
        """
        A run that is cancelled while it writes a word, be it the last of a
        turn or of all, writes no more.
        """
        self.patch(textModule, "WORDS_PER_TURN", 2)
        for last in (1, 2, 3):
            sink = FakeSink()
            done = TextSource(self.clock, "a b c", 0).produce(sink, None)
            sink.onWrite = lambda sink=sink, done=done, last=last: len(sink.tokens) == last and stop(sink, done)
            self.clock.advance(20)
            self.failureResultOf(done, CancelledError)
            self.assertEqual(len(sink.tokens), last)


runSteps = st.one_of(
    st.tuples(st.just("pause"), st.just(0.0)),
    st.tuples(st.just("resume"), st.just(0.0)),
    st.tuples(st.just("pass"), st.sampled_from([0.0, 0.004, 0.01, 0.03, 0.5])),
)


class AnyRunTests(SynchronousTestCase):
    """Whatever a sink does."""

    @given(
        st.sampled_from([0, 0.01, 0.013]),
        st.integers(0, 12),
        st.lists(runSteps, max_size=25),
        st.lists(st.sampled_from(["", "", "pause"]), max_size=12),
    )
    def test_everyWordOnce(
        self, interval: float, words: int, script: list[tuple[str, float]], habits: list[str]
    ) -> None:
        """
        However a run is paused and resumed, from outside and from inside
        C{write}: nothing is written while it is paused, and in the end every
        word was written once, in order, and no timer is left.
        """
        clock = TurnClock()
        sink = FakeSink()
        text = "".join(f"{number} " for number in range(words))
        paused = False
        habit = iter(habits)

        def onWrite() -> None:
            nonlocal paused
            self.assertFalse(paused)
            if next(habit, "") == "pause":
                paused = True
                sink.producer.pauseProducing()

        sink.onWrite = onWrite
        results: list[Any] = []
        TextSource(clock, text, interval).produce(sink, None).addBoth(results.append)
        for step, seconds in [*script, *[("resume", 0.0), ("pass", 0.5)] * 13]:
            if step == "pass":
                clock.advance(seconds)
            elif sink.producer is not None:
                paused = step == "pause"
                (sink.producer.pauseProducing if paused else sink.producer.resumeProducing)()
        self.assertEqual("".join(sink.tokens), text)
        self.assertEqual(results, [None])
        self.assertIsNone(sink.producer)
        self.assertEqual((sink.registered, list(clock.getDelayedCalls())), (1, []))
