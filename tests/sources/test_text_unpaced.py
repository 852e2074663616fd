"""Tests for `sseserver.sources.text`: words without a pace."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from zope.interface import implementer
from zope.interface.verify import verifyObject

from sseserver.interfaces import IPackedSink
from sseserver.sources import text as textModule
from sseserver.sources.text import BATCH, BATCHES_PER_TURN, WORDS_PER_TURN, TextSource
from sseserver.values import Kind, PackedEntries
from tests.fakes import FakeSink
from tests.sources.texts import SourceTestCase, stop


class UnpacedTests(SourceTestCase):
    """Words without a pace."""

    def test_boundedTurns(self) -> None:
        """A turn of the reactor writes a limited number of words, and the run ends with the last one."""
        self.patch(textModule, "WORDS_PER_TURN", 4)
        done = self.produce("0 1 2 3 4 5 6 7 8 9", 0)
        for words in (4, 8):
            self.assertEqual(self.clock.turn(), 1)
            self.assertEqual(len(self.sink.tokens), words)
            self.assertNoResult(done)
        self.clock.turn()
        self.assertDone(done, "0 1 2 3 4 5 6 7 8 9")

    def test_fullLastTurn(self) -> None:
        """A last turn that is just full ends the run."""
        self.patch(textModule, "WORDS_PER_TURN", 4)
        done = self.produce("0 1 2 3 4 5 6 7", 0)
        self.clock.turn()
        self.clock.turn()
        self.assertDone(done, "0 1 2 3 4 5 6 7")

    def test_defaultIsTold(self) -> None:
        """A turn writes 1,000 words."""
        self.assertEqual(WORDS_PER_TURN, 1000)
        done = self.produce("x " * 1001, 0)
        self.clock.turn()
        self.assertEqual(len(self.sink.tokens), 1000)
        self.clock.turn()
        self.assertDone(done, "x " * 1001)

    def test_noTimePasses(self) -> None:
        """A run needs no time to pass."""
        done = self.produce("a b c", 0)
        self.clock.advance(0)
        self.assertDone(done, "a b c")
        self.assertEqual(self.clock.seconds(), 0)

    def test_pause(self) -> None:
        """A paused run writes nothing and holds no timer, and continues with the next word."""
        self.patch(textModule, "WORDS_PER_TURN", 2)
        done = self.produce("a b c d e", 0)
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
        """Resuming a run that is not paused adds no second loop."""
        self.patch(textModule, "WORDS_PER_TURN", 1)
        done = self.produce("a b c", 0)
        for number in range(1, 4):
            self.sink.producer.resumeProducing()
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.turn()
            self.assertEqual(len(self.sink.tokens), number)
        self.assertDone(done, "a b c")

    def test_pausedInsideAWrite(self) -> None:
        """
        A sink that pauses inside each write gets one word for each resumption, and the run ends with the last
        word.
        """
        self.sink.onWrite = lambda: self.sink.producer.pauseProducing()
        done = self.produce("a b c", 0)
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
        """A sink that pauses and resumes inside a write gets each word once, and the run ends once."""
        self.patch(textModule, "WORDS_PER_TURN", 2)
        done = self.produce("a b c d e", 0)
        done.addErrback(lambda failure: failure.trap(CancelledError))
        self.stopAtEnd(done.cancel)
        self.sink.onWrite = self.pauseAndResume
        for _ in range(6):
            self.assertLessEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.turn()
        self.assertDone(done, "a b c d e")
        self.assertEqual(len(self.sink.tokens), 5)

    def pauseAndResume(self) -> None:
        """Pause and resume at once."""
        self.sink.producer.pauseProducing()
        self.sink.producer.resumeProducing()

    def test_cancel(self) -> None:
        """A cancelled run, paused or not, writes nothing more, holds no timer and fails with `CancelledError`."""
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
        """A run that is cancelled inside a write, even the last one of a turn or of all, writes nothing more."""
        self.patch(textModule, "WORDS_PER_TURN", 2)
        for last in (1, 2, 3):
            sink = FakeSink()
            done = TextSource(self.clock, "a b c", 0).produce(sink, None)
            sink.onWrite = lambda sink=sink, done=done, last=last: len(sink.tokens) == last and stop(sink, done)
            self.clock.advance(20)
            self.failureResultOf(done, CancelledError)
            self.assertEqual(len(sink.tokens), last)


@implementer(IPackedSink)
class PackedSink(FakeSink):
    """A sink that takes many tokens at once, and records them as one text."""

    def writeTokens(self, tokens: PackedEntries) -> None:
        """See `IPackedSink.writeTokens`."""
        assert {kind for kind, _ in tokens} == {Kind.TOKEN}
        self.write("".join(data.decode("utf-8") for _, data in tokens))


class BatchTests(SourceTestCase):
    """#16: words without a pace for a sink that takes many at once."""

    def setUp(self) -> None:
        """Make a sink."""
        super().setUp()
        self.sink = PackedSink()
        verifyObject(IPackedSink, self.sink)

    def test_batches(self) -> None:
        """Each write has a batch of words, the last one the rest; nothing is missing and nothing comes twice."""
        words = [f"{number} " for number in range(2 * BATCH + 3)]
        done = self.begin("".join(words), 0)
        sizes = [len(text.split()) for text in self.sink.tokens]
        self.assertEqual(sizes, [BATCH, BATCH, 3])
        self.assertDone(done, "".join(words))

    def test_shortText(self) -> None:
        """A short text is one write."""
        done = self.begin("a b c", 0)
        self.assertEqual(self.sink.tokens, ["a b c"])
        self.assertDone(done, "a b c")

    def test_boundedTurns(self) -> None:
        """A turn of the reactor writes about as many words as one by one."""
        self.assertEqual(BATCH * BATCHES_PER_TURN, 1024)
        text = "x " * (BATCH * BATCHES_PER_TURN + 1)
        done = self.begin(text, 0)
        self.assertEqual(len(self.sink.tokens), BATCHES_PER_TURN)
        self.assertNoResult(done)
        self.clock.turn()
        self.assertDone(done, text)

    def test_pausedInsideAWrite(self) -> None:
        """A sink that pauses inside each write gets one batch for each resumption."""
        self.sink.onWrite = lambda: self.sink.producer.pauseProducing()
        done = self.begin("x " * (2 * BATCH + 1), 0)
        for number in range(1, 3):
            self.clock.advance(1)
            self.assertEqual(len(self.sink.tokens), number)
            self.sink.producer.resumeProducing()
        self.clock.advance(1)
        self.assertDone(done, "x " * (2 * BATCH + 1))

    def test_anotherText(self) -> None:
        """A run that has begun goes on with its text; the next one has the new text."""
        source = TextSource(self.clock, "old " * (BATCH + 1), 0)
        first = source.produce(self.sink, None)
        source.replaceText("new")
        self.clock.turn()
        self.assertDone(first, "old " * (BATCH + 1))
        self.sink.tokens.clear()
        second = source.produce(self.sink, None)
        self.clock.turn()
        self.assertDone(second, "new")

    def test_loneSurrogate(self) -> None:
        """A text that is not Unicode ends the run at the word that is not, as with any other sink."""
        done = TextSource(self.clock, "good \ud800 good", 0).produce(self.sink, None)
        done.addErrback(lambda failure: failure.type)
        self.clock.turn()
        self.assertIs(self.successResultOf(done), UnicodeEncodeError)
        self.assertEqual(self.sink.tokens, ["good "])
