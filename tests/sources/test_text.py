"""Tests for `sseserver.sources.text`: words, and behaviour at any pace. Each pace has a module of its own."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.sources.text import LONGEST, WELCOME, TextSource, splitWords
from tests.fakes import FakeSink, TurnClock
from tests.sources.texts import SourceTestCase

# All characters that `\s`, `str.split` or `str.splitlines` takes for white space. The last one is U+3000.
SPACES = "".join(chr(code) for code in range(0x10000) if chr(code).isspace())

# White space, characters that only look like it, and words.
HOSTILE = st.text(st.sampled_from(SPACES + "\u200b\ufeff\u2060\x00ab\u00e9\U0001f600")) | st.text()


class SplitTests(SynchronousTestCase):
    """`splitWords`."""

    def test_words(self) -> None:
        """Words keep the white space that follows them."""
        self.assertEqual(splitWords("To be,  or\nnot\r\n\tto be."), ["To ", "be,  ", "or\n", "not\r\n\t", "to ", "be."])

    def test_edges(self) -> None:
        """
        Leading white space belongs to the first word, white space alone is one word, and an empty text has no
        word.
        """
        self.assertEqual(splitWords(" \n a b "), [" \n a ", "b "])
        self.assertEqual(splitWords(" \n\t "), [" \n\t "])
        self.assertEqual(splitWords(""), [])

    @given(HOSTILE)
    @example(SPACES)
    @example(SPACES + "a" + SPACES)
    @example("\u3053" * 200 + "a" * 200)
    def test_joinedIsTheText(self, text: str) -> None:
        """The words of any text are not empty, have at most one run of other than white space, and make the text."""
        words = splitWords(text)
        self.assertEqual("".join(words), text)
        self.assertTrue(all(len(word.split()) <= 1 for word in words))
        self.assertNotIn("", words)

    def test_F43_textWithoutSpaces(self) -> None:
        """F43: each character of a script without spaces is a word, with the marks and the white space after it."""
        text = "\u3053\u308c\u306f\u7a7a\u767d\u306e\u306a\u3044\u6587\u7ae0\u3067\u3059"
        self.assertEqual(splitWords(text * 6), list(text * 6))
        self.assertEqual(splitWords("Say \u7a7a \u767d, ok"), ["Say ", "\u7a7a ", "\u767d", ", ", "ok"])
        self.assertEqual(splitWords("\u304b\u3099\u845b\U000e0100"), ["\u304b\u3099", "\u845b\U000e0100"])

    def test_F43_longWords(self) -> None:
        """F43: a long run of any characters is split, but not before an accent or inside a joined emoji."""
        thai = "\u0e20\u0e32\u0e29\u0e32" * 100
        self.assertEqual(max(map(len, splitWords(thai))), LONGEST)
        start = "x" * LONGEST
        self.assertEqual(splitWords(start + "\u0301y"), [start + "\u0301", "y"])
        self.assertEqual(splitWords(start + "\u200d\U0001f600y"), [start + "\u200d\U0001f600", "y"])

    def test_whiteSpaceIsNotQuadratic(self) -> None:
        """A megabyte of white space, or without it, is split in linear time."""
        for text in (" " * 1_000_000, "a" + " " * 1_000_000 + "b", "x" * 1_000_000):
            self.assertLess(len(splitWords(text)), 1_000_000 // LONGEST + 2)


class TextSourceTests(SourceTestCase):
    """Behaviour at any pace."""

    def test_interface(self) -> None:
        """The source is a token source without a prompt, and registers a push producer."""
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
        """An interval that is not a pace is refused in a message that shows it."""
        for interval in (-1, -0.001, float("nan"), float("inf"), float("-inf")):
            error = self.assertRaises(ValueError, TextSource, self.clock, "a", interval)
            self.assertIn(repr(interval), str(error))

    def test_emptyText(self) -> None:
        """A run of an empty text ends in the first turn without a token."""
        for interval in (0, 0.1, 1000.0):
            done = self.produce("", interval)
            self.clock.turn()
            self.assertDone(done, "")
            self.assertEqual(self.sink.tokens, [])

    def test_nothingInsideProduce(self) -> None:
        """Nothing is written before `produce` has returned."""
        for interval in (0, 0.1):
            done = self.produce("a b", interval)
            self.assertEqual(self.sink.tokens, [])
            self.clock.turn()
            self.clock.advance(10)
            self.assertDone(done, "a b")
            self.sink.tokens.clear()

    def test_runAgain(self) -> None:
        """A source serves many runs, in turn and at once, each from the start of the text."""
        for interval in (0, 0.1):
            source = TextSource(self.clock, "a b c", interval)
            for _ in range(2):
                sinks = [FakeSink() for _ in range(3)]
                done = [source.produce(sink, None) for sink in sinks]
                self.clock.turn()
                self.clock.advance(10)
                for sink, one in zip(sinks, done, strict=True):
                    self.successResultOf(one)
                    self.assertEqual(sink.tokens, ["a ", "b ", "c"])

    def test_welcome(self) -> None:
        """The built-in text is not empty and arrives unchanged."""
        self.assertTrue(WELCOME.strip())
        done = self.produce(WELCOME, 0)
        self.clock.advance(0)
        self.assertDone(done, WELCOME)

    def test_defaultPace(self) -> None:
        """The default pace is ten words a second, of which the first comes at once."""
        done = TextSource(self.clock, "a b").produce(self.sink, None)
        self.clock.turn()
        self.assertEqual(self.sink.tokens, ["a "])
        self.steps(0.095)
        self.assertEqual(self.sink.tokens, ["a "])
        self.steps(0.015)
        self.assertDone(done, "a b")

    def test_sinkRefuses(self) -> None:
        """An exception of the sink ends the run with this error, here for a lone surrogate."""
        for interval in (0, 0.1):
            sink = FakeSink()
            done = TextSource(self.clock, "good \ud800 good", interval).produce(sink, None)
            self.stopAtEnd(done.cancel)
            done.addErrback(lambda failure: failure.type)
            try:
                self.clock.turn()
                self.clock.advance(1)
            except UnicodeEncodeError:
                self.fail("It was left to the reactor.")
            self.flushLoggedErrors(UnicodeEncodeError)
            self.assertIs(self.successResultOf(done), UnicodeEncodeError)
            self.assertEqual(sink.tokens, ["good "])


class RegisteredTests(SourceTestCase):
    """Sinks that are not ready when the run starts."""

    def test_pausedAtOnce(self) -> None:
        """A sink that pauses the producer during the registration gets nothing until it resumes it."""
        for interval in (0, 0.1):
            sink = FakeSink()
            sink.onRegister = lambda producer: producer.pauseProducing()
            done = TextSource(self.clock, "a b", interval).produce(sink, None)
            self.stopAtEnd(done.cancel)
            done.addErrback(lambda failure: failure.trap(CancelledError))
            self.clock.advance(10)
            self.assertEqual(sink.tokens, [])
            sink.producer.resumeProducing()
            self.clock.turn()
            self.clock.advance(10)
            self.successResultOf(done)
            self.assertEqual(sink.tokens, ["a ", "b"])

    def test_stoppedAtOnce(self) -> None:
        """A sink that stops the producer during the registration gets nothing, and no timer is left."""
        for interval in (0, 0.1):
            sink = FakeSink()
            sink.onRegister = lambda producer: producer.stopProducing()
            done = TextSource(self.clock, "a b", interval).produce(sink, None)
            done.addErrback(lambda failure: failure.trap(CancelledError))
            self.clock.advance(10)
            self.assertEqual(sink.tokens, [])
            self.assertEqual(list(self.clock.getDelayedCalls()), [])
            done.cancel()


runSteps = st.one_of(
    st.tuples(st.just("pause"), st.just(0.0)),
    st.tuples(st.just("resume"), st.just(0.0)),
    st.tuples(st.just("pass"), st.sampled_from([0.0, 0.004, 0.01, 0.03, 0.5])),
)


class AnyRunTests(SynchronousTestCase):
    """Random pauses and resumptions."""

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
        However a run is paused and resumed, outside or inside a write, nothing is written while it is paused,
        each word is written once and in order, and no timer is left.
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
