"""
One answer of an upstream: its request, its response, its states and its result.

`UpstreamSource` makes one `UpstreamAnswer` for each run. The chunks pass through a `ChunkRelay`, and a `SilenceTimer`
limits the time between them.
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
from sseserver.interfaces import IResponseSink, ITokenSink
from sseserver.protocols.responses.upstream import ResponseConverter
from sseserver.sources.upstreamerrors import makeSourceError
from sseserver.sources.upstreamopening import JSONDocument, UpstreamLimits
from sseserver.sources.upstreamrelay import ChunkRelay, TranslatedRelay
from sseserver.sources.upstreamsilence import SilenceTimer
from sseserver.steps import StateEnum, step
from sseserver.timing.patience import PatientCall
from sseserver.tracebacks import forgetFailure
from sseserver.values import Reason
from sseserver.wire import Decoder

log = Logger(__name__)

#: Seconds that an upstream has to end its response after `[DONE]`, so that the connection can be used again.
DRAIN_SECONDS = 0.5


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
    # The rest of what was received may have the end.
    AnswerState.PAUSED: frozenset({AnswerState.READING, AnswerState.DRAINING, AnswerState.OVER}),
    AnswerState.DRAINING: frozenset({AnswerState.OVER}),
    AnswerState.OVER: frozenset[AnswerState](),
}


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

    Attributes:
        relay: Takes the chunks.
    """

    __slots__ = (
        "_clock",
        "_decoder",
        "_document",
        "_done",
        "_drainTimer",
        "_intake",
        "_opening",
        "_readPath",
        "_response",
        "_secrets",
        "_silence",
        "_sink",
        "_state",
        "relay",
    )

    def __init__(
        self, clock: Any, sink: ITokenSink, limits: UpstreamLimits, choices: int, secrets: Sequence[str]
    ) -> None:
        self._clock = clock
        self._sink = sink
        self._secrets = secrets
        self._state = AnswerState.READING
        self._decoder = Decoder(limits.maxChunkBytes)
        self._silence = SilenceTimer(clock, limits.firstTokenTimeout, self._endSilent)
        self.relay = ChunkRelay(sink, self._silence, limits.tokenTimeout, choices, secrets, self._succeed)
        # Takes the events: the relay itself, if they are chunks.
        self._intake: ChunkRelay | TranslatedRelay = self.relay
        self._drainTimer: PatientCall | None = None
        # Work under way, at most one of the three: a request, a response, a document that waits for the sink.
        self._opening: Deferred[Any] | None = None
        self._response: ResponseReader | None = None
        self._document: JSONDocument | None = None
        self._readPath: ReadPath | None = None
        self._done: Deferred[str] = Deferred(lambda _: self.stopProducing())

    @property
    def state(self) -> AnswerState:
        """The current state."""
        return self._state

    def translate(self, converter: ResponseConverter) -> None:
        """
        Make the chunks of the events of another protocol.

        Args:
            converter: Makes them.
        """
        self._intake = TranslatedRelay(self.relay, converter, IResponseSink.providedBy(self._sink))

    def start(self, opening: Deferred[IResponse | JSONDocument], readPath: ReadPath) -> Deferred[str]:
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
        self._silence.start()
        opening.addCallbacks(self._opened, self._failed).addErrback(self._failed)
        if self._isOpen():
            self._sink.registerProducer(self, True)
        return self._done

    def pauseProducing(self) -> None:
        """See `IPushProducer.pauseProducing`. The connection is not read until `resumeProducing`."""
        if self._state is AnswerState.READING:
            self._enter(AnswerState.PAUSED)
            self._silence.pause()
            if self._response is not None:
                self._response.pauseProducing()

    def resumeProducing(self) -> None:
        """See `IPushProducer.resumeProducing`."""
        if self._state is not AnswerState.PAUSED:
            return
        self._enter(AnswerState.READING)
        self._silence.resume()
        if self._response is not None:
            self._response.resumeProducing()
        document, self._document = self._document, None
        if document is not None:
            self._takeDocument(document)

    def stopProducing(self) -> None:
        """See `IPushProducer.stopProducing`. The connection is closed at once."""
        if self._isOpen():
            self.relay.drop()
            self._close()

    def _isOpen(self) -> bool:
        """Return whether the end of the answer has not come yet."""
        return self._state is AnswerState.READING or self._state is AnswerState.PAUSED

    def _enter(self, state: AnswerState) -> None:
        self._state = step(ANSWER_STEPS, self._state, state)

    def _opened(self, opened: IResponse | JSONDocument) -> None:
        """Read the response."""
        self._opening = None
        if not self._isOpen():
            # The sink ended while the request was made.
            if not isinstance(opened, JSONDocument):
                dropResponse(opened)
        elif not isinstance(opened, JSONDocument):
            self._response = ResponseReader(
                self._clock, self._decoder, None, self._intake.takeEvent, self._endResponse, self._intake.take
            )
            if self._state is AnswerState.PAUSED:
                self._response.pauseProducing()
            self._response.read(opened, None, self._readPath)
        elif self._state is AnswerState.PAUSED:
            self._document = opened
        else:
            self._takeDocument(opened)

    def _takeDocument(self, document: JSONDocument) -> None:
        """Take an answer in one piece."""
        try:
            self._intake.takeDocument(document)
        except BaseException:
            self._fail(Failure())
            return
        if self._isOpen():
            self._close()
            self._reportEnd()

    def _endSilent(self, limit: float) -> None:
        """End an answer whose upstream has been silent for too long."""
        if self.relay.isComplete():
            self._close()
            self._reportEnd()
        else:
            self._fail(SourceError(f"The upstream sent nothing for {limit:g} seconds.", Reason.TIMEOUT, 504))

    def _endResponse(self, reason: Failure) -> None:
        """Handle the end of the response, which is not reported if it was closed here."""
        self._response = None
        failure = explainEnd(reason)
        if failure is None:
            try:
                self._intake.takeRest(self._decoder)
            except BaseException:
                failure = Failure()
        elif failure.check(ResponseTruncated) and self.relay.isComplete():
            failure = None
        if self._state is AnswerState.DRAINING:
            self._release(AnswerState.OVER)
        elif self._state is not AnswerState.OVER:
            if failure is not None:
                self._failed(failure)
            elif self.relay.finishReason is None:
                message = "The upstream's answer ended without [DONE] or a finish reason."
                self._fail(SourceError(message, Reason.TRUNCATED))
            else:
                # Some upstreams leave out `[DONE]`. A finish reason shows that the answer is complete.
                self._release(AnswerState.OVER)
                self._reportEnd()

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
        self._drainTimer = PatientCall(self._clock, DRAIN_SECONDS, self._endDrain)
        self._reportEnd()

    def _endDrain(self) -> None:
        """Close the connection of an upstream that does not end its answer."""
        self._drainTimer = None
        self._close()

    def _reportEnd(self) -> None:
        """Report the finish reason of the complete answer."""
        self.relay.flush()
        self._done.callback(self.relay.finishReason or Reason.STOP.value)

    def _fail(self, error: SourceError | Failure) -> None:
        self.relay.drop()
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
        """Release the sink and the timers."""
        if self._isOpen():
            self._sink.unregisterProducer()
            self.relay.stop()
            self._silence.stop()
        self._enter(state)
        timer, self._drainTimer = self._drainTimer, None
        if timer is not None:
            timer.cancel()
