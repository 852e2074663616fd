"""
Tests of `sseserver.sources.tokenthread`: code that blocks, in a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from sseserver.errors import SourceError
from sseserver.sources.iterables import tokensFrom
from sseserver.sources.tokenthread import TOKENS_AHEAD
from sseserver.testing import RecordingSink
from tests.sources.iterables import SOON


class ThreadTests(TestCase):
    """Blocking code in a thread."""

    timeout = 300

    def start(self, function: Callable[[], Any]) -> RecordingSink:
        """Start a run in a thread."""
        sink = RecordingSink()
        sink.start(tokensFrom(reactor, function, thread=True))
        return sink

    async def until(self, condition: Callable[[], Any]) -> None:
        """Let the reactor run until a condition is true."""
        end = reactor.seconds() + SOON  # type: ignore[attr-defined]
        while not condition():
            if reactor.seconds() > end:  # type: ignore[attr-defined]
                raise AssertionError("It does not come about.")
            await deferLater(reactor, 0.002)  # type: ignore[arg-type]

    def generate(self, number: int, where: set[int], notes: list[str]) -> Generator[str, None, str]:
        """Yield tokens, and note the threads that run the generator."""
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
        All tokens come in order, then the reason. All code runs in one thread, which is not the
        reactor's.
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
        """A token is written while the code blocks before the next one."""
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
        A string and a list are accepted; an object that is not iterable, and a token that is no
        `str`, fail.
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
        """An exception of the code is the failure of the run, after the tokens before it."""
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
        While the run is paused, the thread stops after a bounded number of tokens. Then it
        continues without a loss.
        """
        notes: list[str] = []
        sink = self.start(lambda: self.generate(20_000, set(), notes))
        await self.until(lambda: sink.tokens)
        sink.pause()
        written = len(sink.tokens)
        await self.until(lambda: len(notes) >= written + TOKENS_AHEAD or "finally" in notes)
        # Twice the bound: the tokens taken, and those that came after them.
        await deferLater(reactor, 0.05)  # type: ignore[arg-type]
        self.assertLessEqual(len(notes), written + 2 * TOKENS_AHEAD + 1)
        self.assertEqual(len(sink.tokens), written)
        sink.resume()
        await self.until(lambda: sink.ended)
        self.assertEqual("".join(sink.tokens), "".join(f"{index} " for index in range(20_000)))

    async def test_cancelPaused(self) -> None:
        """
        When a run is cancelled while its thread waits for room, the generator is closed in the
        thread.
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
        Blocking code cannot be interrupted: the generator is closed when it returns, its token is
        dropped, and the run ends only then.
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
        """An exception in a `finally` is the result of the run."""

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
