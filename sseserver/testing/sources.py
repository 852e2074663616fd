"""
SourceContract: what every token source must do, as tests, and a sink to try one with. Their public place is
L{sseserver.testing}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.values import Prompt

if TYPE_CHECKING:
    _TestCase = SynchronousTestCase
else:
    _TestCase = object


@implementer(ITokenSink)
class RecordingSink:
    """
    A token sink that keeps what it is given, and can be paused and cancelled as a run can.

    Attributes:
        tokens: What was written, until the end; of chunks, their text.
        chunks: The chunks, as they came.
        late: What was written after the end; a run drops it.
        producer: Who is registered.
        paused: Whether it wants no more now.
        ended: Whether the source has said so, or was cancelled.
        result: What the source's Deferred fired with: its reason, a
            L{Failure}, or C{None}.
    """

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.chunks: list[bytes] = []
        self.late: list[str] = []
        self.producer: Any = None
        self.paused = False
        self.ended = False
        self.result: Any = None
        self._awaiting: list[Deferred[None]] = []
        self._work: Deferred[Any] | None = None

    def start(self, source: ITokenSource, prompt: Prompt | None = None) -> None:
        """Let a source work into this sink."""
        self._work = maybeDeferred(source.produce, self, prompt)
        self._work.addBoth(self._end)

    def pause(self) -> None:
        """Want no more for now: the viewers are behind."""
        self.paused = True
        if self.producer is not None:
            self.producer.pauseProducing()

    def resume(self) -> None:
        """Want more again."""
        self.paused = False
        awaiting, self._awaiting = self._awaiting, []
        for waiting in awaiting:
            waiting.callback(None)
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
        """See L{ITokenSink.write}."""
        token.encode("utf-8")
        if token:
            (self.late if self.ended else self.tokens).append(token)

    def writeChunk(self, chunk: bytes, text: str) -> None:
        """See L{ITokenSink.writeChunk}."""
        self.write(text)
        if not self.ended:
            self.chunks.append(chunk)

    def ready(self) -> Deferred[None]:
        """See L{ITokenSink.ready}."""
        if not self.paused:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._awaiting.remove)
        self._awaiting.append(waiting)
        return waiting

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See L{ITokenSink.registerProducer}."""
        if not streaming:
            raise ValueError("A token sink takes push producers only.")
        if self.producer is not None:
            raise RuntimeError(f"{producer!r} cannot be registered: {self.producer!r} is.")
        if self.ended:
            producer.stopProducing()
            return
        self.producer = producer
        if self.paused:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """See L{ITokenSink.unregisterProducer}."""
        self.producer = None

    def _end(self, result: Any) -> None:
        self.ended = True
        self.result = result


class SourceContract(_TestCase):
    """
    What every L{ITokenSource} must do.

    Attributes:
        prompt: What the runs are asked; C{None} for a source that takes no prompt.
        waits: Whether a paused run writes nothing more; a function that writes all in one go cannot.
        clock: What the source's time comes from.
        source: The source.
    """

    prompt: Prompt | None = None
    waits = True

    def makeSource(self) -> ITokenSource:
        """Make a source on C{self.clock}; its runs end."""
        raise NotImplementedError("Say how your source is made.")

    def step(self) -> None:
        """Let a little time pass, so that a run goes on but is not through at once."""
        self.clock.advance(0.1)

    def finish(self) -> None:
        """Let as much time pass as a run may take."""
        for _ in range(10_000):
            self.step()
            if not self.clock.getDelayedCalls():
                break

    def setUp(self) -> None:
        """Make a source."""
        super().setUp()
        self.clock = Clock()
        self.source = self.makeSource()

    def start(self) -> RecordingSink:
        """Start a run."""
        sink = RecordingSink()
        sink.start(self.source, self.prompt)
        return sink

    def assertWhole(self, sink: RecordingSink) -> None:
        """The run has ended by itself and without an error, and left nothing behind."""
        self.assertTrue(sink.ended)
        self.assertNotIsInstance(sink.result, Failure)
        self.assertEqual((sink.producer, sink.late), (None, []))

    def test_interface(self) -> None:
        """
        A source says what it is, and whether it takes a prompt.
        """
        verifyObject(ITokenSource, self.source)
        self.assertEqual(self.source.takesPrompt, self.prompt is not None)

    def test_run(self) -> None:
        """
        A run writes its tokens and ends; then nothing waits on the clock.
        """
        sink = self.start()
        self.finish()
        self.assertWhole(sink)
        self.assertTrue(sink.tokens)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_manyRuns(self) -> None:
        """
        Many runs of one source have nothing in common: when one is cancelled the others go on.
        """
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
        """
        A run that is cancelled stops: it writes nothing more, its Deferred fires, nothing waits on the clock.
        """
        for steps in range(3):
            sink = self.start()
            for _ in range(steps):
                self.step()
            sink.cancel()
            self.finish()
            self.assertEqual((sink.late, self.clock.getDelayedCalls()), ([], []))

    def test_pause(self) -> None:
        """
        A run that is paused, at any time, goes on where it was.
        """
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
