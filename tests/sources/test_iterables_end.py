"""
Tests of `sseserver.sources.iterables`: how runs are cancelled, and how they fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater

from sseserver.errors import SourceError
from sseserver.sources import iterables
from sseserver.sources.iterables import tokensFrom
from sseserver.testing import RecordingSink
from tests.sources.iterables import IterablesTestCase


class CancelTests(IterablesTestCase):
    """Runs that are cancelled."""

    def test_generator(self) -> None:
        """The generator is closed at once: between two turns, and while the run is paused."""
        self.patch(iterables, "TOKENS_PER_TURN", 2)
        for paused in (False, True):
            self.notes.clear()
            sink = self.start(lambda: self.noted("12345"), 1)
            if paused:
                sink.pause()
            sink.cancel()
            self.assertEqual(self.notes, ["begun", "1", "2", "finally"])
            self.assertFailed(sink, CancelledError)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_onlyTheDeferred(self) -> None:
        """The Deferred alone can be cancelled, without the producer."""
        self.patch(iterables, "TOKENS_PER_TURN", 2)
        sink = RecordingSink()
        done = tokensFrom(self.clock, lambda: self.noted("12345")).produce(sink, None)
        self.turn()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual((self.notes[-1], sink.tokens, sink.producer), ("finally", ["1", "2"], None))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_beforeTheFirstTurn(self) -> None:
        """A run that is cancelled before its first turn never calls the function."""
        sink = self.start(lambda: self.noted("1"))
        sink.cancel()
        self.turn(2)
        self.assertEqual(self.notes, [])
        self.assertFailed(sink, CancelledError)

    def test_endedBefore(self) -> None:
        """With a sink whose run has ended, the function is not called."""
        sink = RecordingSink()
        sink.ended = True
        sink.start(tokensFrom(self.clock, lambda: self.noted("1")))
        self.turn(2)
        self.assertEqual(self.notes, [])
        self.assertFailed(sink, CancelledError)

    def test_inAnAwait(self) -> None:
        """
        An async generator gets `CancelledError` where it waits, and the Deferred that it waits for
        is cancelled.
        """
        cancelled: list[object] = []

        async def answer() -> AsyncIterator[str]:
            yield "1"
            try:
                await Deferred(cancelled.append)
            finally:
                self.notes.append("finally")
            yield "2"

        sink = self.start(answer, 1)
        sink.cancel()
        self.assertEqual((self.notes, len(cancelled)), (["finally"], 1))
        self.assertFailed(sink, CancelledError)

    def test_inAYield(self) -> None:
        """
        An async generator that has yielded is closed. If its `finally` waits, the end of the run
        waits, too.
        """
        work: Deferred[None] = Deferred()

        async def answer() -> AsyncIterator[str]:
            try:
                yield "1"
                yield "2"
            finally:
                self.notes.append("finally")
                await work
                self.notes.append("closed")

        self.patch(iterables, "TOKENS_PER_TURN", 1)
        sink = self.start(answer, 1)
        sink.cancel()
        self.assertEqual((self.notes, sink.result), (["finally"], None))
        work.callback(None)
        self.assertEqual(self.notes, ["finally", "closed"])
        self.assertFailed(sink, CancelledError)

    def test_coroutine(self) -> None:
        """A coroutine or a Deferred without a result is cancelled."""
        cancelled: list[object] = []

        async def answer() -> str:
            return await Deferred(cancelled.append)

        for number, function in enumerate((answer, lambda: Deferred(cancelled.append)), 1):
            sink = self.start(function, 1)
            sink.cancel()
            self.assertEqual(len(cancelled), number)
            self.assertFailed(sink, CancelledError)

    def test_insideAWrite(self) -> None:
        """
        A run that is cancelled inside its own write asks for no more tokens and closes the
        generator.
        """

        async def asynchronous() -> AsyncIterator[str]:
            try:
                # The run must wait for something.
                await deferLater(self.clock, 0)
                for token in "123":
                    self.notes.append(token)
                    yield token
            finally:
                self.notes.append("finally")

        for function in (lambda: self.noted("123"), asynchronous):
            self.notes.clear()
            sink = RecordingSink()
            sink.write = lambda token, sink=sink: sink.cancel() if not sink.ended else sink.late.append(token)  # type: ignore[method-assign, misc]
            sink.start(tokensFrom(self.clock, function))
            self.turn(3)
            self.assertEqual([note for note in self.notes if note != "begun"], ["1", "finally"])
            self.assertEqual(sink.late, [])

    def test_deaf(self) -> None:
        """A generator that ignores `CancelledError` is not asked again."""

        async def answer() -> AsyncIterator[str]:
            while True:
                try:
                    await Deferred()
                except CancelledError:
                    self.notes.append("deaf")
                yield "more"

        sink = self.start(answer, 1)
        sink.cancel()
        self.assertEqual((self.notes, sink.late), (["deaf"], []))
        self.assertFailed(sink, CancelledError)

    def test_bugInClosing(self) -> None:
        """An exception in a `finally` is the result of the run."""

        def answer() -> Iterator[str]:
            try:
                yield from "12"
            finally:
                raise KeyError("bug")

        self.patch(iterables, "TOKENS_PER_TURN", 1)
        sink = self.start(answer, 1)
        sink.cancel()
        self.assertFailed(sink, KeyError)


class FailureTests(IterablesTestCase):
    """Code that raises."""

    def test_raises(self) -> None:
        """An exception of the code is the failure of the run, after the tokens before it."""

        def plain(error: Exception) -> Iterator[str]:
            yield "1"
            raise error

        async def asynchronous(error: Exception) -> AsyncIterator[str]:
            yield "1"
            raise error

        async def awaited(error: Exception) -> Any:
            return plain(error)

        for kind in (plain, asynchronous, awaited):
            for error in (SourceError("No more.", "empty"), KeyError("bug"), RuntimeError("bug")):
                sink = self.start(lambda kind=kind, error=error: kind(error), 1)
                self.assertIs(self.assertFailed(sink, type(error)), error)
                self.assertEqual(sink.tokens, ["1"])

    def test_functionRaises(self) -> None:
        """
        An exception of the function itself, or the failure of its Deferred, fails the run, too.
        """

        async def breaks() -> str:
            raise KeyError("bug")

        def failed() -> Deferred[str]:
            return Deferred(lambda _: None).addCallback(lambda _: 1 // 0)

        self.assertFailed(self.start(lambda: 1 // 0, 1), ZeroDivisionError)
        self.assertFailed(self.start(breaks, 1), KeyError)
        answer: Deferred[str] = Deferred()
        sink = self.start(lambda: answer, 1)
        answer.errback(ValueError("bug"))
        self.assertFailed(sink, ValueError)

    def test_noText(self) -> None:
        """
        A token that is no `str` fails the run with a message that names its type; the generator is
        closed.
        """
        for token in (b"bytes", 5, None, ["a"]):
            self.notes.clear()
            sink = self.start(lambda token=token: self.noted(["1", token, "2"]), 1)  # type: ignore[misc]
            error = self.assertFailed(sink, TypeError)
            self.assertIn(f"not {type(token).__name__}", str(error))
            self.assertEqual((sink.tokens, self.notes[-1]), (["1"], "finally"))

        async def answer() -> AsyncIterator[Any]:
            try:
                yield 5
            finally:
                self.notes.append("closed")

        self.assertFailed(self.start(answer, 1), TypeError)
        self.assertEqual(self.notes[-1], "closed")

    def test_loneSurrogate(self) -> None:
        """A token with a lone surrogate fails the run, too."""
        sink = self.start(lambda: self.noted(["1", "\ud83d"]), 1)
        self.assertFailed(sink, UnicodeEncodeError)
        self.assertEqual((sink.tokens, self.notes[-1]), (["1"], "finally"))

    def test_noIterable(self) -> None:
        """A return value that cannot be iterated fails the run."""
        for answer in (None, 5, succeed(None), object()):
            self.assertFailed(self.start(lambda answer=answer: answer, 1), TypeError)  # type: ignore[misc]

    def test_exit(self) -> None:
        """Code that calls `sys.exit`, or raises `KeyboardInterrupt`, ends its run, not the server."""
        for name in ("SystemExit", "KeyboardInterrupt"):
            self.assertFailed(self.start(lambda name=name: exec(f"raise {name}"), 1), RuntimeError)  # type: ignore[misc]


class NoAsyncioTests(IterablesTestCase):
    """Code that needs asyncio under another reactor."""

    def check(self, function: Callable[[], Any]) -> None:
        """
        Check that the run fails at once with a message for viewers, and that the log names the
        remedy.
        """
        sink = self.start(function, 1)
        error = self.assertFailed(sink, SourceError)
        self.assertEqual((error.reason, "asyncio" in str(error)), ("asyncio", True))  # type: ignore[attr-defined]
        self.assertEqual(len(self.flushLoggedErrors(Exception)), 1)
        self.assertEqual(self.notes.pop(), "finally")

    async def answer(self, work: Callable[[], Any]) -> AsyncIterator[str]:
        """Await something, then yield."""
        try:
            yield "1"
            await work()
            yield "2"
        finally:
            self.notes.append("finally")

    def test_awaits(self) -> None:
        """Code that awaits a future gets an error at once, and does not wait for ever."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        for work in (lambda: asyncio.sleep(1), lambda: asyncio.sleep(0), loop.create_future, asyncio.Event().wait):
            self.check(lambda work=work: self.answer(work))  # type: ignore[misc]

    def test_wrapped(self) -> None:
        """The error is recognized inside the exception of a library."""

        async def work() -> None:
            try:
                await asyncio.sleep(1)
            except RuntimeError as error:
                raise OSError("No connection.") from error

        self.check(lambda: self.answer(work))
