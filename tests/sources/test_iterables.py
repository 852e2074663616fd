"""
Tests for L{sseserver.sources.iterables}.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredQueue, succeed
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSource
from sseserver.sources import iterables
from sseserver.sources.iterables import TOKENS_AHEAD, tokensFrom
from sseserver.testing import RecordingSink, SourceContract
from sseserver.values import Prompt
from tests.fakes import TurnClock
from tests.served import ServedTestCase
from tests.wires import soon

#: Seconds after which something that should happen at once counts as not happening.
SOON = 60.0


class GeneratorContractTests(SourceContract, SynchronousTestCase):
    """A generator keeps the contract."""

    prompt = Prompt("Say it")

    def makeSource(self) -> ITokenSource:
        def answer(prompt: Prompt) -> Iterator[str]:
            for number in range(2500):
                yield f"{prompt.text} {number} "

        return tokensFrom(self.clock, answer, takesPrompt=True)


class ListContractTests(SourceContract, SynchronousTestCase):
    """So does a list."""

    def makeSource(self) -> ITokenSource:
        return tokensFrom(self.clock, lambda: ["one ", "two ", "three"])


class AsyncContractTests(SourceContract, SynchronousTestCase):
    """So does an async generator."""

    def makeSource(self) -> ITokenSource:
        async def answer() -> AsyncIterator[str]:
            for number in range(10):
                yield f"{number} "
                await deferLater(self.clock, 0.1)

        return tokensFrom(self.clock, answer)


class CoroutineContractTests(SourceContract, SynchronousTestCase):
    """So does a coroutine that comes to an iterable."""

    def makeSource(self) -> ITokenSource:
        async def answer() -> Iterable[str]:
            await deferLater(self.clock, 0.15)
            return ["one ", "two ", "three"]

        return tokensFrom(self.clock, answer)


class IterablesTestCase(SynchronousTestCase):
    """Runs code on a clock; nothing is left on it."""

    def setUp(self) -> None:
        self.clock = TurnClock()
        self.notes: list[str] = []

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def start(self, function: Callable[[], Any], turns: int = 0) -> RecordingSink:
        """Start a run, and let the reactor turn so many times."""
        sink = RecordingSink()
        sink.start(tokensFrom(self.clock, function))
        self.turn(turns)
        return sink

    def turn(self, turns: int = 1) -> None:
        """Let the reactor turn."""
        for _ in range(turns):
            self.clock.turn()

    def assertFailed(self, sink: RecordingSink, error: type[BaseException]) -> BaseException:
        """A run has failed; it has let go of its sink."""
        self.assertIsInstance(sink.result, Failure)
        self.assertTrue(sink.result.check(error), sink.result)
        self.assertIsNone(sink.producer)
        return sink.result.value  # type: ignore[no-any-return]

    def noted(self, tokens: Iterable[str]) -> Generator[str, None, str]:
        """A generator that notes how it is used."""
        self.notes.append("begun")
        try:
            for token in tokens:
                self.notes.append(token)
                yield token
        finally:
            self.notes.append("finally")
        return "length"


class KindsTests(IterablesTestCase):
    """What a function may give."""

    def check(self, answer: Callable[[], Any], tokens: list[str], reason: object = None) -> None:
        """What is given is written in order, and the reason is told."""
        sink = self.start(answer)
        self.clock.advance(0)
        self.assertEqual((sink.result, sink.tokens, sink.late), (reason, tokens, []))

    def test_plain(self) -> None:
        """
        A string, a list, an iterator and a generator; what the generator returns is the reason.
        """
        self.check(lambda: "one piece", ["one piece"])
        self.check(lambda: "", [])
        self.check(lambda: ["a", "", "b"], ["a", "b"])
        self.check(lambda: iter(["a", "b"]), ["a", "b"])
        self.check(list, [])
        self.check(lambda: self.noted(["a", "b"]), ["a", "b"], "length")

    def test_asynchronous(self) -> None:
        """
        An async generator, and what has only C{__anext__}.
        """

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
        """
        A coroutine or a Deferred that comes to any of these.
        """

        async def text() -> str:
            return "ab"

        async def generator() -> Any:
            return self.noted(["a", "b"])

        self.check(text, ["ab"])
        self.check(generator, ["a", "b"], "length")
        self.check(lambda: succeed(["a", "b"]), ["a", "b"])

    def test_late(self) -> None:
        """
        A Deferred that fires later is waited for.
        """
        answer: Deferred[Any] = Deferred()
        sink = self.start(lambda: answer, 3)
        self.assertFalse(sink.ended)
        answer.callback("text")
        self.assertEqual((sink.tokens, sink.ended), (["text"], True))

    def test_prompt(self) -> None:
        """
        The function is called with the prompt if the source takes one, else
        with nothing; anew in each run, in its first turn.
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
    """Nobody starves the reactor, and nobody is asked for more than the sink wants."""

    async def asynchronous(self, tokens: Iterable[str]) -> AsyncIterator[str]:
        """The same, never waiting."""
        for token in self.noted(tokens):
            yield token

    def test_number(self) -> None:
        """
        A turn of the reactor has so many tokens and no more, be the code asynchronous or not.
        """
        self.patch(iterables, "TOKENS_PER_TURN", 4)
        for kind in (self.noted, self.asynchronous):
            sink = self.start(lambda kind=kind: kind("0123456789"))  # type: ignore[misc]
            for tokens in (0, 4, 8, 10):
                self.assertEqual(len(sink.tokens), tokens)
                self.turn()
            self.assertTrue(sink.ended)

    def test_time(self) -> None:
        """
        Tokens that take long end the turn.
        """

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
        Code that waits between its tokens is not told to wait again: a token is written when it comes.
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
        """A C{write} that pauses at one token."""
        write = RecordingSink.write

        def pauseAt(token: str) -> None:
            write(sink, token)
            if token == at:
                sink.pause()

        return pauseAt

    def test_pausedInsideAWrite(self) -> None:
        """
        A sink that pauses while it is written to gets nothing more, and the
        generator is not asked again before it is resumed.
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
        A token that comes while the run is paused is written when it is
        resumed; a generator that waits is not asked twice.
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
        """
        So is an answer that comes while the run is paused.
        """
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
        A run that is paused from the start does not call the function; nor
        does one that is cancelled then.
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


class CancelTests(IterablesTestCase):
    """A run that ends too early."""

    def test_generator(self) -> None:
        """
        The generator is closed at once: between two turns, and while it is paused.
        """
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
        """
        Who has only the Deferred can cancel too.
        """
        self.patch(iterables, "TOKENS_PER_TURN", 2)
        sink = RecordingSink()
        done = tokensFrom(self.clock, lambda: self.noted("12345")).produce(sink, None)
        self.turn()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual((self.notes[-1], sink.tokens, sink.producer), ("finally", ["1", "2"], None))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_beforeTheFirstTurn(self) -> None:
        """
        What has not begun never does.
        """
        sink = self.start(lambda: self.noted("1"))
        sink.cancel()
        self.turn(2)
        self.assertEqual(self.notes, [])
        self.assertFailed(sink, CancelledError)

    def test_endedBefore(self) -> None:
        """
        Nor does what is given a sink whose run has ended.
        """
        sink = RecordingSink()
        sink.ended = True
        sink.start(tokensFrom(self.clock, lambda: self.noted("1")))
        self.turn(2)
        self.assertEqual(self.notes, [])
        self.assertFailed(sink, CancelledError)

    def test_inAnAwait(self) -> None:
        """
        An async generator gets C{CancelledError} where it waits, and what it
        waits for is cancelled.
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
        One that is not being asked is closed; when its C{finally} waits, so
        does the end of the run.
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
        """
        A coroutine or a Deferred that has not come to anything is cancelled.
        """
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
        A run that is cancelled by what its own token brings about asks for no
        more, and closes the generator.
        """

        async def asynchronous() -> AsyncIterator[str]:
            try:
                # So that the run waits for something, as it may have before.
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
        """
        A generator that does not listen is not asked again.
        """

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
        """
        A C{finally} that fails is heard.
        """

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
    """Code that breaks."""

    def test_raises(self) -> None:
        """
        What the code raises comes out as it is, after the tokens before it.
        """

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
        So it is when the function itself raises, or what it gives fails.
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
        What is no text fails, with an account of what came instead; the
        generator is closed.
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
        """
        So does text that has no UTF-8.
        """
        sink = self.start(lambda: self.noted(["1", "\ud83d"]), 1)
        self.assertFailed(sink, UnicodeEncodeError)
        self.assertEqual((sink.tokens, self.notes[-1]), (["1"], "finally"))

    def test_noIterable(self) -> None:
        """
        So does an answer that cannot be iterated.
        """
        for answer in (None, 5, succeed(None), object()):
            self.assertFailed(self.start(lambda answer=answer: answer, 1), TypeError)  # type: ignore[misc]

    def test_exit(self) -> None:
        """
        Code that wants to exit ends its run and not the server.
        """
        self.assertFailed(self.start(lambda: exec("raise SystemExit"), 1), RuntimeError)


class NoAsyncioTests(IterablesTestCase):
    """Code that needs asyncio, where none runs."""

    def check(self, function: Callable[[], Any]) -> None:
        """The run fails at once, with an account for viewers; the log says what to do."""
        sink = self.start(function, 1)
        error = self.assertFailed(sink, SourceError)
        self.assertEqual((error.reason, "asyncio" in str(error)), ("asyncio", True))  # type: ignore[attr-defined]
        self.assertEqual(len(self.flushLoggedErrors(Exception)), 1)
        self.assertEqual(self.notes.pop(), "finally")

    async def answer(self, work: Callable[[], Any]) -> AsyncIterator[str]:
        """An async generator that awaits something."""
        try:
            yield "1"
            await work()
            yield "2"
        finally:
            self.notes.append("finally")

    def test_awaits(self) -> None:
        """
        What only asyncio can give is not waited for, for ever: the code gets an error there.
        """
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        for work in (lambda: asyncio.sleep(1), lambda: asyncio.sleep(0), loop.create_future, asyncio.Event().wait):
            self.check(lambda work=work: self.answer(work))  # type: ignore[misc]

    def test_wrapped(self) -> None:
        """
        Libraries wrap that error in one of theirs.
        """

        async def work() -> None:
            try:
                await asyncio.sleep(1)
            except RuntimeError as error:
                raise OSError("No connection.") from error

        self.check(lambda: self.answer(work))


class AsyncioTests(SynchronousTestCase):
    """
    Code on a running asyncio loop, as under the asyncio reactor; the
    tests/integration have that reactor itself.
    """

    def run_(self, function: Callable[[], Any], act: Callable[[RecordingSink], Any], until: str = "") -> RecordingSink:
        """Start a run; do something when it has written some tokens; wait for its end."""
        clock = Clock()
        self.clock = clock
        sink = RecordingSink()

        async def play() -> None:
            sink.start(tokensFrom(clock, function))
            for _ in range(10_000):
                clock.advance(0)
                await asyncio.sleep(0)
                if until and "".join(sink.tokens) == until and not sink.ended:
                    act(sink)
                if sink.result is not None:
                    return
            raise AssertionError("It does not end.")

        asyncio.run(play())
        self.assertEqual(clock.getDelayedCalls(), [])
        return sink

    def test_mixed(self) -> None:
        """
        asyncio's own and Deferreds may be awaited in any order; results and
        errors arrive where they belong, and the run is a task.
        """

        def fail() -> Deferred[str]:
            return deferLater(self.clock, 0, lambda: "x" + 1)  # type: ignore[operator]

        async def answer() -> AsyncIterator[str]:
            await asyncio.sleep(0.001)
            yield await deferLater(self.clock, 0, lambda: "deferred ")
            yield await asyncio.wait_for(asyncio.sleep(0, "asyncio "), 5)
            async with asyncio.timeout(5):
                yield await succeed("fired ")
                try:
                    await fail()
                except TypeError:
                    yield "caught "
            assert asyncio.current_task() is not None
            async with asyncio.TaskGroup() as group:
                task = group.create_task(asyncio.sleep(0, "group"))
            yield task.result()
            raise SourceError("End.")

        sink = self.run_(answer, lambda sink: None)
        self.assertEqual("".join(sink.tokens), "deferred asyncio fired caught group")
        self.assertTrue(sink.result.check(SourceError), sink.result)

    def test_futures(self) -> None:
        """
        A future of asyncio will do as well as a Deferred, and a generator as well as anywhere.
        """

        def answer() -> Iterator[str]:
            yield "1"
            yield "2"
            return "length"

        sink = self.run_(lambda: asyncio.ensure_future(asyncio.sleep(0, answer())), lambda sink: None)
        self.assertEqual((sink.tokens, sink.result), (["1", "2"], "length"))

    def test_cancel(self) -> None:
        """
        A run that is cancelled stops where it waits, be it for asyncio or for
        a Deferred, which is cancelled; its C{finally} may wait for both.
        """
        cancelled: list[object] = []
        notes: list[str] = []

        async def answer(work: Callable[[], Any]) -> AsyncIterator[str]:
            try:
                yield "1"
                await work()
                yield "2"
            finally:
                await asyncio.sleep(0.001)
                await deferLater(self.clock, 0)
                notes.append("finally")

        for work in (lambda: asyncio.sleep(1000), lambda: Deferred(cancelled.append)):
            sink = self.run_(lambda work=work: answer(work), RecordingSink.cancel, "1")  # type: ignore[misc]
            self.assertTrue(sink.result.check(CancelledError), sink.result)
            self.assertEqual((sink.tokens, sink.late, notes.pop()), (["1"], [], "finally"))
        self.assertEqual(len(cancelled), 1)

    def test_cancelPaused(self) -> None:
        """
        A paused run that is cancelled is closed.
        """
        notes: list[str] = []

        async def answer() -> AsyncIterator[str]:
            try:
                for token in "123":
                    yield token
            finally:
                notes.append("finally")

        def stop(sink: RecordingSink) -> None:
            sink.pause()
            sink.cancel()

        self.patch(iterables, "TOKENS_PER_TURN", 1)
        sink = self.run_(answer, stop, "1")
        self.assertTrue(sink.result.check(CancelledError), sink.result)
        self.assertEqual((sink.tokens, sink.late, notes), (["1"], [], ["finally"]))

    def test_pausedMeanwhile(self) -> None:
        """
        A task goes on a little later than it is told to: a pause that comes meanwhile is heard.
        """
        clock = Clock()
        sink = RecordingSink()
        calls: list[str] = []

        def answer() -> list[str]:
            calls.append("called")
            return ["1", "2"]

        async def play() -> None:
            sink.start(tokensFrom(clock, answer))
            await asyncio.sleep(0)
            clock.advance(0)
            sink.pause()
            for _ in range(5):
                await asyncio.sleep(0)
                clock.advance(0)
            self.assertEqual((calls, clock.getDelayedCalls()), ([], []))
            sink.resume()
            clock.advance(0)
            for _ in soon(lambda: sink.ended):
                await asyncio.sleep(0)

        asyncio.run(play())
        self.assertEqual(sink.tokens, ["1", "2"])

    def test_beforeTheLoop(self) -> None:
        """
        What is started before the loop runs, as with the reactor, has asyncio all the same.
        """
        clock = Clock()
        sink = RecordingSink()

        async def answer() -> str:
            return await asyncio.sleep(0, "text")

        sink.start(tokensFrom(clock, answer))

        async def play() -> None:
            clock.advance(0)
            for _ in soon(lambda: sink.ended):
                await asyncio.sleep(0)

        asyncio.run(play())
        self.assertEqual((sink.tokens, sink.result), (["text"], None))

    def test_cancelBeforeItBegan(self) -> None:
        """
        A task that was made but not begun never does.
        """
        clock = Clock()
        sink = RecordingSink()
        calls: list[str] = []

        async def play() -> None:
            sink.start(tokensFrom(clock, lambda: calls.append("called")))
            clock.advance(0)
            sink.cancel()
            for _ in soon(lambda: sink.result is not None):
                await asyncio.sleep(0)

        asyncio.run(play())
        self.assertTrue(sink.result.check(CancelledError), sink.result)
        self.assertEqual((calls, sink.producer), ([], None))

    def test_timeLimit(self) -> None:
        """
        A time limit of asyncio works around a Deferred too: it is cancelled.
        """
        cancelled: list[object] = []

        async def answer() -> AsyncIterator[str]:
            try:
                async with asyncio.timeout(0.001):
                    await Deferred(cancelled.append)
            except TimeoutError:
                yield "late"
            raise SourceError("End.")

        sink = self.run_(answer, lambda sink: None)
        self.assertEqual((sink.tokens, len(cancelled)), (["late"], 1))


class ServedTests(ServedTestCase):
    """What viewers and the log learn of it."""

    def generate(self, notes: list[str]) -> Iterator[str]:
        """A generator that never ends by itself."""
        try:
            while True:
                yield "word " * 1000
        finally:
            notes.append("finally")

    def test_nobodyRead(self) -> None:
        """
        The run of a generator that nobody ever read stops at the read-ahead,
        and is closed when the linger is over.
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
        """
        A generator is closed when the service stops.
        """
        notes: list[str] = []
        self.serve(tokensFrom(self.reactor, lambda: self.generate(notes)))
        self.startRun()
        self.reactor.advance(1)
        self.successResultOf(self.service.stopService())
        self.assertEqual(notes, ["finally"])

    def test_bug(self) -> None:
        """
        Viewers of code that breaks learn nothing of the inside; the log has it all.
        """

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


class ThreadTests(TestCase):
    """Code that blocks, in a thread."""

    timeout = 300

    def start(self, function: Callable[[], Any]) -> RecordingSink:
        """Start a run in a thread."""
        sink = RecordingSink()
        sink.start(tokensFrom(reactor, function, thread=True))
        return sink

    async def until(self, condition: Callable[[], Any]) -> None:
        """Let the reactor run until something is so."""
        end = reactor.seconds() + SOON  # type: ignore[attr-defined]
        while not condition():
            if reactor.seconds() > end:  # type: ignore[attr-defined]
                raise AssertionError("It does not come about.")
            await deferLater(reactor, 0.002)  # type: ignore[arg-type]

    def generate(self, number: int, where: set[int], notes: list[str]) -> Generator[str, None, str]:
        """A generator that notes in which threads it runs."""
        where.add(threading.get_ident())
        try:
            for index in range(number):
                where.add(threading.get_ident())
                notes.append(f"{index} ")
                yield f"{index} "
        finally:
            where.add(threading.get_ident())
            notes.append("finally")
        return "length"

    async def test_all(self) -> None:
        """
        All tokens come, in order, then the reason; everything runs in one thread, which is not the reactor's.
        """
        where: set[int] = set()
        notes: list[str] = []

        def answer() -> Iterator[str]:
            where.add(threading.get_ident())
            return self.generate(5000, where, notes)

        sink = self.start(answer)
        await self.until(lambda: sink.ended)
        self.assertEqual((sink.result, sink.producer), ("length", None))
        self.assertEqual("".join(sink.tokens), "".join(f"{index} " for index in range(5000)))
        self.assertEqual((len(where), threading.get_ident() in where), (1, False))

    async def test_atOnce(self) -> None:
        """
        A token is written while the code blocks in the making of the next.
        """
        goOn = threading.Event()
        self.addCleanup(goOn.set)

        def answer() -> Iterator[str]:
            yield "1"
            goOn.wait()
            yield "2"

        sink = self.start(answer)
        await self.until(lambda: sink.tokens == ["1"])
        goOn.set()
        await self.until(lambda: sink.ended)
        self.assertEqual(sink.tokens, ["1", "2"])

    async def test_kinds(self) -> None:
        """
        A string and a list will do; what is no iterable, or no text, fails.
        """
        for answer, tokens, error in (
            ("text", ["text"], None),
            (["a", "b"], ["a", "b"], None),
            ([], [], None),
            (None, [], TypeError),
            (["a", 5], ["a"], TypeError),
            (["a", "\ud83d"], ["a"], UnicodeEncodeError),
            (Deferred(), [], TypeError),
        ):
            sink = self.start(lambda answer=answer: answer)  # type: ignore[misc]
            await self.until(lambda sink=sink: sink.ended)  # type: ignore[misc]
            self.assertEqual(sink.tokens, tokens)
            if error is None:
                self.assertIsNone(sink.result)
            else:
                self.assertTrue(sink.result.check(error), sink.result)

    async def test_raises(self) -> None:
        """
        What the code raises comes out after the tokens before it.
        """
        for error in (KeyError, SourceError, RuntimeError):

            def answer(error: type[Exception] = error) -> Iterator[str]:
                yield from "12"
                raise error("no event loop")

            sink = self.start(answer)
            await self.until(lambda sink=sink: sink.ended)  # type: ignore[misc]
            self.assertTrue(sink.result.check(error), sink.result)
            self.assertEqual(sink.tokens, ["1", "2"])

    async def test_pause(self) -> None:
        """
        While the run is paused the thread stops after a bounded number of
        tokens; then it goes on, and none is lost.
        """
        notes: list[str] = []
        sink = self.start(lambda: self.generate(20_000, set(), notes))
        await self.until(lambda: sink.tokens)
        sink.pause()
        written = len(sink.tokens)
        await self.until(lambda: len(notes) >= written + TOKENS_AHEAD or "finally" in notes)
        # It may do two times what waits: what was taken, and what came after that.
        await deferLater(reactor, 0.05)  # type: ignore[arg-type]
        self.assertLessEqual(len(notes), written + 2 * TOKENS_AHEAD + 1)
        self.assertEqual(len(sink.tokens), written)
        sink.resume()
        await self.until(lambda: sink.ended)
        self.assertEqual("".join(sink.tokens), "".join(f"{index} " for index in range(20_000)))

    async def test_cancelPaused(self) -> None:
        """
        A run that is cancelled while its thread waits for room closes the generator, there.
        """
        notes: list[str] = []
        where: set[int] = set()
        sink = self.start(lambda: self.generate(20_000, where, notes))
        await self.until(lambda: sink.tokens)
        sink.pause()
        await self.until(lambda: len(notes) >= len(sink.tokens) + TOKENS_AHEAD)
        sink.cancel()
        await self.until(lambda: sink.result is not None)
        self.assertEqual((notes[-1], len(where), sink.late), ("finally", 1, []))
        self.assertTrue(sink.result.check(CancelledError), sink.result)

    async def test_cancelBlocked(self) -> None:
        """
        Code that blocks cannot be stopped: it is closed when it comes back,
        and what it yields then is dropped. Nothing fires before that.
        """
        goOn = threading.Event()
        self.addCleanup(goOn.set)
        notes: list[str] = []

        def answer() -> Iterator[str]:
            try:
                yield "1"
                goOn.wait()
                yield "2"
                notes.append("asked again")
            finally:
                notes.append("finally")

        sink = self.start(answer)
        await self.until(lambda: sink.tokens)
        sink.cancel()
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]
        self.assertEqual((sink.result, notes), (None, []))
        goOn.set()
        await self.until(lambda: sink.result is not None)
        self.assertEqual((notes, sink.late), (["finally"], []))

    async def test_bugInClosing(self) -> None:
        """
        A C{finally} that fails is heard.
        """

        def answer() -> Iterator[str]:
            try:
                while True:
                    yield "1"
            finally:
                raise KeyError("bug")

        sink = self.start(answer)
        await self.until(lambda: sink.tokens)
        sink.cancel()
        await self.until(lambda: sink.result is not None)
        self.assertTrue(sink.result.check(KeyError), sink.result)
