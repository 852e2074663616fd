"""
Tests of `sseserver.sources.iterables` under an asyncio loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.sources import iterables
from sseserver.sources.iterables import tokensFrom
from sseserver.testing import RecordingSink
from tests.wires import soon


class AsyncioTests(SynchronousTestCase):
    """
    Code on a running asyncio loop, as under the asyncio reactor. The integration tests have the
    reactor itself.
    """

    def run_(self, function: Callable[[], Any], act: Callable[[RecordingSink], Any], until: str = "") -> RecordingSink:
        """Start a run, act when it has written some tokens, and wait for its end."""
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
        Futures and Deferreds can be awaited in any order. Results and errors arrive where they are
        awaited, and the run is a task.
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
        """A future of asyncio serves as well as a Deferred, and a plain generator works, too."""

        def answer() -> Iterator[str]:
            yield "1"
            yield "2"
            return "length"

        sink = self.run_(lambda: asyncio.ensure_future(asyncio.sleep(0, answer())), lambda sink: None)
        self.assertEqual((sink.tokens, sink.result), (["1", "2"], "length"))

    def test_cancel(self) -> None:
        """
        A cancelled run stops where it waits. A Deferred that it waits for is cancelled, and its
        `finally` can await both kinds.
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
        """A paused run that is cancelled is closed."""
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
        """A pause between the resumption of a task and its next step takes effect."""
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
        """A run that is started before the loop, as with the reactor, can use asyncio."""
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
        """A task that is cancelled before its first step never runs."""
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
        """A time limit of asyncio works around a Deferred: it is cancelled."""
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
