"""
Contract tests for token sources, and a sink to try a source with.

Public as `sseserver.testing.SourceContract` and `sseserver.testing.RecordingSink`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from sseserver.interfaces import ITokenSink, ITokenSource, Origin
from sseserver.values import Prompt

if TYPE_CHECKING:
    _TestCase = SynchronousTestCase
else:
    _TestCase = object


@implementer(ITokenSink)
class RecordingSink:
    """
    Token sink that records everything, and can be paused and cancelled like a run.

    Attributes:
        tokens: The tokens before the end, and the texts of the chunks.
        chunks: The chunks before the end.
        origin: The upstream that was noted last, if any.
        late: The tokens and texts after the end, which a run would drop.
        producer: The registered producer, or `None`.
        paused: Whether the sink is paused.
        ended: Whether the run has ended or was cancelled.
        result: Result of the source's Deferred: its reason, a `Failure`, or `None`.
    """

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.chunks: list[bytes] = []
        self.origin: Origin | None = None
        self.late: list[str] = []
        self.producer: Any = None
        self.paused = False
        self.ended = False
        self.result: Any = None
        self._waiters: list[Deferred[None]] = []
        self._work: Deferred[Any] | None = None

    def start(self, source: ITokenSource, prompt: Prompt | None = None) -> None:
        """
        Start a run.

        Args:
            source: Produces into this sink.
            prompt: Passed to the source.
        """
        self._work = maybeDeferred(source.produce, self, prompt)
        self._work.addBoth(self._end)

    def pause(self) -> None:
        """Pause, as a run does whose viewers are behind."""
        self.paused = True
        if self.producer is not None:
            self.producer.pauseProducing()

    def resume(self) -> None:
        """Resume the producer and the calls of `ready`."""
        self.paused = False
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)
        if self.producer is not None:
            self.producer.resumeProducing()

    def cancel(self) -> None:
        """Stop the source, as a run does that is cancelled."""
        producer, self.ended = self.producer, True
        self.resume()
        if producer is not None:
            producer.stopProducing()
        if self._work is not None:
            self._work.cancel()

    def write(self, token: str) -> None:
        """See `ITokenSink.write`."""
        token.encode("utf-8")
        if token:
            (self.late if self.ended else self.tokens).append(token)

    def writeChunk(self, chunk: bytes, text: str) -> None:
        """See `ITokenSink.writeChunk`."""
        self.write(text)
        if not self.ended:
            self.chunks.append(chunk)

    def noteOrigin(self, origin: Origin) -> None:
        """See `ITokenSink.noteOrigin`."""
        self.origin = origin

    def ready(self) -> Deferred[None]:
        """See `ITokenSink.ready`."""
        if not self.paused:
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._waiters.remove)
        self._waiters.append(waiter)
        return waiter

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See `ITokenSink.registerProducer`."""
        if not streaming:
            raise ValueError("A token sink accepts push producers only: `streaming` must be true.")
        if self.producer is not None:
            raise RuntimeError(f"{producer!r} cannot be registered while {self.producer!r} is.")
        if self.ended:
            producer.stopProducing()
            return
        self.producer = producer
        if self.paused:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """See `ITokenSink.unregisterProducer`."""
        self.producer = None

    def _end(self, result: Any) -> None:
        self.ended = True
        self.result = result


class SourceContract(_TestCase):
    """
    Tests that every `ITokenSource` must pass.

    Mix it into a `SynchronousTestCase`, and override `makeSource`.

    Attributes:
        prompt: Prompt of the runs; `None` for a source that takes none.
        waits: Whether a paused run writes nothing. A function that writes everything at once cannot
            wait.
        clock: Clock for the source; nothing else moves it.
        source: The source under test.
    """

    prompt: Prompt | None = None
    waits = True

    def makeSource(self) -> ITokenSource:
        """Return a source on `self.clock` whose runs end by themselves."""
        raise NotImplementedError("Override makeSource to return a source on self.clock.")

    def step(self) -> None:
        """Let some time pass, after which a run has made progress but not ended."""
        self.clock.advance(0.1)

    def finish(self) -> None:
        """Let time pass until nothing is scheduled."""
        for _ in range(10_000):
            self.step()
            if not self.clock.getDelayedCalls():
                break

    def setUp(self) -> None:
        """Make the clock and the source."""
        super().setUp()
        self.clock = Clock()
        self.source = self.makeSource()

    def start(self) -> RecordingSink:
        """Start a run and return its sink."""
        sink = RecordingSink()
        sink.start(self.source, self.prompt)
        return sink

    def assertWhole(self, sink: RecordingSink) -> None:
        """
        Check that a run has ended by itself without an error, and left nothing behind.

        Args:
            sink: The sink of the run.
        """
        self.assertTrue(sink.ended)
        self.assertNotIsInstance(sink.result, Failure)
        self.assertEqual((sink.producer, sink.late), (None, []))

    def test_interface(self) -> None:
        """A source provides its interface and declares whether it takes a prompt."""
        verifyObject(ITokenSource, self.source)
        self.assertEqual(self.source.takesPrompt, self.prompt is not None)

    def test_run(self) -> None:
        """A run writes tokens and ends, and leaves nothing scheduled."""
        sink = self.start()
        self.finish()
        self.assertWhole(sink)
        self.assertTrue(sink.tokens)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_manyRuns(self) -> None:
        """The runs of a source are independent: cancelling one does not affect the others."""
        alone = self.start()
        self.finish()
        sinks = [self.start() for _ in range(3)]
        self.step()
        sinks[1].cancel()
        self.finish()
        for sink in (sinks[0], sinks[2]):
            self.assertWhole(sink)
            self.assertEqual("".join(sink.tokens), "".join(alone.tokens))

    def test_cancel(self) -> None:
        """A cancelled run writes nothing more, ends, and leaves nothing scheduled."""
        for steps in range(3):
            sink = self.start()
            for _ in range(steps):
                self.step()
            sink.cancel()
            self.finish()
            self.assertEqual((sink.late, self.clock.getDelayedCalls()), ([], []))

    def test_pause(self) -> None:
        """A run that is paused, at any time, continues where it was."""
        alone = self.start()
        self.finish()
        for steps in range(3):
            sink = RecordingSink()
            if not steps:
                sink.pause()
            sink.start(self.source, self.prompt)
            for _ in range(steps):
                self.step()
            if not sink.ended:
                sink.pause()
            before = len(sink.tokens)
            self.step()
            self.step()
            if self.waits:
                self.assertEqual(len(sink.tokens), before)
            sink.resume()
            self.finish()
            self.assertWhole(sink)
            self.assertEqual("".join(sink.tokens), "".join(alone.tokens))
