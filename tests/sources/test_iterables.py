"""
Tests of `sseserver.sources.iterables`: the kinds of code, and the turns in which their tokens are
written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredQueue, succeed
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import ITokenSource
from sseserver.sources import iterables
from sseserver.sources.iterables import tokensFrom
from sseserver.testing import RecordingSink, SourceContract
from sseserver.values import Prompt
from tests.served import ServedTestCase
from tests.sources.iterables import IterablesTestCase


class GeneratorContractTests(SourceContract, SynchronousTestCase):
    """The contract of sources, kept by a generator."""

    prompt = Prompt("Say it")

    def makeSource(self) -> ITokenSource:
        def answer(prompt: Prompt) -> Iterator[str]:
            for number in range(2500):
                yield f"{prompt.text} {number} "

        return tokensFrom(self.clock, answer, takesPrompt=True)


class ListContractTests(SourceContract, SynchronousTestCase):
    """The contract of sources, kept by a list."""

    def makeSource(self) -> ITokenSource:
        return tokensFrom(self.clock, lambda: ["one ", "two ", "three"])


class AsyncContractTests(SourceContract, SynchronousTestCase):
    """The contract of sources, kept by an async generator."""

    def makeSource(self) -> ITokenSource:
        async def answer() -> AsyncIterator[str]:
            for number in range(10):
                yield f"{number} "
                await deferLater(self.clock, 0.1)

        return tokensFrom(self.clock, answer)


class CoroutineContractTests(SourceContract, SynchronousTestCase):
    """The contract of sources, kept by a coroutine whose result is an iterable."""

    def makeSource(self) -> ITokenSource:
        async def answer() -> Iterable[str]:
            await deferLater(self.clock, 0.15)
            return ["one ", "two ", "three"]

        return tokensFrom(self.clock, answer)


class KindsTests(IterablesTestCase):
    """The return values of a function."""

    def check(self, answer: Callable[[], Any], tokens: list[str], reason: object = None) -> None:
        """Check that the tokens are written in order, and check the reason."""
        sink = self.start(answer)
        self.clock.advance(0)
        self.assertEqual((sink.result, sink.tokens, sink.late), (reason, tokens, []))

    def test_plain(self) -> None:
        """
        A string, a list, an iterator and a generator; the return value of the generator is the
        reason.
        """
        self.check(lambda: "one piece", ["one piece"])
        self.check(lambda: "", [])
        self.check(lambda: ["a", "", "b"], ["a", "b"])
        self.check(lambda: iter(["a", "b"]), ["a", "b"])
        self.check(list, [])
        self.check(lambda: self.noted(["a", "b"]), ["a", "b"], "length")

    def test_asynchronous(self) -> None:
        """An async generator, and an object with nothing but `__anext__`."""

        async def answer() -> AsyncIterator[str]:
            yield "a"
            yield await succeed("b")

        class Letters:
            def __init__(self) -> None:
                self.letters = iter("ab")

            def __aiter__(self) -> Letters:
                return self

            async def __anext__(self) -> str:
                for letter in self.letters:
                    return letter
                raise StopAsyncIteration

        self.check(answer, ["a", "b"])
        self.check(Letters, ["a", "b"])

    def test_awaited(self) -> None:
        """A coroutine or a Deferred with any of these as its result."""

        async def text() -> str:
            return "ab"

        async def generator() -> Any:
            return self.noted(["a", "b"])

        self.check(text, ["ab"])
        self.check(generator, ["a", "b"], "length")
        self.check(lambda: succeed(["a", "b"]), ["a", "b"])

    def test_late(self) -> None:
        """A Deferred that fires later is awaited."""
        answer: Deferred[Any] = Deferred()
        sink = self.start(lambda: answer, 3)
        self.assertFalse(sink.ended)
        answer.callback("text")
        self.assertEqual((sink.tokens, sink.ended), (["text"], True))

    def test_prompt(self) -> None:
        """
        The function is called with the prompt if the source takes one, otherwise without arguments:
        once in each run, in its first turn.
        """
        prompts: list[Prompt] = []

        def answer(prompt: Prompt) -> str:
            prompts.append(prompt)
            return prompt.text

        source = tokensFrom(self.clock, answer, takesPrompt=True, model="mine")
        self.assertEqual((source.takesPrompt, source.model), (True, "mine"))
        sinks = [RecordingSink(), RecordingSink()]
        for sink, text in zip(sinks, "ab", strict=True):
            sink.start(source, Prompt(text))
        self.assertEqual(prompts, [])
        self.turn()
        self.assertEqual(prompts, [Prompt("a"), Prompt("b")])
        self.assertEqual([sink.tokens for sink in sinks], [["a"], ["b"]])
        source = tokensFrom(self.clock, lambda: "")
        self.assertEqual((source.takesPrompt, source.model), (False, "sseserver"))


class TurnTests(IterablesTestCase):
    """No source keeps the reactor busy, or is asked for more than the sink takes."""

    async def asynchronous(self, tokens: Iterable[str]) -> AsyncIterator[str]:
        """Yield the same tokens from an async generator that never waits."""
        for token in self.noted(tokens):
            yield token

    def test_number(self) -> None:
        """A reactor turn has a limited number of tokens, for plain and for asynchronous code."""
        self.patch(iterables, "TOKENS_PER_TURN", 4)
        for kind in (self.noted, self.asynchronous):
            sink = self.start(lambda kind=kind: kind("0123456789"))  # type: ignore[misc]
            for tokens in (0, 4, 8, 10):
                self.assertEqual(len(sink.tokens), tokens)
                self.turn()
            self.assertTrue(sink.ended)

    def test_time(self) -> None:
        """Tokens that take long end the turn."""

        def slow(tokens: str) -> Iterator[str]:
            for token in tokens:
                self.clock.step(0.006)
                yield token

        async def asynchronous(tokens: str) -> AsyncIterator[str]:
            for token in slow(tokens):
                yield token

        for kind in (slow, asynchronous):
            sink = self.start(lambda kind=kind: kind("01234"))
            for tokens in (0, 2, 4, 5):
                self.assertEqual(len(sink.tokens), tokens)
                self.turn()
            self.assertTrue(sink.ended)

    def test_waitingBeginsATurn(self) -> None:
        """
        Code that waits between its tokens has a new turn after each wait: a token is written when
        it comes.
        """
        self.patch(iterables, "TOKENS_PER_TURN", 2)
        queue: DeferredQueue[str] = DeferredQueue()

        async def answer() -> AsyncIterator[str]:
            while token := await queue.get():
                yield token

        sink = self.start(answer, 1)
        for number in range(1, 9):
            self.clock.step(1)
            queue.put("token")
            self.assertEqual(len(sink.tokens), number)
            self.assertEqual(self.clock.getDelayedCalls(), [])
        queue.put("")
        self.assertTrue(sink.ended)

    def pausing(self, sink: RecordingSink, at: str) -> Callable[[str], None]:
        """Return a `write` that pauses at one token."""
        write = RecordingSink.write

        def pauseAt(token: str) -> None:
            write(sink, token)
            if token == at:
                sink.pause()

        return pauseAt

    def test_pausedInsideAWrite(self) -> None:
        """
        A sink that pauses inside a write gets nothing more, and the generator is not asked again
        before the run resumes.
        """
        for kind in (self.noted, self.asynchronous):
            self.notes.clear()
            sink = RecordingSink()
            sink.write = self.pausing(sink, "2")  # type: ignore[method-assign]
            sink.start(tokensFrom(self.clock, lambda kind=kind: kind("12345")))  # type: ignore[misc]
            self.turn(3)
            self.assertEqual((sink.tokens, self.notes), (["1", "2"], ["begun", "1", "2"]))
            self.assertEqual(self.clock.getDelayedCalls(), [])
            sink.resume()
            self.assertEqual(sink.tokens, ["1", "2"])
            self.turn()
            self.assertEqual(("".join(sink.tokens), sink.ended), ("12345", True))

    def test_pausedWhileItWaits(self) -> None:
        """
        A token that comes while the run is paused is written when it resumes; a waiting generator
        is not asked twice.
        """
        queue: DeferredQueue[str] = DeferredQueue()

        async def answer() -> AsyncIterator[str]:
            while token := await queue.get():
                yield token

        sink = self.start(answer, 1)
        sink.pause()
        for token in ("a", "b", ""):
            queue.put(token)
        self.turn(2)
        self.assertEqual((sink.tokens, len(queue.pending)), ([], 2))
        sink.resume()
        sink.pause()
        self.turn()
        self.assertEqual(sink.tokens, [])
        sink.resume()
        self.turn()
        self.assertEqual((sink.tokens, sink.ended), (["a", "b"], True))

    def test_pausedBeforeTheAnswer(self) -> None:
        """An iterable that comes while the run is paused is iterated when it resumes."""
        answer: Deferred[str] = Deferred()
        sink = self.start(lambda: answer, 1)
        sink.pause()
        answer.callback("text")
        self.turn(2)
        self.assertEqual(sink.tokens, [])
        sink.resume()
        self.turn()
        self.assertEqual((sink.tokens, sink.ended), (["text"], True))

    def test_pausedFromTheStart(self) -> None:
        """
        A run that is paused from the start does not call the function, and neither does one that is
        cancelled then.
        """
        sink = RecordingSink()
        sink.pause()
        sink.start(tokensFrom(self.clock, lambda: self.noted("a")))
        self.turn(2)
        self.assertEqual(self.notes, [])
        sink.cancel()
        self.turn(2)
        self.assertEqual((self.notes, sink.late), ([], []))
        self.assertFailed(sink, CancelledError)


class ServedTests(ServedTestCase):
    """Viewers and the log, with a generator as the source."""

    def generate(self, notes: list[str]) -> Iterator[str]:
        """Yield tokens without end."""
        try:
            while True:
                yield "word " * 1000
        finally:
            notes.append("finally")

    def test_nobodyRead(self) -> None:
        """
        A generator whose run never has a viewer stops at the read-ahead, and is closed after the
        linger.
        """
        notes: list[str] = []
        self.serve(tokensFrom(self.reactor, lambda: self.generate(notes)))
        path = self.startRun()
        self.reactor.advance(1)
        self.assertEqual((self.state(path)["state"], notes), ("open", []))
        self.assertLess(self.state(path)["bytes"], 2 * 1024 * 1024)
        self.reactor.pump([1.0] * 100)
        self.assertEqual((self.state(path)["state"], notes), ("cancelled", ["finally"]))

    def test_shutDown(self) -> None:
        """A generator is closed when the service stops."""
        notes: list[str] = []
        self.serve(tokensFrom(self.reactor, lambda: self.generate(notes)))
        self.startRun()
        self.reactor.advance(1)
        stopping = self.service.stopService()
        self.reactor.advance(self.service.settings.drain)
        self.successResultOf(stopping)
        self.assertEqual(notes, ["finally"])

    def test_bug(self) -> None:
        """Viewers see nothing of an exception in the code; the log has all of it."""

        def answer() -> Iterator[str]:
            yield "before "
            raise KeyError("secret")

        self.serve(tokensFrom(self.reactor, answer))
        wire = self.view(self.startRun())
        self.reactor.pump([0.1] * 10)
        self.assertEqual(wire.response.types[-1], "failed")
        self.assertIn('"reason":"error"', wire.response.events[-1].data.replace(" ", ""))
        self.assertNotIn("secret", wire.response.events[-1].data)
        (failure,) = self.flushLoggedErrors(KeyError)
        self.assertIn("secret", failure.getTraceback())
