"""
Documents: response bodies that end, such as a text or a JSON value, written step by step.

A body of up to `STEP_BYTES` is written at once by `sseserver.web.answers`. A larger one is a `Document`: its pieces are
made while the client reads. `DocumentProducer` is the `IPushProducer` of its request; `sseserver.service.viewers`
makes one for each document, and counts it as a viewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from twisted.web.http import Request
from zope.interface import implementer

from sseserver.delivery.connection import abort, isOver, resumeReading, stopReading
from sseserver.delivery.producer import Delivery
from sseserver.delivery.socketoptions import tune
from sseserver.delivery.stall import StallWatch
from sseserver.delivery.states import VIEWER_STATES, ViewerState, ViewerStep
from sseserver.delivery.tail import LARGE
from sseserver.errors import GapError
from sseserver.steps import findNext

log = Logger(__name__)

#: Bytes of one write: as many as Twisted's transports queue before they pause their producer. However fast the client
#: reads, a turn of the reactor makes no more: JSON of many small values takes some milliseconds.
STEP_BYTES = LARGE


@dataclass(frozen=True, slots=True)
class Document:
    """
    A body that is made while it is written.

    Attributes:
        pieces: The body, in pieces of any size. Iterated once.
        length: Bytes of the body; `None` if that is not known before its end. Then HTTP/1.1 sends it in chunks.
    """

    pieces: Iterable[bytes]
    length: int | None = None


def cutBody(body: bytes) -> Document:
    """Make a document of a body that is in memory as a whole."""
    return Document(cutSteps([body]), len(body))


def cutSteps(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """
    Join and cut the pieces of a body into steps.

    Args:
        pieces: Pieces of any size.

    Returns:
        The same bytes in pieces of at most `STEP_BYTES`, none of them empty.
    """
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        for start in range(0, len(piece), STEP_BYTES):
            part = piece[start : start + STEP_BYTES]
            if size + len(part) > STEP_BYTES:
                yield b"".join(waiting)
                waiting.clear()
                size = 0
            waiting.append(part)
            size += len(part)
    if waiting:
        yield b"".join(waiting)


@implementer(IPushProducer)
class DocumentProducer:
    """
    One document on its way. Its states are `ViewerState`.

    Args:
        request: Its response has a status and headers, but no length.
        document: The body.
        delivery: The parts that it shares with the other responses of the service.
        onEnd: Called once with this producer when the body is written, or can no longer be.

    Attributes:
        reason: The reason for the end of the response, one word for the log; empty before.
        request: The request.
    """

    __slots__ = ("_body", "_delivery", "_next", "_onEnd", "_state", "_steps", "_watch", "reason", "request")

    def __init__(
        self, request: Request, document: Document, delivery: Delivery, onEnd: Callable[[DocumentProducer], None]
    ) -> None:
        self.reason = ""
        self.request = request
        self._steps = cutSteps(document.pieces)
        self._delivery = delivery
        self._onEnd = onEnd
        self._state = ViewerState.NEW
        self._body = delivery.makeBody(request)
        self._watch = StallWatch(self, delivery.ticker, delivery.settings.stall)
        # The next steps, if the client reads faster than this turn of the reactor lasts.
        self._next: IDelayedCall | None = None

    @property
    def written(self) -> int:
        """Bytes of the body so far."""
        return self._body.written

    @property
    def isPaused(self) -> bool:
        """Whether the transport is full."""
        return self._state is ViewerState.PAUSED

    def start(self) -> None:
        """Begin the response."""
        request = self.request
        # See `EventStreamProducer.start`.
        if not getattr(request, "stopsProducer", False):
            request.notifyFinish().addBoth(self._loseClient)
        self._step(ViewerStep.START)
        request.registerProducer(self, True)
        if isOver(request) or self._state is ViewerState.ENDED:
            self._end("left")
            return
        tune(request.transport)
        self._watch.start(self._delivery.settings.stall / 4)
        self._write()

    def pauseProducing(self) -> None:
        """Stop writing: the transport is full. May be called repeatedly, and inside a write."""
        before = self._state
        self._step(ViewerStep.PAUSE)
        if before is ViewerState.LIVE:
            self._watch.noteFull()
            stopReading(self.request)

    def resumeProducing(self) -> None:
        """Continue: the transport is empty."""
        before = self._state
        self._step(ViewerStep.RESUME)
        if before is ViewerState.PAUSED:
            resumeReading(self.request)
            if self._next is None:
                self._write()

    def stopProducing(self) -> None:
        """End the response: the connection is lost."""
        self._end("left")

    def abort(self, reason: str) -> None:
        """
        Close the connection at once, without the rest of the body. Does nothing after the end.

        Args:
            reason: See the attribute.
        """
        if self._state is not ViewerState.ENDED:
            self._end(reason)
            abort(self.request)

    def beat(self, now: float) -> float:
        """See `Watched.beat`. A document has no heartbeats."""
        return now + self._delivery.settings.stall

    def _write(self) -> None:
        """Write the next step, or end the response."""
        try:
            step = next(self._steps, None)
            if step is None:
                self._finish()
                return
            self._body.write(step)
        except GapError:
            self.abort("trimmed")
        except BaseException:
            log.failure("A response failed")
            self.abort("broken")
        if self._state is ViewerState.LIVE:
            self._next = self._delivery.ticker.clock.callLater(0, self._continue)

    def _continue(self) -> None:
        """Write on in another turn, unless the transport is full by then."""
        self._next = None
        if self._state is ViewerState.LIVE:
            self._write()

    def _finish(self) -> None:
        """End the response in good order."""
        request = self.request
        self._end("complete")
        if not isOver(request):
            request.unregisterProducer()
            request.finish()
            self._delivery.onFinish(request.transport, self.written)

    def _step(self, step: ViewerStep) -> None:
        self._state = findNext(VIEWER_STATES, self._state, step)

    def _loseClient(self, result: Any) -> None:
        """End the response: its request has ended, on any transport."""
        self._end("left")
        # See `EventStreamProducer`: each would keep the other.
        self.request.producer = None

    def _end(self, reason: str) -> None:
        """Release everything, once."""
        if self._state is ViewerState.ENDED:
            return
        self._step(ViewerStep.END)
        self.reason = reason
        self._body.close()
        self._watch.stop()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        # A generator that is abandoned is closed.
        self._steps = iter(())
        self._onEnd(self)
