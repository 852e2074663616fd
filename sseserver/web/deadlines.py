"""
Deadlines of requests: the time in which a client must have sent a head, a body, and its next request.

Twisted has one limit, which each byte extends: a client that sends one now and then keeps its connection for ever.

Both kinds of channels of `sseserver.web.site` derive from `RequestDeadlines`.
"""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from sseserver.errors import RequestTimeout
from sseserver.speedups.privates import hasInput
from sseserver.steps import StateEnum
from sseserver.timing.ticker import IDLE, Tick, Ticker
from sseserver.web.heads import MAX_HEAD, HeadChecks

#: Seconds. Time for the head of a request, from the connection or from its first byte.
HEAD_TIMEOUT = 10.0

#: Seconds. Time for the body of a request, and the bytes for which the client has a second more.
BODY_TIMEOUT = 30.0
BODY_RATE = 16 * 1024

#: Seconds. For sites without an idle limit.
_NEVER = 1_000_000_000


class Phase(StateEnum):
    """The use of a connection."""

    #: It waits for a request, or for the rest of its head.
    WAITING = "waiting"
    #: It receives the body of a request.
    RECEIVING = "receiving"
    #: It has a complete request.
    ANSWERING = "answering"


_WAITING = Phase.WAITING
_RECEIVING = Phase.RECEIVING
_ANSWERING = Phase.ANSWERING


class Deadline(Tick):
    """
    The deadline of one connection.

    Most deadlines are moved before they are over. A later one only changes `due`; the tick finds out.

    Args:
        channel: Its `timeoutConnection` is called when the deadline is over.
        ticker: Its time stands still while the process is paused.

    Attributes:
        due: Seconds on the ticker's clock; infinite while there is no deadline.
        phase: The part of a request that is limited, `WAITING` for its head; `None` between two requests.
        headBytes: Bytes of the head so far, if it is read line by line.
    """

    __slots__ = ("_at", "_channel", "_ticker", "due", "headBytes", "phase")

    def __init__(self, channel: RequestDeadlines, ticker: Ticker) -> None:
        self.slot = IDLE
        self.due = inf
        self.phase: Phase | None = None
        self.headBytes = 0
        self._channel: RequestDeadlines | None = channel
        self._ticker = ticker
        # The time for which the tick waits.
        self._at = inf

    def begin(self, seconds: float, phase: Phase | None) -> None:
        """
        Begin a deadline.

        Args:
            seconds: Time from now on.
            phase: See the attribute.
        """
        due = self._ticker.seconds() + seconds
        if self.slot != IDLE and due < self._at:
            self._ticker.cancel(self)
        if self.slot == IDLE:
            self._at = due
            self._ticker.put(self, due)
        self.due = due
        self.phase = phase

    def stop(self) -> None:
        """Drop the deadline: the connection is closed."""
        self._ticker.cancel(self)
        self._channel = None

    def fire(self, now: float) -> float | None:
        """See `Tick.fire`."""
        channel = self._channel
        if now < self.due < inf:
            self._at = self.due
            return self.due
        if channel is not None:
            # A response can take hours: the connection gets a new one for its next request.
            channel.deadline = None
            if self.due < inf:
                channel.timeoutConnection()
        return None


class RequestDeadlines(HeadChecks):
    """
    A channel whose client has a limited time for each part of a request.

    Attributes:
        deadline: The present deadline; `None` during a long response.
        phase: What the connection does.
    """

    __slots__ = ()

    transport: Any
    site: Any
    deadline: Deadline | None
    phase: Phase

    def connectionMade(self) -> None:
        """See `HTTPChannel.connectionMade`."""
        idle, self.timeOut = self.timeOut or _NEVER, HEAD_TIMEOUT  # type: ignore[assignment]
        # Calls `setTimeout`, which begins the deadline.
        super().connectionMade()
        self.timeOut = idle
        if self.deadline is not None:
            self.deadline.phase = _WAITING

    def awaitHead(self) -> None:
        """Wait for the first request. The bytes that are there are read at once: see `beginHead`."""
        self.timeOut = self.timeOut or _NEVER
        self.phase = _WAITING

    def beginHead(self) -> None:
        """Begin the deadline of the first request, if there is none and the request is still to be read."""
        if self.deadline is None and self.phase is _WAITING:
            self._begin(HEAD_TIMEOUT, _WAITING)
            self.site.connections.waiting[self] = None

    def dataReceived(self, data: bytes) -> None:
        """See `HTTPChannel.dataReceived`."""
        super().dataReceived(data)
        phase = self.phase
        if phase is _WAITING:
            # Whatever is left is the beginning of a head.
            if (self.requests or hasInput(self)) and self.deadline is not None and self.deadline.phase is None:
                self._begin(HEAD_TIMEOUT, _WAITING)
        elif phase is _RECEIVING:
            if self.deadline is None or self.deadline.phase is not _RECEIVING:
                self._begin(BODY_TIMEOUT, _RECEIVING)
            else:
                self.deadline.due += len(data) / BODY_RATE

    def lineReceived(self, line: bytes) -> Any:
        """See `HTTPChannel.lineReceived`."""
        if self.deadline is not None:
            self.deadline.headBytes += len(line) + 2
            if self.deadline.headBytes > MAX_HEAD:
                return self.lineLengthExceeded(line)
        return super().lineReceived(line)

    def allHeadersReceived(self) -> None:
        """See `HTTPChannel.allHeadersReceived`."""
        self.phase = _RECEIVING
        super().allHeadersReceived()

    def setTimeout(self, period: float | None) -> float | None:
        """See `TimeoutMixin.setTimeout`: a request is complete (`None`), or the next one may come within a period."""
        before, self.timeOut = self.timeOut, period  # type: ignore[assignment]
        if period is None:
            self.phase = _ANSWERING
            if self.deadline is not None:
                self.deadline.due = inf
            self.site.connections.waiting.pop(self, None)
        else:
            self.phase = _WAITING
            self._begin(period, None)
            waiting = self.site.connections.waiting
            waiting.pop(self, None)
            waiting[self] = None
        return before

    def resetTimeout(self) -> None:
        """See `TimeoutMixin.resetTimeout`: bytes alone extend no deadline."""

    def timeoutConnection(self) -> None:
        """See `HTTPChannel.timeoutConnection`: close the connection. A client that has begun a request is told why."""
        if self.phase is _WAITING and not self.requests and not hasInput(self):
            super().timeoutConnection()
            return
        part = "body" if self.phase is _RECEIVING else "head"
        self.refuse(RequestTimeout(f"The {part} of the request did not arrive in time."))
        self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `HTTPChannel.connectionLost`."""
        super().connectionLost(reason)
        self.site.connections.remove(self)
        if self.deadline is not None:
            self.deadline.stop()
            self.deadline = None

    def _begin(self, seconds: float, phase: Phase | None) -> None:
        """Begin a deadline."""
        deadline = self.deadline
        if deadline is None:
            deadline = self.deadline = Deadline(self, self.site.ticker)
        if phase is None:
            deadline.headBytes = 0
        deadline.begin(seconds, phase)
