"""
Fakes that several test modules share: a clock with single turns, a viewer, a token sink, a producer, a log observer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.interfaces import ITokenSink, Origin


class TurnClock(Clock):
    """
    A clock that can also make a single turn of the reactor.

    `Clock.advance` makes calls as long as one is due, so that `callLater(0)` never yields. `turn` makes the calls that
    are due now and leaves those they add to the next turn, as a reactor does.
    """

    def turn(self) -> int:
        """Make the calls that are due, but none that they add, and return their number."""
        ran = 0
        for call in [call for call in self.calls if call.getTime() <= self.seconds()]:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
                ran += 1
        return ran

    def step(self, seconds: float) -> None:
        """Let time pass without making a call, as in a reactor that is busy elsewhere."""
        self.rightNow += seconds


@implementer(IReactorCore)
class LateClock(TurnClock):
    """A clock whose turns can be late, as those of a reactor: a large step of `advance` is a pause of the process."""

    def letPass(self, seconds: float) -> None:
        """Let time pass in steps of an eighth of a second, without a pause."""
        self.pump([0.125] * round(seconds * 8))


class ClockTestCase(SynchronousTestCase):
    """
    Tests with a clock of their own, which must be empty at the end.

    Trial runs cleanups after `tearDown`. An object with a timer is therefore stopped through `stopAtEnd` instead.
    """

    def setUp(self) -> None:
        """Make the clock."""
        self.clock = TurnClock()
        self._stops: list[Callable[[], object]] = []

    def stopAtEnd(self, stop: Callable[[], object]) -> None:
        """Register a function to call before the clock is checked."""
        self._stops.append(stop)

    def tearDown(self) -> None:
        """Stop everything, and check that no call is pending."""
        for stop in self._stops:
            stop()
        self.assertEqual(list(self.clock.getDelayedCalls()), [])


class FakeViewer:
    """
    A viewer that counts its wake-ups.

    Attributes:
        cursor: Number of the last entry read.
        wakes: Number of wake-ups.
        dismissed: Whether it was told that entries were lost.
        onWake: Called at each wake-up, after it was counted.
    """

    def __init__(self, onWake: Callable[[], object] = lambda: None, cursor: int = 0) -> None:
        self.cursor = cursor
        self.wakes = 0
        self.dismissed = False
        self.onWake = onWake

    def wake(self) -> None:
        """Count the wake-up and call `onWake`."""
        self.wakes += 1
        self.onWake()

    def dismiss(self) -> None:
        """Note that entries were lost."""
        self.dismissed = True


@implementer(ITokenSink)
class FakeSink:
    """
    A sink that records its tokens.

    Attributes:
        tokens: Tokens written so far.
        producer: The registered producer, if any.
        registered: Number of producers registered so far.
        onWrite: Called at each write, after the token was recorded.
        onRegister: Called with each producer at its registration, to pause or stop it there.
    """

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.producer: Any = None
        self.registered = 0
        self.onWrite: Callable[[], object] = lambda: None
        self.onRegister: Callable[[Any], object] = lambda producer: None

    def write(self, token: str) -> None:
        """See `ITokenSink.write`."""
        token.encode("utf-8")
        self.tokens.append(token)
        self.onWrite()

    def writeChunk(self, chunk: bytes, text: str) -> None:
        """See `ITokenSink.writeChunk`."""
        self.write(text)

    def noteOrigin(self, origin: Origin) -> None:
        """See `ITokenSink.noteOrigin`."""

    def ready(self) -> Deferred[None]:
        """See `ITokenSink.ready`."""
        return succeed(None)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See `ITokenSink.registerProducer`."""
        if not streaming:
            raise ValueError("A token sink takes push producers only.")
        if self.producer is not None:
            raise RuntimeError("A producer is registered already.")
        self.producer = producer
        self.registered += 1
        self.onRegister(producer)

    def unregisterProducer(self) -> None:
        """See `ITokenSink.unregisterProducer`."""
        if self.producer is None:
            raise RuntimeError("No producer is registered.")
        self.producer = None


class RecordingProducer:
    """
    A push producer that records its calls.

    Attributes:
        told: `pause`, `resume` or `stop` for each call.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        """See `IPushProducer.pauseProducing`."""
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """See `IPushProducer.resumeProducing`."""
        self.told.append("resume")

    def stopProducing(self) -> None:
        """See `IPushProducer.stopProducing`."""
        self.told.append("stop")


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """Record the log events of a `with` block."""
    events: list[dict[str, Any]] = []

    @implementer(ILogObserver)
    class Observer:
        def __call__(self, event: dict[str, Any]) -> None:
            events.append(event)

    observer = Observer()
    globalLogPublisher.addObserver(observer)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(observer)
