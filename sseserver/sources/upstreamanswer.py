"""
One answer of an upstream: reads the chunks of an event stream into a sink, within time limits.

`UpstreamSource` makes one `UpstreamAnswer` for each run.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IResponse
from zope.interface import implementer

from sseserver.client import EventSource, EventSourceError, EventTooLarge
from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink
from sseserver.protocols.chatcompletions import ErrorChunk, readChunk
from sseserver.sources.upstreamerrors import cleanMessage, makeSourceError, makeStreamError
from sseserver.values import Reason

log = Logger()

#: Seconds that an upstream has to end its response after `[DONE]`, so that the connection can be used again.
DRAIN_SECONDS = 0.5


class AnswerState(Enum):
    """State of an `UpstreamAnswer`."""

    #: Chunks are read.
    READING = "reading"
    #: The sink takes no chunks now, and the connection is not read.
    PAUSED = "paused"
    #: The answer is complete. The rest of the response is read, so that the connection can be used again.
    DRAINING = "draining"
    #: The connection is released.
    OVER = "over"


#: The states that may follow each state of an `UpstreamAnswer`. Every other step is illegal.
ANSWER_STATES = {
    AnswerState.READING: {AnswerState.PAUSED, AnswerState.DRAINING, AnswerState.OVER},
    AnswerState.PAUSED: {AnswerState.READING, AnswerState.OVER},
    AnswerState.DRAINING: {AnswerState.OVER},
    AnswerState.OVER: set[AnswerState](),
}

# Looked up for each chunk.
_READING = AnswerState.READING


def checkStep(state: AnswerState, following: AnswerState) -> None:
    """
    Check that an answer may go from one state to another.

    Args:
        state: The current state.
        following: The next state.

    Raises:
        RuntimeError: It may not.
    """
    if following not in ANSWER_STATES[state]:
        raise RuntimeError(f"An answer that is {state.value} cannot become {following.value}.")


@implementer(IPushProducer)
class UpstreamAnswer:
    """
    Reader of one answer.

    Args:
        clock: Measures the time limits.
        sink: Receives the chunks.
        key: The API key, which must not appear in errors.
        firstTokenTimeout: Seconds from the start to the first chunk.
        tokenTimeout: Seconds from one chunk to the next.
    """

    __slots__ = (
        "_clock",
        "_done",
        "_events",
        "_finish",
        "_heard",
        "_key",
        "_limit",
        "_nextLimit",
        "_sink",
        "_state",
        "_timer",
    )

    def __init__(
        self, clock: Any, sink: ITokenSink, key: str | None, firstTokenTimeout: float, tokenTimeout: float
    ) -> None:
        self._clock = clock
        self._sink = sink
        self._key = key
        self._limit = firstTokenTimeout
        self._nextLimit = tokenTimeout
        self._state = _READING
        # The last finish reason of the upstream.
        self._finish: str | None = None
        # Time of the last chunk.
        self._heard = clock.seconds()
        self._timer: IDelayedCall | None = None
        self._done: Deferred[str] = Deferred(lambda _: self.stopProducing())

    @property
    def state(self) -> AnswerState:
        """The current state."""
        return self._state

    def start(self, events: EventSource) -> Deferred[str]:
        """
        Read the answer.

        Args:
            events: A client that has not been started and makes one request.

        Returns:
            Fires with the finish reason, or fails with a `SourceError`.
        """
        self._events = events
        events.onOpen = self._checkEncoding
        events.onData = self._take
        self._timer = self._clock.callLater(self._limit, self._checkSilence)
        events.start().addCallbacks(self._ended, self._failed)
        if self._state is _READING:
            self._sink.registerProducer(self, True)
        return self._done

    def pauseProducing(self) -> None:
        """See `IPushProducer.pauseProducing`. The connection is not read until `resumeProducing`."""
        if self._state is _READING:
            self._enter(AnswerState.PAUSED)
            self._events.pauseProducing()

    def resumeProducing(self) -> None:
        """See `IPushProducer.resumeProducing`."""
        if self._state is AnswerState.PAUSED:
            self._enter(_READING)
            self._heard = self._clock.seconds()
            self._events.resumeProducing()

    def stopProducing(self) -> None:
        """See `IPushProducer.stopProducing`. The connection is closed at once."""
        if self._isOpen():
            self._close()

    def _isOpen(self) -> bool:
        """Return whether the end of the answer has not come yet."""
        return self._state is _READING or self._state is AnswerState.PAUSED

    def _enter(self, state: AnswerState) -> None:
        checkStep(self._state, state)
        self._state = state

    def _checkEncoding(self, response: IResponse) -> None:
        """Refuse an encoded body, which was not requested."""
        coding = response.headers.getRawHeaders(b"Content-Encoding", [b"identity"])[-1].decode("latin-1")
        if coding != "identity":
            name = cleanMessage(coding, self._key)
            message = f"The upstream's answer has a content encoding that was not requested: {name}."
            self._fail(SourceError(message, Reason.MALFORMED))

    def _take(self, data: bytes) -> None:
        """
        Take the data of an event: a chunk, an error or `[DONE]`.

        Args:
            data: UTF-8.

        Raises:
            SourceError: The upstream reports an error or sent something else. This ends the client of the events.
        """
        if self._state is not _READING:
            return
        if data.startswith(b"[DONE]"):
            self._succeed()
        elif data.startswith(b"{") or data.decode("utf-8").strip():
            try:
                text, finish = readChunk(data)
            except ErrorChunk as told:
                raise makeStreamError(told.error, told.errorCode, self._key) from None
            if finish is not None:
                self._finish = finish
            self._heard = self._clock.seconds()
            self._limit = self._nextLimit
            self._sink.writeChunk(data, text)

    def _checkSilence(self) -> None:
        """Fail if the upstream has been silent for too long; otherwise check again later."""
        self._timer = None
        if self._state is AnswerState.PAUSED:
            self._heard = self._clock.seconds()
        left = self._heard + self._limit - self._clock.seconds()
        if left > 0:
            self._timer = self._clock.callLater(left, self._checkSilence)
        else:
            self._fail(SourceError(f"The upstream sent nothing for {self._limit:g} seconds.", Reason.TIMEOUT, 504))

    def _ended(self, _: None) -> None:
        """Handle the end of a complete response, or of one that was closed here."""
        if self._state is AnswerState.DRAINING:
            self._release(AnswerState.OVER)
        elif self._state is not AnswerState.OVER:
            if self._finish is None:
                message = "The upstream's answer ended without [DONE] or a finish reason."
                self._fail(SourceError(message, Reason.TRUNCATED))
            else:
                # Some upstreams leave out `[DONE]`. A finish reason shows that the answer is complete.
                self._release(AnswerState.OVER)
                self._done.callback(self._finish)

    def _failed(self, failure: Failure) -> None:
        """Handle the lack of a response, or of its end."""
        if self._state is AnswerState.DRAINING:
            self._release(AnswerState.OVER)
        elif self._state is not AnswerState.OVER:
            if failure.check(EventSourceError, EventTooLarge):
                log.info("An upstream failed: {error}", error=failure.value)
                self._fail(makeSourceError(failure.value, self._key))
            else:
                self._fail(failure)

    def _succeed(self) -> None:
        """Report the complete answer, and read the rest of its response for a while."""
        self._release(AnswerState.DRAINING)
        self._timer = self._clock.callLater(DRAIN_SECONDS, self._close)
        self._done.callback(self._finish or Reason.STOP.value)

    def _fail(self, error: SourceError | Failure) -> None:
        self._close()
        self._done.errback(error)

    def _close(self) -> None:
        """Close the connection."""
        self._release(AnswerState.OVER)
        self._events.close()

    def _release(self, state: AnswerState) -> None:
        """Release the sink and the timer."""
        if self._isOpen():
            self._sink.unregisterProducer()
        self._enter(state)
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
