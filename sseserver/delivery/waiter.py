"""
Waiter: a viewer whose response has not begun, and which is written nothing yet.

A completion in one piece waits for the end of its stream, the head of a
streamed one for the first entry. Both hold the run's linger, as every viewer does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import Request

from sseserver.interfaces import IFormat, IStreamLog
from sseserver.timing.ticker import Tick, Ticker

#: Reads what follows a cursor; gives the new one, and whether what was waited for is there.
Reader = Callable[[int], tuple[int, bool]]


class Waiter:
    """
    One viewer that waits.

    Args:
        request: Its response has not begun.
        streamLog: What is followed.
        ticker: Tells when it has waited long enough.
        read: Called with the cursor when there is more; gives the new cursor,
            and whether that is what was waited for. What it raises ends it.
        cursor: Where it is.
        onEnd: Called once with this viewer when it waits no longer, and with
            true when what was waited for is there, false when it never came
            or the client is gone, or the failure. Whoever is called fires
            L{over} and lets it leave the log.

    Attributes:
        cursor: Number of the last entry read.
        over: Fires when it waits no longer.
    """

    __slots__ = ("_onEnd", "_read", "_request", "_tick", "_ticker", "cursor", "over", "streamLog")

    def __init__(
        self,
        request: Request,
        streamLog: IStreamLog,
        ticker: Ticker,
        read: Reader,
        cursor: int,
        onEnd: Callable[[Waiter, bool | Failure], None],
    ) -> None:
        self.cursor = cursor
        self.streamLog = streamLog
        self.over: Deferred[bool] = Deferred()
        self._request = request
        self._ticker = ticker
        self._read = read
        self._onEnd: Callable[[Waiter, bool | Failure], None] | None = onEnd
        self._tick: Tick | None = None

    def start(self, form: IFormat, limit: float | None) -> None:
        """
        Follow the log.

        Args:
            form: What the response will be written in.
            limit: Seconds to wait; C{None} is as long as it takes.
        """
        self._request.notifyFinish().addBoth(self._gone)
        if limit is not None:
            self._tick = self._ticker.at(self._ticker.seconds() + limit, self._late)
        self.streamLog.follow(self, form)
        # The run may have waited for somebody who reads.
        self.wake()

    def wake(self) -> None:
        """See L{Viewer.wake}."""
        if self._onEnd is None:
            return
        try:
            self.cursor, over = self._read(self.cursor)
        except Exception:
            self._end(Failure())
            return
        if self.streamLog.onRead is not None:
            self.streamLog.onRead()
        if over:
            self._end(True)

    def abort(self, reason: str) -> None:
        """Cut the connection: the server can wait no longer."""
        transport: Any = self._request.transport
        if transport is None:
            self._request.loseConnection()
        else:
            transport.abortConnection()
        self._end(False)

    def _late(self, now: float) -> None:
        self._tick = None
        self._end(False)

    def _gone(self, result: object) -> None:
        """The request is over: the client has closed the connection."""
        self._end(False)

    def _end(self, result: bool | Failure) -> None:
        onEnd, self._onEnd = self._onEnd, None
        if onEnd is None:
            return
        if self._tick is not None:
            self._ticker.cancel(self._tick)
        onEnd(self, result)
