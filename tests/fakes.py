"""
Fakes that several tests share: time in single turns, a viewer, a token sink.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.interfaces import ITokenSink


class TurnClock(Clock):
    """
    A clock that can also make one turn of the reactor.

    C{Clock.advance} runs calls as long as one is due, so C{callLater(0)} never
    looks like yielding; L{turn} runs what waits now and leaves what is added
    meanwhile to the next turn, as a reactor does.
    """

    def turn(self) -> int:
        """Run the calls that are due, but none that they add; return how many ran."""
        ran = 0
        for call in [call for call in self.calls if call.getTime() <= self.seconds()]:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
                ran += 1
        return ran

    def step(self, seconds: float) -> None:
        """Let time pass without running anything: the reactor is busy elsewhere."""
        self.rightNow += seconds


class ClockTestCase(SynchronousTestCase):
    """
    Gives each test a clock, and wants it empty in the end.

    What has an owner who can stop it is stopped by the test's cleanups, which
    trial runs after L{tearDown}; so tests of such things call L{stopAtEnd}.
    """

    def setUp(self) -> None:
        """Make the clock."""
        self.clock = TurnClock()
        self._stops: list[Callable[[], object]] = []

    def stopAtEnd(self, stop: Callable[[], object]) -> None:
        """Call this before the clock is looked at."""
        self._stops.append(stop)

    def tearDown(self) -> None:
        """Nothing waits any more."""
        for stop in self._stops:
            stop()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])


class FakeViewer:
    """
    A viewer that counts its wake-ups.

    Attributes:
        cursor: See L{sseserver.interfaces.Viewer}.
        wakes: How often it was woken.
        onWake: Called at each wake-up, after it was counted.
    """

    def __init__(self, onWake: Callable[[], object] = lambda: None, cursor: int = 0) -> None:
        self.cursor = cursor
        self.wakes = 0
        self.onWake = onWake

    def wake(self) -> None:
        """Count, and do what the test wants."""
        self.wakes += 1
        self.onWake()


@implementer(ITokenSink)
class FakeSink:
    """
    A sink that keeps what it is given.

    Attributes:
        tokens: What was written.
        producer: Who is registered now.
        registered: How many producers were registered so far.
        onWrite: Called at each write, after the token was kept.
        onRegister: Called with each producer when it is registered; a paused
            run pauses it there, an ended one stops it.
    """

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.producer: Any = None
        self.registered = 0
        self.onWrite: Callable[[], object] = lambda: None
        self.onRegister: Callable[[Any], object] = lambda producer: None

    def write(self, token: str) -> None:
        """See L{ITokenSink.write}."""
        token.encode("utf-8")
        self.tokens.append(token)
        self.onWrite()

    def writeChunk(self, chunk: bytes, text: str) -> None:
        """See L{ITokenSink.writeChunk}."""
        self.write(text)

    def ready(self) -> Deferred[None]:
        """See L{ITokenSink.ready}."""
        return succeed(None)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See L{ITokenSink.registerProducer}."""
        if not streaming:
            raise ValueError("A token sink takes push producers only.")
        if self.producer is not None:
            raise RuntimeError("A producer is registered already.")
        self.producer = producer
        self.registered += 1
        self.onRegister(producer)

    def unregisterProducer(self) -> None:
        """See L{ITokenSink.unregisterProducer}."""
        if self.producer is None:
            raise RuntimeError("No producer is registered.")
        self.producer = None
