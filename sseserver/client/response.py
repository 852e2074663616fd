"""
Reader of one response: decodes its body, delivers the events and reports how the body ended.

`EventSource` makes one `ResponseReader` for each response that is an event stream.
"""

from __future__ import annotations

import typing
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse
from zope.interface import implementer

from sseserver.client.bodies import abortConnection
from sseserver.client.errors import ResponseTruncated, SilenceTimeout
from sseserver.client.request import describeCauses
from sseserver.client.states import READER_STATES, ReaderState, ReaderStep
from sseserver.options import defaultOf
from sseserver.speedups.intake import makeIntake
from sseserver.speedups.privates import seesChunks
from sseserver.speedups.readpath import FastReadPath
from sseserver.steps import findNext
from sseserver.timing.patience import PatientCall
from sseserver.timing.turnend import TurnEnd
from sseserver.wire import DEFAULT_TYPE, Decoder, Event, wholeEvent

# Looked up for each event.
_READING = ReaderState.READING
_HANDING = ReaderState.HANDING
_DELIVERING = ReaderState.DELIVERING
_PAUSED = ReaderState.PAUSED
_OVER = ReaderState.OVER


class ReadPath(typing.Protocol):
    """The way of the bytes of a response's body to its reader."""

    def attach(self, transport: Any, receive: Callable[[bytes], object]) -> Callable[[], None]:
        """
        Begin to read a body.

        Args:
            transport: The one that `IResponse.deliverBody` gave to its protocol.
            receive: Takes bytes of the body; twisted.web calls the same.

        Returns:
            Detaches; must be called when the body ends or is not read any further. It may be called again.
        """


class PlainReadPath:
    """The plain read path: twisted.web's client calls the reader itself."""

    def attach(self, transport: Any, receive: Callable[[bytes], object]) -> Callable[[], None]:
        """See `ReadPath.attach`."""
        return _nothing


def _nothing() -> None:
    """Detach nothing."""


def chooseReadPath(reactor: Any = None, turnEnd: TurnEnd | None = None, plain: bool | None = None) -> ReadPath:
    """
    Choose how the bodies of event streams are read.

    Args:
        reactor: Its connections are read together; `None` leaves each connection to its reactor.
        turnEnd: Ends after the bytes that were read together are delivered. Give the turn end of the service, if
            there is one; by default the read path has its own.
        plain: Whether to use no speedup; by default as the environment says (`SSESERVER_PLAIN=1`).

    Returns:
        The read path, which many readers can share.
    """
    if plain is None:
        plain = defaultOf("plain")
    if plain or not seesChunks():
        return PlainReadPath()
    return FastReadPath(None if reactor is None else makeIntake(reactor, turnEnd or TurnEnd(reactor)))


@implementer(IPushProducer)
class ResponseReader(Protocol):
    """
    Reader of the event stream in one response.

    While it is paused it does not read from the connection. Events that were already received (at most one read of
    the transport) stay in a queue, and so does the end of the body. Its states are `ReaderState`.

    Args:
        clock: Measures the time limits.
        decoder: A new decoder with the last event ID.
        silence: Seconds without a byte after which reading ends, or `None` for no limit.
        onEvent: Called with each event. An exception from it ends the reading.
        onEnd: Called once when the reading is over, with Twisted's reason for the end of a body, a `SilenceTimeout`,
            an `EventTooLarge` or the exception of a callback. Not called after `stopProducing`.
        onData: Called instead of `onEvent` with the data as UTF-8 bytes, for events that have data only. This is
            cheaper, and most events have no other field.

    Attributes:
        lastEventID: Last event ID of the delivered events; with an empty queue, of the last block.
        heard: Whether a byte of the body has been received.
        informed: Whether an event has been received.
    """

    __slots__ = (
        "_bodyEnd",
        "_clock",
        "_decoder",
        "_detach",
        "_first",
        "_onData",
        "_onEnd",
        "_onEvent",
        "_queue",
        "_silence",
        "_state",
        "_timer",
        "_wholeLimit",
        "heard",
        "informed",
        "lastEventID",
    )

    def __init__(
        self,
        clock: IReactorTime,
        decoder: Decoder,
        silence: float | None,
        onEvent: Callable[[Event], object],
        onEnd: Callable[[Failure], None],
        onData: Callable[[bytes], object] | None = None,
    ) -> None:
        self.lastEventID = decoder.lastEventID
        self.heard = False
        self.informed = False
        self._clock = clock
        self._decoder = decoder
        self._onEvent = onEvent
        self._onData = onData
        self._onEnd = onEnd
        self._first = self._silence = silence
        self._timer: PatientCall | None = None
        self._state = _READING
        # Events that were received and not delivered yet; then the end of the body, if that was received too.
        self._queue: deque[Event] = deque()
        self._bodyEnd: Failure | None = None
        # Bytes. A whole event of up to this size needs no decoding; see `Decoder.takesWhole`.
        self._wholeLimit = 0
        self._detach: Callable[[], None] | None = None

    @property
    def state(self) -> ReaderState:
        """The current state."""
        return self._state

    @property
    def reconnectionTime(self) -> int | None:
        """Milliseconds, from the last `retry` field; `None` if there was none."""
        return self._decoder.reconnectionTime

    def read(self, response: IResponse, first: float | None = None, readPath: ReadPath | None = None) -> None:
        """
        Start reading the body of a response. Must be called once.

        Args:
            response: The response, whose body nobody has read yet.
            first: Seconds that the first byte may take. `None` applies the limit for silence.
            readPath: By default from `chooseReadPath`.
        """
        if first is not None:
            self._first = first
        if self._state is not _PAUSED:
            self._startTimer()
        response.deliverBody(self)
        if self._bodyEnd is None and self._state is not _OVER:
            self._detach = (readPath or chooseReadPath()).attach(self.transport, self.dataReceived)
        # deliverBody resumes the transport at its end, even one that was paused or aborted meanwhile.
        if self._state is _PAUSED or self._state is _OVER:
            self._transport().pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        """
        Decode bytes of the body and deliver the events in them.

        An event that arrives alone and has data only, as nearly every token does, is handed to the callback without
        the decoder and the queue. The states are assigned here as `READER_STATES` has them.
        """
        if self._state is not _READING or len(data) > self._wholeLimit or (whole := wholeEvent(data)) is None:
            self._decode(data)
            return
        if self._timer is not None:
            self._restartTimer(self._timer)
        self._state = _HANDING
        try:
            if self._onData is not None:
                self._onData(whole if whole.isascii() else whole.decode("utf-8", "replace").encode("utf-8"))
            else:
                self._onEvent(Event(whole.decode("utf-8", "replace"), DEFAULT_TYPE, self.lastEventID))
        except BaseException:
            self._end(Failure())
        finally:
            if self._state is _HANDING:
                self._state = _READING
        if self._state is not _READING:
            self._deliver()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Queue the end of the body."""
        self._leaveConnection()
        if self._state is not _OVER:
            self._stopTimer()
            self._bodyEnd = reason
            self._queued()

    def pauseProducing(self) -> None:
        """Deliver no more events and stop reading. Time spent paused does not count as silence."""
        before = self._state
        self._step(ReaderStep.PAUSE)
        if self._state is not before:
            self._stopTimer()
            if self.transport is not None:
                self._transport().pauseProducing()

    def resumeProducing(self) -> None:
        """Deliver the queued events and read on."""
        before = self._state
        self._step(ReaderStep.RESUME)
        if self._state is before:
            return
        if self._state is _READING:
            self._queued()
        if self._state is not _PAUSED and self._state is not _OVER and self.transport is not None:
            if self._bodyEnd is None and self._timer is None:
                self._startTimer()
            self._transport().resumeProducing()

    def stopProducing(self) -> None:
        """Drop the connection. No callback follows."""
        self._step(ReaderStep.END)
        self._leaveConnection()
        self._stopTimer()
        self._queue.clear()
        abortConnection(self.transport)

    def _step(self, step: ReaderStep) -> None:
        self._state = findNext(READER_STATES, self._state, step)

    def _transport(self) -> Any:
        """Return the transport of the body, which `Agent` makes an `IPushProducer` too."""
        return self.transport

    def _leaveConnection(self) -> None:
        """Detach from the connection, which may serve another response."""
        if self._detach is not None:
            self._detach()
            self._detach = None

    def _decode(self, data: bytes) -> None:
        """Decode any bytes, in any state, and queue the events in them."""
        if self._state is _OVER:
            return
        self.heard = True
        if self._timer is not None:
            self._restartTimer(self._timer)
        try:
            events = self._decoder.feed(data)
        except BaseException:
            self._end(Failure())
            return
        if self._state is _OVER:
            # A callback for comments has ended the reading.
            return
        self._queue.extend(events)
        self.informed = self.informed or bool(events)
        # The first event comes this way, so that the fast one need not note it.
        self._wholeLimit = self._decoder.takesWhole if self.informed else 0
        self._queued()

    def _queued(self) -> None:
        """Deliver the queue; if a callback runs, its caller does that when it returns."""
        before = self._state
        self._step(ReaderStep.QUEUE)
        if before is _READING or before is _PAUSED:
            self._deliver()

    def _deliver(self) -> None:
        """
        Deliver the queue until it is empty or a callback pauses the reader, then the end of the body.

        A loop, not a recursion: a callback that pauses and resumes at each event does not deepen the stack.
        """
        queue = self._queue
        try:
            while queue and self._state is _DELIVERING:
                event = queue.popleft()
                self.lastEventID = event.id or ""
                self._onEvent(event)
        except BaseException:
            self._end(Failure())
        finally:
            if self._state is not _PAUSED and self._state is not _OVER:
                self._step(ReaderStep.RETURN)
        if self._state is not _OVER and not queue:
            # A block without data has no event, but may have an ID.
            self.lastEventID = self._decoder.lastEventID
            if self._bodyEnd is not None:
                self._end(self._bodyEnd)

    def _end(self, reason: Failure) -> None:
        if self._state is not _OVER:
            self.stopProducing()
            self._onEnd(reason)

    def _startTimer(self) -> None:
        limit = self._silence if self.heard else self._first
        if limit is not None:
            self._timer = PatientCall(self._clock, limit, lambda: self._endSilent(limit))

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _restartTimer(self, timer: PatientCall) -> None:
        """Measure the silence anew. Moving a delayed call is cheaper than making one."""
        if self._silence is None:
            self._stopTimer()
        else:
            timer.reset(self._silence)

    def _endSilent(self, limit: float) -> None:
        self._timer = None
        self._end(Failure(SilenceTimeout(f"No byte was received for {limit:g} seconds.")))


def explainEnd(reason: Failure) -> Failure | None:
    """
    Explain the end of a response.

    Args:
        reason: The argument of `onEnd`.

    Returns:
        `None` for a complete body, a `ResponseTruncated` for a lost connection, and any other reason unchanged. A body
        that only the close of the connection delimits counts as complete.
    """
    if reason.check(ResponseDone, PotentialDataLoss):
        return None
    if reason.check(ResponseFailed) is None:
        return reason
    assert reason.value is not None
    error = ResponseTruncated(f"The connection was lost before the end of the response: {describeCauses(reason.value)}")
    error.__cause__ = reason.value
    return Failure(error)
