"""
Documents: response bodies that end, such as a text or a JSON value, written step by step.

A body of up to `STEP_BYTES` is written at once by `sseserver.web.answers`. A larger one is a `Document`: its pieces are
made while the client reads. `DocumentProducer` is the `IPushProducer` of its request; `sseserver.service.viewers`
makes one for each document, and counts it as a viewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.web.http import Request
from zope.interface import classImplements

from sseserver.delivery.connection import resumeReading
from sseserver.delivery.response import Delivery, ResponseProducer
from sseserver.delivery.states import ViewerState, ViewerStep
from sseserver.delivery.tail import LARGE
from sseserver.errors import GapError

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


class DocumentProducer(ResponseProducer):
    """
    One document on its way.

    Args:
        request: Its response has a status and headers, but no length.
        document: The body.
        delivery: The parts that it shares with the other responses of the service.
        onEnd: Called once with this producer when the body is written, or can no longer be.
    """

    __slots__ = ("_onEnd", "_steps")

    def __init__(
        self, request: Request, document: Document, delivery: Delivery, onEnd: Callable[[DocumentProducer], None]
    ) -> None:
        super().__init__(request, delivery)
        self._steps = cutSteps(document.pieces)
        self._onEnd = onEnd

    def start(self) -> None:
        """Begin the response."""
        if self._begin(self._delivery.settings.stall / 4):
            self._write()

    def resumeProducing(self) -> None:
        """Continue: the transport is empty."""
        before = self._state
        self._step(ViewerStep.RESUME)
        if before is ViewerState.PAUSED:
            resumeReading(self.request)
            self._goOnSoon()

    def _write(self) -> None:
        """Write the next step, or end the response."""
        try:
            step = next(self._steps, None)
            if step is None:
                self.finish("complete")
                return
            self._body.write(step)
        except GapError:
            self.abort("trimmed")
        except BaseException:
            log.failure("A response failed")
            self.abort("broken")
        # The client may read faster than this turn of the reactor lasts.
        self._yieldTurn()

    def _goOn(self) -> None:
        """See `ResponseProducer._goOn`."""
        self._write()

    def _release(self) -> None:
        """See `ResponseProducer._release`."""
        # A generator that is abandoned is closed.
        self._steps = iter(())
        self._onEnd(self)


classImplements(DocumentProducer, IPushProducer)
