"""
Tests for `sseserver.sources.function`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.sources.function import FunctionSource
from sseserver.values import Prompt
from tests.fakes import FakeSink


class FunctionSourceTests(SynchronousTestCase):
    """A function as a token source."""

    def test_interface(self) -> None:
        """It is a token source, which takes a prompt only if it is told so."""
        source = FunctionSource(lambda sink, prompt: None)
        verifyObject(ITokenSource, source)
        self.assertIs(source.takesPrompt, False)
        self.assertIs(FunctionSource(lambda sink, prompt: None, takesPrompt=True).takesPrompt, True)

    def test_called(self) -> None:
        """The function is called once for each run, with its sink and its prompt."""
        calls: list[tuple[ITokenSink, Prompt | None]] = []
        source = FunctionSource(lambda sink, prompt: calls.append((sink, prompt)))
        self.assertEqual(calls, [])
        runs = [(FakeSink(), Prompt("a")), (FakeSink(), None)]
        for sink, prompt in runs:
            self.assertIsNone(source.produce(sink, prompt))
        self.assertEqual(calls, runs)

    def test_writes(self) -> None:
        """Tokens that the function writes are in the sink when `produce` returns."""
        sink = FakeSink()
        FunctionSource(lambda sink, prompt: sink.write(prompt.text)).produce(sink, Prompt("token"))  # type: ignore[union-attr]
        self.assertEqual(sink.tokens, ["token"])

    def test_result(self) -> None:
        """
        The return value is passed on as it is: cancelling a Deferred reaches the function's own.
        """
        cancelled: list[Deferred[Any]] = []
        work: Deferred[Any] = Deferred(cancelled.append)
        done = FunctionSource(lambda sink, prompt: work).produce(FakeSink(), None)
        self.assertIs(done, work)
        done.cancel()
        self.assertEqual(cancelled, [work])
        self.failureResultOf(work, CancelledError)

    def test_coroutine(self) -> None:
        """A coroutine function works as well: the run awaits the coroutine."""
        work: Deferred[None] = Deferred()

        async def produce(sink: ITokenSink, prompt: Prompt | None) -> str:
            sink.write("before ")
            await work
            sink.write("after")
            return "length"

        sink = FakeSink()
        done = maybeDeferred(FunctionSource(produce).produce, sink, None)
        self.assertEqual(sink.tokens, ["before "])
        self.assertNoResult(done)
        work.callback(None)
        self.assertEqual((self.successResultOf(done), sink.tokens), ("length", ["before ", "after"]))

    def test_raises(self) -> None:
        """An exception of the function is raised, after whatever it has written."""

        def breaks(sink: ITokenSink, prompt: Prompt | None) -> None:
            sink.write("before")
            raise SourceError("No more words.", "empty")

        sink = FakeSink()
        error = self.assertRaises(SourceError, FunctionSource(breaks).produce, sink, None)
        self.assertEqual((str(error), error.reason), ("No more words.", "empty"))
        self.assertEqual(sink.tokens, ["before"])
        self.assertEqual(SourceError("Broken.").reason, "source")

    def test_method(self) -> None:
        """A bound method, or any other callable, is accepted."""

        class Answer:
            def __call__(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[str]:
                return succeed("stop")

        self.assertEqual(self.successResultOf(FunctionSource(Answer()).produce(FakeSink(), None)), "stop")
