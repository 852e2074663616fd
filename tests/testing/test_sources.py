"""
Tests for `sseserver.testing.sources`: the contract on sources of ours and on a broken one, and the recording
sink.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.sources.function import FunctionSource
from sseserver.sources.text import TextSource
from sseserver.testing import RecordingSink, SourceContract
from sseserver.values import Prompt
from tests.testing.failing import findFailures


class PacedTextTests(SourceContract, SynchronousTestCase):
    """A text at a pace."""

    def makeSource(self) -> ITokenSource:
        return TextSource(self.clock, "one two  three\nfour five six seven", 0.1)


class UnpacedTextTests(SourceContract, SynchronousTestCase):
    """A text without a pace."""

    def makeSource(self) -> ITokenSource:
        return TextSource(self.clock, "one two " * 1000, 0)


class CoroutineTests(SourceContract, SynchronousTestCase):
    """A coroutine function that takes a prompt and awaits the sink."""

    prompt = Prompt("Say it")

    def makeSource(self) -> ITokenSource:
        return FunctionSource(self.tell, takesPrompt=True)

    async def tell(self, sink: ITokenSink, prompt: Prompt | None) -> str:
        """Write some tokens, one at a time."""
        assert prompt is not None
        for number in range(10):
            await sink.ready()
            sink.write(f"{prompt.text} {number} ")
            await deferLater(self.clock, 0.1)
        return "stop"


class HastyTests(SourceContract, SynchronousTestCase):
    """A function that writes everything at once."""

    waits = False

    def makeSource(self) -> ITokenSource:
        return FunctionSource(lambda sink, prompt: sink.write("all"))


@implementer(ITokenSource)
class _DeafSource:
    """Token source that ignores pauses and cancellation."""

    takesPrompt = False
    model = "deaf"

    def __init__(self, clock: Any) -> None:
        self.clock = clock

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[None]:
        done: Deferred[None] = Deferred(lambda _: None)

        def write(left: int) -> None:
            if left:
                sink.write(f"{left} ")
                self.clock.callLater(0.1, write, left - 1)
            elif not done.called:
                done.callback(None)

        write(10)
        return done


class BrokenSourceTests(SynchronousTestCase):
    """The contract fails for a source that breaks it."""

    def test_source(self) -> None:
        """The contract finds a source that cannot be paused or cancelled."""

        class Case(SourceContract, SynchronousTestCase):
            def makeSource(self) -> ITokenSource:
                return _DeafSource(self.clock)

        self.assertEqual(findFailures(Case), {"test_pause", "test_cancel"})


class SinkTests(SynchronousTestCase):
    """`RecordingSink` behaves like a run."""

    def test_sinkEnds(self) -> None:
        """A sink that has ended stops a late producer, completes `ready` and keeps late tokens apart."""
        sink = RecordingSink()
        sink.pause()
        waiting = sink.ready()
        sink.cancel()
        self.assertIsNone(self.successResultOf(waiting))
        stopped: list[bool] = []

        class Producer:
            def stopProducing(self) -> None:
                stopped.append(True)

        sink.registerProducer(Producer(), True)
        sink.write("late")
        self.assertEqual((stopped, sink.producer, sink.tokens, sink.late), ([True], None, [], ["late"]))

    def test_sinkRefuses(self) -> None:
        """A sink refuses pull producers, a second producer and lone surrogates."""
        sink = RecordingSink()
        self.assertRaises(ValueError, sink.registerProducer, object(), False)
        sink.registerProducer(object(), True)
        self.assertRaises(RuntimeError, sink.registerProducer, object(), True)
        self.assertRaises(UnicodeEncodeError, sink.write, "\ud800")
