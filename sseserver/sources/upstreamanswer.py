"""
One answer of an upstream: reads the chunks of an event stream into a sink, within time limits.

`UpstreamSource` makes one `UpstreamAnswer` for each run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IResponse
from zope.interface import implementer

from sseserver.client import EventSourceError, EventTooLarge, ResponseTruncated
from sseserver.client.bodies import dropResponse
from sseserver.client.response import ReadPath, ResponseReader, explainEnd
from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink
from sseserver.protocols.chatcompletions import ChunkEnd, ChunkReader, ErrorChunk, convertCompletion
from sseserver.sources.upstreamerrors import makeSourceError, makeStreamError
from sseserver.sources.upstreamopening import Document, UpstreamLimits
from sseserver.steps import StateEnum, step
from sseserver.timing.patience import PatientCall
from sseserver.tracebacks import forgetFailure
from sseserver.values import Reason
from sseserver.wire import Decoder, Event

log = Logger(__name__)

#: Seconds that an upstream has to end its response after `[DONE]`, so that the connection can be used again.
DRAIN_SECONDS = 0.5

#: Seconds that an upstream has after the finish reason to send the usage and `[DONE]`.
GRACE_SECONDS = 3.0


class AnswerState(StateEnum):
    """State of an `UpstreamAnswer`."""

    #: Chunks are read, or the response is awaited.
    READING = "reading"
    #: The sink takes no chunks now, and the connection is not read.
    PAUSED = "paused"
    #: The answer is complete. The rest of the response is read, so that the connection can be used again.
    DRAINING = "draining"
    #: The connection is released.
    OVER = "over"


#: Legal steps of an `UpstreamAnswer`.
ANSWER_STEPS = {
    AnswerState.READING: frozenset({AnswerState.PAUSED, AnswerState.DRAINING, AnswerState.OVER}),
    AnswerState.PAUSED: frozenset({AnswerState.READING, AnswerState.OVER}),
    AnswerState.DRAINING: frozenset({AnswerState.OVER}),
    AnswerState.OVER: frozenset[AnswerState](),
}

# Looked up for each chunk.
_READING = AnswerState.READING


@implementer(IPushProducer)
class UpstreamAnswer:
    """
    Reader of one answer.

    Args:
        clock: Measures the time limits.
        sink: Receives the chunks.
        limits: Limits of time and size.
        choices: Number of choices that were requested.
        secrets: The API key and the like, which must not appear in errors.
    """

    __slots__ = (
        "_awaitsFirst",
        "_choices",
        "_clock",
        "_decoder",
        "_document",
        "_done",
        "_ended",
        "_finish",
        "_heard",
        "_limit",
        "_limits",
        "_opening",
        "_readPath",
        "_reader",
        "_response",
        "_secrets",
        "_sink",
        "_state",
        "_timer",
    )

    def __init__(
        self, clock: Any, sink: ITokenSink, limits: UpstreamLimits, choices: int, secrets: Sequence[str]
    ) -> None:
        self._clock = clock
        self._sink = sink
        self._limits = limits
        self._choices = choices
        self._secrets = secrets
        self._state = _READING
        self._reader = ChunkReader()
        self._decoder = Decoder(limits.maxChunkBytes)
        # Whether no chunk has been read.
        self._awaitsFirst = True
        # The last finish reason of the upstream, and the numbers of the choices that have one.
        self._finish: str | None = None
        self._ended: frozenset[int] = frozenset()
        # Seconds of silence, the time of the last chunk, and the timer of both.
        self._limit = limits.firstTokenTimeout
        self._heard = clock.seconds()
        self._timer: PatientCall | None = None
        # Work under way, at most one of the three: a request, a response, a document that waits for the sink.
        self._opening: Deferred[Any] | None = None
        self._response: ResponseReader | None = None
        self._document: Document | None = None
        self._readPath: ReadPath | None = None
        self._done: Deferred[str] = Deferred(lambda _: self.stopProducing())

    @property
    def state(self) -> AnswerState:
        """The current state."""
        return self._state

    def start(self, opening: Deferred[IResponse | Document], readPath: ReadPath) -> Deferred[str]:
        """
        Read the answer.

        Args:
            opening: Result of `openAnswer`.
            readPath: Way of the bytes of an event stream.

        Returns:
            Fires with the finish reason, or fails with a `SourceError`.
        """
        self._opening = opening
        self._readPath = readPath
        self._timer = PatientCall(self._clock, self._limit, self._checkSilence)
        opening.addCallbacks(self._opened, self._failed).addErrback(self._failed)
        if self._isOpen():
            self._sink.registerProducer(self, True)
        return self._done

    def pauseProducing(self) -> None:
        """See `IPushProducer.pauseProducing`. The connection is not read until `resumeProducing`."""
        if self._state is _READING:
            self._enter(AnswerState.PAUSED)
            if self._response is not None:
                self._response.pauseProducing()

    def resumeProducing(self) -> None:
        """See `IPushProducer.resumeProducing`."""
        if self._state is not AnswerState.PAUSED:
            return
        self._enter(_READING)
        self._heard = self._clock.seconds()
        if self._response is not None:
            self._response.resumeProducing()
        document, self._document = self._document, None
        if document is not None:
            self._takeDocument(document)

    def stopProducing(self) -> None:
        """See `IPushProducer.stopProducing`. The connection is closed at once."""
        if self._isOpen():
            self._close()

    def _isOpen(self) -> bool:
        """Return whether the end of the answer has not come yet."""
        return self._state is _READING or self._state is AnswerState.PAUSED

    def _enter(self, state: AnswerState) -> None:
        self._state = step(ANSWER_STEPS, self._state, state)

    def _opened(self, opened: IResponse | Document) -> None:
        """Read the response."""
        self._opening = None
        if not self._isOpen():
            # The sink ended while the request was made.
            if not isinstance(opened, Document):
                dropResponse(opened)
        elif not isinstance(opened, Document):
            self._response = ResponseReader(
                self._clock, self._decoder, None, self._takeEvent, self._endResponse, self._take
            )
            if self._state is AnswerState.PAUSED:
                self._response.pauseProducing()
            self._response.read(opened, None, self._readPath)
        elif self._state is AnswerState.PAUSED:
            self._document = opened
        else:
            self._takeDocument(opened)

    def _takeEvent(self, event: Event) -> None:
        """Take an event that has more fields than its data."""
        self._take(event.data.encode("utf-8"))

    def _take(self, data: bytes) -> None:
        """
        Take the data of an event: a chunk, an error or `[DONE]`.

        Args:
            data: UTF-8.

        Raises:
            SourceError: The upstream reports an error or sent something else. This ends the reading of the response.
        """
        if self._state is not _READING:
            return
        if data.startswith(b"[DONE]"):
            if self._awaitsFirst:
                raise SourceError("The upstream's answer ended without a chunk.", Reason.TRUNCATED)
            self._succeed()
        elif data.startswith(b"{") or data.decode("utf-8").strip():
            try:
                read = self._reader.read(data)
            except ErrorChunk as told:
                raise makeStreamError(told.error, told.errorCode, self._secrets) from None
            if read is None:
                return
            text, end = read
            self._heard = self._clock.seconds()
            if self._awaitsFirst:
                self._awaitsFirst = False
                self._setLimit(self._limits.tokenTimeout)
            if end is not None:
                self._takeEnd(end)
            self._sink.writeChunk(data, text)

    def _takeEnd(self, end: ChunkEnd) -> None:
        """Note the end of choices. When all have ended, only the usage and `[DONE]` can follow."""
        self._finish = end.reason or self._finish
        self._ended |= end.choices
        if self._isComplete():
            self._setLimit(min(self._limits.tokenTimeout, GRACE_SECONDS))

    def _isComplete(self) -> bool:
        """Return whether all choices have ended."""
        return len(self._ended) >= self._choices

    def _takeDocument(self, document: Document) -> None:
        """Take an answer in one piece, as a chunk."""
        try:
            self._take(convertCompletion(document))
        except BaseException:
            self._fail(Failure())
            return
        if self._isOpen():
            self._close()
            self._done.callback(self._finish or Reason.STOP.value)

    def _setLimit(self, limit: float) -> None:
        """Change the limit for silence, which may end sooner than the timer that runs."""
        self._limit = limit
        if self._timer is not None:
            self._timer.reset(limit)

    def _checkSilence(self) -> None:
        """End the answer if the upstream has been silent for too long; otherwise check again later."""
        self._timer = None
        if self._state is AnswerState.PAUSED:
            self._heard = self._clock.seconds()
        left = self._heard + self._limit - self._clock.seconds()
        if left > 0:
            self._timer = PatientCall(self._clock, left, self._checkSilence)
        elif self._isComplete():
            self._close()
            self._done.callback(self._finish or Reason.STOP.value)
        else:
            self._fail(SourceError(f"The upstream sent nothing for {self._limit:g} seconds.", Reason.TIMEOUT, 504))

    def _endResponse(self, reason: Failure) -> None:
        """Handle the end of the response, which is not reported if it was closed here."""
        self._response = None
        failure = explainEnd(reason)
        if failure is None:
            failure = self._takeRest()
        elif failure.check(ResponseTruncated) and self._isComplete():
            failure = None
        if self._state is AnswerState.DRAINING:
            self._release(AnswerState.OVER)
        elif self._state is not AnswerState.OVER:
            if failure is not None:
                self._failed(failure)
            elif self._finish is None:
                message = "The upstream's answer ended without [DONE] or a finish reason."
                self._fail(SourceError(message, Reason.TRUNCATED))
            else:
                # Some upstreams leave out `[DONE]`. A finish reason shows that the answer is complete.
                self._release(AnswerState.OVER)
                self._done.callback(self._finish)

    def _takeRest(self) -> Failure | None:
        """
        Take a last event whose empty line is missing at a clean end.

        An EventSource discards it (WHATWG HTML 9.2.6), because the event may be cut. A chunk that is cut is no JSON.
        """
        try:
            for event in self._decoder.feed(b"\n\n"):
                self._takeEvent(event)
        except SourceError as error:
            return None if error.reason == Reason.MALFORMED else Failure()
        except BaseException:
            return Failure()
        return None

    def _failed(self, failure: Failure) -> None:
        """Handle the lack of a response, or of its end."""
        self._opening = None
        if not self._isOpen():
            forgetFailure(failure)
        elif failure.check(EventSourceError, EventTooLarge):
            log.info("An upstream failed: {error}", error=failure.value)
            self._fail(makeSourceError(failure.value, self._secrets))
            forgetFailure(failure)
        else:
            self._fail(failure)

    def _succeed(self) -> None:
        """Report the complete answer, and read the rest of its response for a while."""
        self._release(AnswerState.DRAINING)
        self._timer = PatientCall(self._clock, DRAIN_SECONDS, self._endDrain)
        self._done.callback(self._finish or Reason.STOP.value)

    def _endDrain(self) -> None:
        """Close the connection of an upstream that does not end its answer."""
        self._timer = None
        self._close()

    def _fail(self, error: SourceError | Failure) -> None:
        self._close()
        self._done.errback(error)

    def _close(self) -> None:
        """Close the connection."""
        self._release(AnswerState.OVER)
        response, self._response = self._response, None
        opening, self._opening = self._opening, None
        self._document = None
        if response is not None:
            response.stopProducing()
        if opening is not None:
            opening.cancel()

    def _release(self, state: AnswerState) -> None:
        """Release the sink and the timer."""
        if self._isOpen():
            self._sink.unregisterProducer()
        self._enter(state)
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
