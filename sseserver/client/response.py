"""
Makes events of one response, as fast as they are taken, and says how it ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.iweb import IResponse
from zope.interface import implementer

from sseserver.client.request import SilenceTimeout, abort
from sseserver.speedups.shortcut import install
from sseserver.wire import DEFAULT_TYPE, Decoder, Event, wholeEvent


@implementer(IPushProducer)
class Reader(Protocol):
    """
    Makes events of one response.

    It can be paused: then the connection is read no further, and the events
    of what has come already (at most what the transport reads at once) wait.
    The end of the response waits behind them.

    Args:
        clock: Measures the silence.
        decoder: A new one, with the last event ID.
        onEvent: Called with each event. What it raises ends the reading.
        onEnd: Called once, when it is over: with twisted.web's reason for the
            end of a body, a L{SilenceTimeout}, an L{EventTooLarge}, or what
            C{onEvent} raised. Not called after L{stop}.
        first: Seconds that the first byte may take; C{None}: as C{silence}.
        silence: Seconds that may pass without any byte; C{None}: any number.
        onData: Called instead of C{onEvent}, where an event has nothing but
            its data, with these in UTF-8; so most events come, and cost less.

    Attributes:
        lastEventID: Of the last event that was given out, or, when none
            waits, of the last block.
        heard: Whether any byte has come.
    """

    __slots__ = (
        "_bodyEnd",
        "_clock",
        "_decoder",
        "_first",
        "_giving",
        "_onData",
        "_onEnd",
        "_onEvent",
        "_over",
        "_paused",
        "_removeShortcut",
        "_silence",
        "_straight",
        "_timer",
        "_waiting",
        "heard",
        "lastEventID",
    )

    def __init__(
        self,
        clock: IReactorTime,
        decoder: Decoder,
        onEvent: Callable[[Event], object],
        onEnd: Callable[[Failure], None],
        first: float | None,
        silence: float | None,
        onData: Callable[[bytes], object] | None = None,
    ) -> None:
        self.lastEventID = decoder.lastEventID
        self.heard = False
        self._clock = clock
        self._decoder = decoder
        self._onEvent = onEvent
        self._onData = onData
        self._onEnd = onEnd
        self._first = silence if first is None else first
        self._silence = silence
        self._timer: IDelayedCall | None = None
        # Events that have come and are not given out; the body's end, when it waits behind them.
        self._waiting: deque[Event] = deque()
        self._bodyEnd: Failure | None = None
        self._paused = False
        self._giving = False
        self._over = False
        # The size up to which a whole event can go straight to who takes it, past the decoder and those that wait.
        self._straight = 0
        self._removeShortcut: Callable[[], None] | None = None

    @property
    def reconnectionTime(self) -> int | None:
        """Milliseconds, as the stream said it; C{None} when it did not."""
        return self._decoder.reconnectionTime

    def read(self, response: IResponse) -> None:
        """Begin."""
        if not self._paused:
            self._startTimer()
        response.deliverBody(self)
        if self._bodyEnd is None and not self._over:
            self._removeShortcut = install(self.transport, self.dataReceived)
        # deliverBody lets the transport read in the end, also one that was paused or aborted meanwhile.
        if self._paused or self._over:
            self._transport().pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        """Decode, and give the events out."""
        if len(data) > self._straight or self._giving or (whole := wholeEvent(data)) is None:
            self._decode(data)
            return
        if self._timer is not None:
            self._heardInTime(self._timer)
        # What L{_decode} would do: nearly every event of a slow stream comes by here.
        self._giving = True
        try:
            if self._onData is not None:
                self._onData(whole if whole.isascii() else whole.decode("utf-8", "replace").encode("utf-8"))
            else:
                self._onEvent(Event(whole.decode("utf-8", "replace"), DEFAULT_TYPE, self.lastEventID))
        except Exception:
            self._end(Failure())
        finally:
            self._giving = False
        if not self._straight:
            self._give()

    def _decode(self, data: bytes) -> None:
        """Take any bytes, at any time."""
        if self._over:
            return
        self.heard = True
        self._straight = 0
        if self._timer is not None:
            self._heardInTime(self._timer)
        try:
            self._waiting.extend(self._decoder.feed(data))
        except Exception:
            self._end(Failure())
            return
        self._give()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body ends here, for a good or a bad reason."""
        self._takeTheLongWay()
        self._straight = 0
        if not self._over:
            self._stopTimer()
            self._bodyEnd = reason
            self._give()

    def pauseProducing(self) -> None:
        """Give out no more events, and read no further."""
        if not self._over and not self._paused:
            self._paused = True
            self._straight = 0
            # Nobody listens, so nothing can be heard.
            self._stopTimer()
            if self.transport is not None:
                self._transport().pauseProducing()

    def resumeProducing(self) -> None:
        """Go on."""
        if self._over or not self._paused:
            return
        self._paused = False
        self._give()
        if not self._over and not self._paused and self.transport is not None:
            if self._bodyEnd is None and self._timer is None:
                self._startTimer()
            self._transport().resumeProducing()

    def stopProducing(self) -> None:
        """Drop the connection, and say no more."""
        self._over = True
        self._straight = 0
        self._takeTheLongWay()
        self._stopTimer()
        self._waiting.clear()
        abort(self.transport)

    def _takeTheLongWay(self) -> None:
        """The connection may serve another response, or none."""
        if self._removeShortcut is not None:
            self._removeShortcut()
            self._removeShortcut = None

    def _transport(self) -> Any:
        """Give the proxy that twisted.web reads a body through; it provides more than an C{ITransport}."""
        return self.transport

    def _give(self) -> None:
        """
        Give out the events that wait, unless paused, and the end behind them.

        Does nothing inside itself: who pauses and resumes at each event must
        not go one level deeper each time.
        """
        if self._giving:
            return
        waiting, onEvent = self._waiting, self._onEvent
        self._giving = True
        try:
            while waiting and not self._paused:
                event = waiting.popleft()
                self.lastEventID = event.id or ""
                onEvent(event)
        except Exception:
            self._end(Failure())
        finally:
            self._giving = False
        if not self._over and not waiting:
            # Blocks without data count as well.
            self.lastEventID = self._decoder.lastEventID
            if self._bodyEnd is not None:
                self._end(self._bodyEnd)
            elif not self._paused:
                self._straight = self._decoder.takesWhole

    def _end(self, reason: Failure) -> None:
        if not self._over:
            self.stopProducing()
            self._onEnd(reason)

    def _startTimer(self) -> None:
        limit = self._silence if self.heard else self._first
        if limit is not None:
            self._timer = self._clock.callLater(limit, self._silent, limit)

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _heardInTime(self, timer: IDelayedCall) -> None:
        """Begin to measure anew; moving a delayed call costs less than making one."""
        if self._silence is None:
            self._stopTimer()
        else:
            timer.reset(self._silence)

    def _silent(self, limit: float) -> None:
        self._timer = None
        self._end(Failure(SilenceTimeout(f"Nothing came for {limit:g} seconds.")))
