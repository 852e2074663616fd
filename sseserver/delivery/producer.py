"""
The producer of an event stream: it writes one stream log to one request.

It is the `IPushProducer` of its request, and knows the request, the log and its cursor. A new
viewer, one that returns and one that is slow all run through the same loop: read from the cursor,
write, until there is no more or the transport is full. `sseserver.service` makes one for each
viewer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.web.http import Request
from zope.interface import classImplements

from sseserver.delivery.body import MakeBody
from sseserver.delivery.connection import abort, isOver, resumeReading, stopReading
from sseserver.delivery.head import writeHeaders
from sseserver.delivery.socketoptions import tune
from sseserver.delivery.stall import StallWatch
from sseserver.delivery.states import VIEWER_STATES, ViewerState, ViewerStep
from sseserver.errors import GapError, ViewerRefused
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.settings import Settings
from sseserver.steps import findNext
from sseserver.timing.ticker import Ticker
from sseserver.values import State
from sseserver.wire import HEARTBEAT

log = Logger(__name__)

#: Bytes read from the log for one write: as many as Twisted's transports send at once
#: (`FileDescriptor.SEND_LIMIT`).
READ_BYTES = 128 * 1024

# Looked up for each token.
_LIVE = ViewerState.LIVE
_OPEN = State.OPEN


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    The parts that all event streams of a service share.

    Attributes:
        ticker: Schedules heartbeats and the looks at slow viewers.
        settings: The settings of the service; its heartbeat and its stall are used.
        makeBody: From `chooseBody`.
        onEnd: Called once with each producer when its response is over, before a finished request
            lets the next one on its connection begin.
        onFinish: Called with the transport of each response that was finished, and the bytes of its body.
    """

    ticker: Ticker
    settings: Settings
    makeBody: MakeBody
    onEnd: Callable[[EventStreamProducer], None]
    onFinish: Callable[[Any, int], None]


class EventStreamProducer:
    """
    One viewer of a stream. Its states are `ViewerState`.

    Args:
        request: A GET whose response has not begun.
        streamLog: The stream.
        form: The format of the viewer.
        delivery: The parts that it shares with the other viewers.

    Attributes:
        cursor: Number of the last entry read.
        reason: The reason for the end of the response, one word for the log; empty before.
        request: The request.
        streamLog: The stream.
    """

    __slots__ = (
        "_behind",
        "_body",
        "_delivery",
        "_form",
        "_quietSince",
        "_refused",
        "_rendering",
        "_state",
        "_watch",
        "cursor",
        "reason",
        "request",
        "streamLog",
    )

    def __init__(self, request: Request, streamLog: IStreamLog, form: IFormat, delivery: Delivery) -> None:
        self.cursor = 0
        self.reason = ""
        self.request = request
        self.streamLog = streamLog
        self._form = form
        self._rendering: IRendering
        self._delivery = delivery
        self._state = ViewerState.NEW
        self._behind = True
        # Whether the format has refused to serve the rest of the stream.
        self._refused = False
        self._body = delivery.makeBody(request)
        self._watch: StallWatch | None = None
        # The time of the last write.
        self._quietSince = 0.0

    @property
    def written(self) -> int:
        """Bytes of the body so far."""
        return self._body.written

    @property
    def isPaused(self) -> bool:
        """Whether the transport is full."""
        return self._state is ViewerState.PAUSED

    def start(self, lastEventID: str | None, retry: int, url: str, fromNow: bool = False) -> None:
        """
        Begin the response and follow the log.

        Args:
            lastEventID: The last event ID that the viewer has sent; `None` for a new viewer.
            retry: Milliseconds. Its reconnection time.
            url: The URL of the stream.
            fromNow: Whether a new viewer starts at the end instead of at the first entry that is
                kept.
        """
        request = self.request
        # A `FastRequest` stops its producer at each end of the response, and saves the Deferred.
        if not getattr(request, "stopsProducer", False):
            request.notifyFinish().addBoth(self._loseClient)
        writeHeaders(request, self._form)
        self._step(ViewerStep.START)
        # Before the first write: under TLS a producer that is registered later is never paused.
        request.registerProducer(self, True)
        if isOver(request) or self._state is ViewerState.ENDED:
            self._end("left")
            return
        tune(request.transport)
        settings = self._delivery.settings
        self._watch = StallWatch(self, self._delivery.ticker, settings.stall)
        self._watch.start(min(settings.heartbeat, settings.stall))
        # Registered before the first read, so that no entry is missed between the two.
        self._rendering = self.streamLog.follow(self, self._form)
        gap = self._locate(lastEventID, fromNow)
        self._write(gap + self._rendering.head(self.cursor, retry, url))
        # A viewer that starts at the end reads nothing, and yet a paused run may go on for it.
        if self.streamLog.onChange is not None:
            self.streamLog.onChange()
        self.wake()

    def wake(self) -> None:
        """Write the entries after the cursor, as far as the transport takes them."""
        try:
            # One function without calls of its own: every token of every viewer comes through here.
            while self._state is _LIVE:
                try:
                    reading = self._rendering.read(self.cursor, READ_BYTES, self._behind)
                    cursor, frames = reading.cursor, reading.data
                except GapError as gap:
                    asked = f"{self.streamLog.epoch}-{self.cursor}"
                    cursor, frames = gap.cursor, self._rendering.gap(asked, gap)
                except ViewerRefused as refusal:
                    self._refuse(refusal.events)
                    return
                if cursor == self.cursor:
                    self._behind = False
                    if self._rendering.complete(cursor):
                        self.finish("complete")
                    return
                self.cursor = cursor
                streamLog = self.streamLog
                if streamLog.state is not _OPEN and self._rendering.complete(cursor):
                    # The last entries leave with the end of the response.
                    self._body.cork()
                if frames:
                    # The time of the wake-up: the log has read the clock already.
                    self._quietSince = max(self._quietSince, streamLog.announced)
                    self._body.write(frames)
                if streamLog.onChange is not None:
                    streamLog.onChange()
                if cursor == streamLog.last and streamLog.state is _OPEN:
                    self._behind = False
                    return
        except BaseException:
            log.failure("An event stream failed")
            self.abort("broken")

    def pauseProducing(self) -> None:
        """
        Stop writing: the transport is full. May be called repeatedly, and inside a write.
        """
        before = self._state
        self._step(ViewerStep.PAUSE)
        if before is ViewerState.LIVE:
            if self._watch is not None:
                self._watch.noteFull()
            stopReading(self.request)

    def resumeProducing(self) -> None:
        """Continue: the transport is empty. Entries that came meanwhile are joined."""
        before = self._state
        self._step(ViewerStep.RESUME)
        if before is ViewerState.PAUSED:
            self._behind = True
            resumeReading(self.request)
            self._quietSince = self._delivery.ticker.seconds()
            if self._refused:
                self.finish("refused")
            self.wake()

    def stopProducing(self) -> None:
        """End the viewer: the connection is lost."""
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

    def retire(self, retry: int) -> None:
        """
        End the response of an open stream, and tell the viewer to return later.

        Args:
            retry: Milliseconds until then.
        """
        if self._state is not ViewerState.ENDED:
            # A full transport may still hold the end of the stream, after which nothing follows.
            if not self._refused and not self._rendering.complete(self.cursor):
                self._write(self._rendering.retire(retry))
            self.finish("retired")

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
        """See `Watched.beat`. A heartbeat also shows whether a silent peer is gone."""
        heartbeat = self._delivery.settings.heartbeat
        if self._state is not ViewerState.LIVE:
            return now + heartbeat
        if now - self._quietSince >= heartbeat:
            self._write(HEARTBEAT)
        return self._quietSince + heartbeat

    def _step(self, step: ViewerStep) -> None:
        self._state = findNext(VIEWER_STATES, self._state, step)

    def _locate(self, lastEventID: str | None, fromNow: bool) -> bytes:
        """Set the cursor; return the frames that tell of a gap, if there is one."""
        if lastEventID is None:
            self.cursor = self._rendering.start(fromNow)
            return b""
        try:
            self.cursor = self.streamLog.locate(lastEventID)
        except GapError as gap:
            self.cursor = gap.cursor
            return self._rendering.gap(lastEventID, gap)
        return b""

    def _refuse(self, events: bytes) -> None:
        """
        Send the last events that the format has for this viewer, and finish once the transport has taken them.

        The viewer leaves the log first: it reads no further, so a run does not count on it.
        """
        self._refused = True
        self.streamLog.leave(self)
        self._body.cork()
        self._write(events)
        if self._state is _LIVE:
            self.finish("refused")

    def _write(self, data: bytes) -> None:
        self._quietSince = self._delivery.ticker.seconds()
        self._body.write(data)

    def _loseClient(self, result: Any) -> None:
        """End the viewer: its request has ended, on any transport."""
        self._end("left")
        # Twisted's request keeps the producer of a lost response, and each would keep the other.
        self.request.producer = None

    def _end(self, reason: str) -> None:
        """Release everything, once."""
        if self._state is ViewerState.ENDED:
            return
        self._step(ViewerStep.END)
        self.reason = reason
        self._body.close()
        self.streamLog.leave(self)
        if self._watch is not None:
            self._watch.stop()
        self._delivery.onEnd(self)


classImplements(EventStreamProducer, IPushProducer)
