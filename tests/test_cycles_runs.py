"""
Reference cycles of runs: however a run of any source ends, nothing is left to the garbage collector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSource
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.function import FunctionSource
from sseserver.sources.iterables import tokensFrom
from sseserver.sources.process import ProcessSource
from sseserver.sources.text import TextSource
from tests.cycles import findCycles
from tests.programs import PipeReactor
from tests.sources.commands import shell


async def wait() -> None:
    """Wait for ever."""
    await Deferred()


async def waitInside() -> None:
    """Wait for ever, in another coroutine."""
    await wait()


async def waitBetween() -> AsyncIterator[str]:
    """Yield a token, and wait for ever."""
    yield "a"
    await wait()


def repeat() -> Iterator[str]:
    """Yield tokens without end."""
    while True:
        yield "a"


def breakDown() -> Iterator[str]:
    """Yield a token, and raise."""
    yield "a"
    raise ZeroDivisionError


def refuse() -> Iterator[str]:
    """Yield a token, and fail as a source may."""
    yield "a"
    raise SourceError("No more.")


async def failWaiting() -> None:
    """Await a failure."""
    failing: Deferred[None] = Deferred()
    failing.errback(ZeroDivisionError())
    await failing


class RunTests(SynchronousTestCase):
    """The ends of runs."""

    def setUp(self) -> None:
        self.reactor = PipeReactor()

    def act(self, source: ITokenSource, cancel: bool) -> Callable[[], None]:
        """
        Return an action: a run from its start to its end.

        Args:
            source: Its source.
            cancel: Whether the run is cancelled.
        """
        service = StreamService(self.reactor, source, Settings(linger=1000))
        service.startService()

        def stop() -> None:
            service.stopService()
            service.hurry()
            self.reactor.advance(0.5)

        def act() -> None:
            streamLog = self.successResultOf(service.startRun())
            for _ in range(5):
                self.reactor.advance(0.02)
            if cancel:
                service.cancel(streamLog.name)
            self.reactor.until(lambda: self.reactor.advance(0.02) or not service.runs.held)
            service.delete(streamLog.name)
            self.reactor.advance(0.5)
            self.flushLoggedErrors(ZeroDivisionError)

        self.addCleanup(stop)
        return act

    def assertFreed(self, source: ITokenSource, cancel: bool = False) -> None:
        """Check that a run leaves nothing."""
        self.assertEqual(findCycles(self.act(source, cancel)), Counter())

    def test_F59_cancelled(self) -> None:
        """F59: a run that is cancelled while its code waits leaves nothing."""
        for function in (wait, waitInside, waitBetween, repeat):
            self.assertFreed(tokensFrom(self.reactor, function), cancel=True)
        self.assertFreed(FunctionSource(lambda sink, prompt: wait()), cancel=True)
        self.assertFreed(FunctionSource(lambda sink, prompt: Deferred()), cancel=True)
        self.assertFreed(TextSource(self.reactor, "a b", 100), cancel=True)

    def test_ended(self) -> None:
        """A run that ends by itself leaves nothing."""
        functions: list[Callable[[], Any]] = [lambda: "a", lambda: iter("abc"), breakDown, refuse, failWaiting]
        for function in functions:
            self.assertFreed(tokensFrom(self.reactor, function))
        self.assertFreed(FunctionSource(lambda sink, prompt: failWaiting()))
        for interval in (0, 0.05):
            self.assertFreed(TextSource(self.reactor, "a b", interval))

    def test_programs(self) -> None:
        """A program that ends, fails, complains, or is cancelled leaves nothing."""
        for command in (["echo", "a"], ["false"], shell("echo a >&2"), ["no-such-program"]):
            self.assertFreed(ProcessSource(self.reactor, command))
        self.assertFreed(ProcessSource(self.reactor, ["yes"]), cancel=True)
