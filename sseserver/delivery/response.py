"""
The base of the producers of responses: how a response begins, pauses at a full transport, and ends once.

`EventStreamProducer` and `DocumentProducer` derive from it. They add what is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.web.http import Request

from sseserver.delivery.body import MakeBody
from sseserver.delivery.connection import abort, isOver, stopReading
from sseserver.delivery.counts import DeliveryCounts
from sseserver.delivery.rests import Rests
from sseserver.delivery.socketoptions import LargeWrites, tune
from sseserver.delivery.stall import StallWatch
from sseserver.delivery.states import VIEWER_STATES, ViewerState, ViewerStep
from sseserver.settings import Settings
from sseserver.steps import findNext
from sseserver.timing.fairturns import FairTurns
from sseserver.timing.ticker import Ticker


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    The parts that all responses of a service share.

    Attributes:
        ticker: Schedules heartbeats and the looks at slow viewers.
        settings: The settings of the service; its heartbeat, stall and reconnection time are used.
        makeBody: From `chooseBody`.
        onEnd: Called once with each `EventStreamProducer` when its response is over, before a finished request
            lets the next one on its connection begin.
        onFinish: Called with the transport of each response that was finished, and the bytes of its body.
        counts: Counts all responses.
        rests: Keeps the large readings that viewers have in part.
        turns: Shares the turns of the reactor among responses that have much to write.
        largeWrites: The viewers for which the kernel takes megabytes ahead.
    """

    ticker: Ticker
    settings: Settings
    makeBody: MakeBody
    onEnd: Callable[[Any], None]
    onFinish: Callable[[Any, int], None]
    counts: DeliveryCounts
    rests: Rests
    turns: FairTurns
    largeWrites: LargeWrites = field(default_factory=LargeWrites)


class ResponseProducer:
    """
    Base class of push producers of responses. Their states are `ViewerState`.

    A subclass provides `resumeProducing`, `_goOn` and `_release`.

    Args:
        request: A request whose response has not begun.
        delivery: The parts that it shares with the other responses of the service.

    Attributes:
        reason: The reason for the end of the response, one word for the log; empty before.
        request: The request.
    """

    __slots__ = ("_body", "_counted", "_delivery", "_state", "_watch", "reason", "request")

    def __init__(self, request: Request, delivery: Delivery) -> None:
        self.reason = ""
        self.request = request
        self._delivery = delivery
        self._state = ViewerState.NEW
        self._body = delivery.makeBody(request)
        # Bytes of the body that are counted.
        self._counted = 0
        self._watch: StallWatch | None = None

    @property
    def written(self) -> int:
        """Bytes of the body so far."""
        return self._body.written

    @property
    def isPaused(self) -> bool:
        """Whether the transport is full."""
        return self._state is ViewerState.PAUSED

    def pauseProducing(self) -> None:
        """Stop writing: the transport is full. May be called repeatedly, and inside a write."""
        before = self._state
        self._step(ViewerStep.PAUSE)
        if before is ViewerState.LIVE or before is ViewerState.WAITING:
            self._stopWaiting(before)
            if self._watch is not None:
                self._watch.noteFull()
            stopReading(self.request)

    def stopProducing(self) -> None:
        """End the response: the connection is lost."""
        self._end("left")

    def finish(self, reason: str) -> None:
        """
        End the response in good order. Does nothing after its end.

        Args:
            reason: See the attribute.
        """
        if self._state is not ViewerState.ENDED:
            request = self.request
            self._end(reason)
            # The owner, who was told of the end, may have closed the connection.
            if not isOver(request):
                request.unregisterProducer()
                request.finish()
                self._delivery.onFinish(request.transport, self.written)

    def abort(self, reason: str) -> None:
        """
        Close the connection at once, without the queued bytes. Does nothing after the end.

        Args:
            reason: See the attribute.
        """
        if self._state is not ViewerState.ENDED:
            self._end(reason)
            abort(self.request)

    def beat(self, now: float) -> float:
        """See `Watched.beat`. A response has no heartbeats unless its subclass writes them."""
        self.count()
        return now + self._delivery.settings.stall

    def countEvents(self) -> int:
        """Return the number of entries that were written so far. Only event streams have any."""
        return 0

    def _begin(self, seconds: float) -> bool:
        """
        Register the producer, and watch its client.

        Args:
            seconds: Time until the first look at the client.

        Returns:
            Whether the response can begin: the client has not left.
        """
        request = self.request
        # A `FastRequest` stops its producer at each end of the response, and saves the Deferred.
        if not getattr(request, "stopsProducer", False):
            request.notifyFinish().addBoth(self._loseClient)
        self._step(ViewerStep.START)
        # Before the first write: under TLS a producer that is registered later is never paused.
        request.registerProducer(self, True)
        if isOver(request) or self._state is ViewerState.ENDED:
            self._end("left")
            return False
        tune(request.transport)
        self._watch = StallWatch(self, self._delivery.ticker, self._delivery.settings.stall)
        self._watch.start(seconds)
        return True

    def _step(self, step: ViewerStep) -> None:
        self._state = findNext(VIEWER_STATES, self._state, step)

    def count(self) -> None:
        """Count the bytes that were written since the last time."""
        written = self._body.written
        self._delivery.counts.bytes += written - self._counted
        self._counted = written

    def _yieldTurn(self) -> None:
        """Go on in another turn of the reactor, unless the transport is full."""
        if self._state is ViewerState.LIVE:
            self._step(ViewerStep.YIELD)
            self._delivery.turns.put(self)

    def goOn(self) -> None:
        """See `Worker.goOn`."""
        self._step(ViewerStep.GO_ON)
        self._goOn()

    def _goOnSoon(self) -> None:
        """Go on now, if this turn of the reactor has time for it."""
        if self._delivery.turns.hasTime():
            self._goOn()
        else:
            self._yieldTurn()

    def _stopWaiting(self, before: ViewerState) -> None:
        """Let others have the turn of this response, if it waited for it before the present step."""
        if before is ViewerState.WAITING:
            self._delivery.turns.remove(self)

    def _goOn(self) -> None:
        """Write on."""
        raise NotImplementedError("A subclass of ResponseProducer must implement _goOn().")

    def _loseClient(self, result: Any) -> None:
        """End the response: its request has ended, on any transport."""
        self._end("left")
        # Twisted's request keeps the producer of a lost response, and each would keep the other.
        self.request.producer = None

    def _end(self, reason: str) -> None:
        """Release everything, once."""
        before = self._state
        if before is ViewerState.ENDED:
            return
        self._step(ViewerStep.END)
        self.reason = reason
        self._body.close()
        # For the access log, without a reference to this object.
        request: Any = self.request
        request.outcome = (reason, self.countEvents())
        if self._watch is not None:
            self._watch.stop()
        self._stopWaiting(before)
        self.count()
        self._delivery.counts.ends.add(reason)
        self._release()

    def _release(self) -> None:
        """Release what the subclass holds, and report the end."""
        raise NotImplementedError("A subclass of ResponseProducer must implement _release().")
