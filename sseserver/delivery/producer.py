"""
EventStreamProducer: writes one stream log to one request.

It is the L{IPushProducer} of its request, and all that it knows is the
request, the log, and its cursor. A viewer that comes back, one that starts and
one that is slow all run through the same loop: read from the cursor, write,
until there is no more or the transport is full.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from random import uniform
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.web.http import Request
from zope.interface import classImplements

from sseserver.delivery.sockets import isOver, slim, taken, tune
from sseserver.errors import GapError
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.settings import Settings
from sseserver.speedups.body import Body, Outbox
from sseserver.timing.ticker import Tick, Ticker
from sseserver.values import State
from sseserver.wire import HEARTBEAT

log = Logger()

#: Bytes read from the log for one write: what Twisted's transports send at once (FileDescriptor.SEND_LIMIT).
READ_BYTES = 128 * 1024

#: Headers of every event stream. `no-transform` keeps compressing proxies away,
#: which would hold tokens back; `X-Accel-Buffering` says the same to nginx.
HEADERS = (
    (b"Content-Type", b"text/event-stream"),
    (b"Cache-Control", b"no-cache, no-store, no-transform"),
    (b"X-Accel-Buffering", b"no"),
    (b"X-Content-Type-Options", b"nosniff"),
)


def jittered(reconnectionTime: int) -> int:
    """
    Spread a reconnection time by a third both ways, so that viewers who were
    cut together do not come back together.

    Args:
        reconnectionTime: In milliseconds; so is what is returned.
    """
    return max(1, round(reconnectionTime * uniform(2 / 3, 4 / 3)))


def writeHeaders(request: Request, form: IFormat) -> None:
    """Set the headers of an event stream in a format on a response that has not begun."""
    for name, value in (*HEADERS, *form.headers):
        request.responseHeaders.setRawHeaders(name, [value])


class _State(Enum):
    """Where a response is."""

    NEW = "new"
    LIVE = "live"  # writes what comes
    PAUSED = "paused"  # the transport is full: writes nothing, keeps its cursor
    ENDED = "ended"  # the request is finished or gone: touches it no more


_LIVE = _State.LIVE
_OPEN = State.OPEN


class EventStreamProducer:
    """
    One viewer.

    Args:
        request: A GET whose response has not begun.
        streamLog: What is followed.
        form: The format that the viewer wants.
        ticker: Where heartbeats come from.
        settings: The service's: its heartbeat and its stall.
        outbox: Where small writes wait for the end of the reactor's turn.
        onEnd: Called once with this producer when the response is over,
            before a finished request lets the next one on its connection begin.

    Attributes:
        cursor: Number of the last entry read.
        reason: Why the response ended, one word for the log.
    """

    __slots__ = (
        "_beat",
        "_behind",
        "_body",
        "_form",
        "_onEnd",
        "_quietSince",
        "_rendering",
        "_request",
        "_settings",
        "_state",
        "_taken",
        "_takenAt",
        "_ticker",
        "cursor",
        "reason",
        "streamLog",
    )

    def __init__(
        self,
        request: Request,
        streamLog: IStreamLog,
        form: IFormat,
        ticker: Ticker,
        settings: Settings,
        outbox: Outbox,
        onEnd: Callable[[EventStreamProducer], None],
    ) -> None:
        self.cursor = 0
        self.reason = ""
        self._request = request
        self.streamLog = streamLog
        self._form = form
        self._rendering: IRendering
        self._ticker = ticker
        self._settings = settings
        self._onEnd = onEnd
        self._state = _State.NEW
        self._behind = True
        self._body = Body(request, outbox)
        self._beat: Tick | None = None
        self._quietSince = 0.0
        # What the viewer had taken when it was looked at last, and when that changed last.
        self._taken: object = None
        self._takenAt = 0.0

    @property
    def written(self) -> int:
        """Bytes of body written so far."""
        return self._body.written

    def start(self, lastEventID: str | None, retry: int, url: str, fromNow: bool = False) -> None:
        """
        Begin the response and follow the log.

        Args:
            lastEventID: What the viewer sent; `None` for a new viewer.
            retry: Its reconnection time in milliseconds.
            url: The stream's own URL.
            fromNow: Whether a new viewer starts at the end, instead of at the first entry kept.
        """
        request = self._request
        if not getattr(request, "stopsProducer", False):
            request.notifyFinish().addBoth(self._gone)
        writeHeaders(request, self._form)
        self._state = _LIVE
        # Before the first write: under TLS a producer that comes later is never paused.
        request.registerProducer(self, True)
        if isOver(request) or self._state is _State.ENDED:
            self._end("left")
            return
        tune(request.transport)
        interval = min(self._settings.heartbeat, self._settings.stall)
        self._beat = self._ticker.at(self._ticker.seconds() + interval, self._sweep)
        # First registered for wake-ups, then read: what comes in between is seen.
        self._rendering = self.streamLog.follow(self, self._form)
        gap = self._locate(lastEventID, fromNow)
        self._write(gap + self._rendering.head(self.cursor, retry, url))
        if not self.reason:
            slim(request)
        self.wake()

    def wake(self) -> None:
        """There is more after the cursor: write it, as far as the transport takes it."""
        try:
            # In one function, since every token of every viewer comes through here.
            while self._state is _LIVE:
                try:
                    cursor, frames = self._rendering.read(self.cursor, READ_BYTES, self._behind)
                except GapError as gap:
                    asked = f"{self.streamLog.epoch}-{self.cursor}"
                    cursor, frames = gap.cursor, self._rendering.gap(asked, gap)
                if cursor == self.cursor:
                    self._behind = False
                    if self._rendering.complete(cursor):
                        self.finish("complete")
                    return
                self.cursor = cursor
                streamLog = self.streamLog
                if streamLog.state is not _OPEN and self._rendering.complete(cursor):
                    # What is last goes out with the end of the response.
                    self._body.hold()
                if frames:
                    # When the viewers were woken: the clock was read there already.
                    self._quietSince = max(self._quietSince, streamLog.announced)
                    self._body.write(frames)
                if streamLog.onRead is not None:
                    streamLog.onRead()
                if cursor == streamLog.last and streamLog.state is _OPEN:
                    self._behind = False
                    return
        except Exception:
            log.failure("An event stream broke")
            self.abort("broken")

    def pauseProducing(self) -> None:
        """The transport is full. May be called again and again, and from inside a write."""
        if self._state is _State.LIVE:
            self._state = _State.PAUSED
            self._takenAt = self._ticker.seconds()
            self._taken = taken(self._request.transport, self.written)
            # Else the channel reads without limit what the client sends meanwhile: twisted.web itself pauses only
            # between requests.
            self._setReading(False)

    def resumeProducing(self) -> None:
        """The transport is empty: what waits is read joined."""
        if self._state is _State.PAUSED:
            self._state = _State.LIVE
            self._behind = True
            self._setReading(True)
            self._quietSince = self._ticker.seconds()
            self.wake()

    def stopProducing(self) -> None:
        """The connection is lost; one of two ways to learn of it."""
        self._end("left")

    def finish(self, reason: str) -> None:
        """End the response in good order."""
        if self._state is not _State.ENDED:
            request = self._request
            self._end(reason)
            # Whoever was told of the end may have closed the connection.
            if not isOver(request):
                request.unregisterProducer()
                request.finish()

    def retire(self, retry: int) -> None:
        """
        End the response of a stream that goes on: the viewer comes back later.

        Args:
            retry: When, in milliseconds.
        """
        if self._state is not _State.ENDED:
            self._write(self._rendering.retire(retry))
            self.finish("retired")

    def abort(self, reason: str) -> None:
        """End the response at once, whatever is still to be sent."""
        if self._state is not _State.ENDED:
            transport: Any = self._request.transport
            self._end(reason)
            if transport is None:
                self._request.loseConnection()
            else:
                transport.abortConnection()

    def _setReading(self, reading: bool) -> None:
        """Go on reading from the connection, or stop it."""
        transport: Any = self._request.transport
        # HTTP/2 has no transport of the request's own: there a window for each stream bounds what comes.
        if transport is not None:
            (transport.resumeProducing if reading else transport.pauseProducing)()

    def _locate(self, lastEventID: str | None, fromNow: bool) -> bytes:
        """Set the cursor; give the frames that tell of a gap, if there is one."""
        if lastEventID is None:
            self.cursor = self._rendering.start(fromNow)
            return b""
        try:
            self.cursor = self.streamLog.locate(lastEventID)
        except GapError as gap:
            self.cursor = gap.cursor
            return self._rendering.gap(lastEventID, gap)
        return b""

    def _write(self, data: bytes) -> None:
        self._quietSince = self._ticker.seconds()
        self._body.write(data)

    def _sweep(self, now: float) -> float:
        """
        Write a heartbeat when it is due, which also shows whether a silent
        peer is gone. Cut a viewer that takes nothing.
        """
        heartbeat, stall = self._settings.heartbeat, self._settings.stall
        has = taken(self._request.transport, self.written)
        # While it is paused there is something, also where nobody can tell what.
        idle = has is None and self._state is _State.LIVE
        if idle or has != self._taken:
            self._taken = has
            self._takenAt = now
        elif now - self._takenAt >= stall:
            self.abort("stalled")
            return now
        due = now + heartbeat
        if self._state is _State.LIVE:
            if now - self._quietSince >= heartbeat:
                self._write(HEARTBEAT)
            due = self._quietSince + heartbeat
        return min(due, now + (stall if idle else stall / 4))

    def _gone(self, result: Any) -> None:
        """The request is over; the other way to learn of it, and the only one that all transports have."""
        self._end("left")

    def _end(self, reason: str) -> None:
        """Let go of everything, once, whichever way the response ended."""
        if self._state is _State.ENDED:
            return
        self._state = _State.ENDED
        self.reason = reason
        self._body.close()
        self.streamLog.leave(self)
        if self._beat is not None:
            self._ticker.cancel(self._beat)
        self._onEnd(self)


classImplements(EventStreamProducer, IPushProducer)
