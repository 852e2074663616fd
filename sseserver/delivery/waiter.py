"""
A viewer that waits: its response has not begun, and nothing is written to it yet.

A completion in one piece waits for the end of its stream; a streamed one holds its head until the
first entry. Both keep their run from lingering, as every viewer does. `Viewers.wait` makes a `Waiter` for each.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from twisted.web.http import Request

from sseserver.delivery.connection import abort
from sseserver.errors import SSEServerError, StoreUnavailable
from sseserver.interfaces import ANYONE, IFormat, IStreamLog
from sseserver.timing.ticker import Tick, Ticker

#: Reads the entries after a cursor; returns the new cursor, and whether the wait is over. It may leave entries for
#: another turn of the reactor.
Reader = Callable[[int], tuple[int, bool]]


class Waiter:
    """
    One viewer that waits for entries of a stream.

    Args:
        request: Its response has not begun.
        streamLog: The stream.
        ticker: Schedules the end of the wait.
        read: Called with the cursor when there are new entries. An exception ends the wait.
        cursor: Number of the last entry read.
        onEnd: Called once with this viewer at the end of the wait, and with its result: true if
            `read` has seen enough, false if the time is up or the client is gone, or the failure of
            `read`. It must fire `over` and let the viewer leave the log.

    Attributes:
        cursor: Number of the last entry read.
        over: Fires at the end of the wait.
        principal: The client.
        request: The request.
        streamLog: The stream.
    """

    __slots__ = ("_next", "_onEnd", "_read", "_tick", "_ticker", "cursor", "over", "principal", "request", "streamLog")

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
        self.principal = ANYONE
        self.request = request
        self._ticker = ticker
        self._read = read
        self._onEnd: Callable[[Waiter, bool | Failure], None] | None = onEnd
        self._tick: Tick | None = None
        # The next read, if the last one has left entries for another turn of the reactor.
        self._next: IDelayedCall | None = None

    def start(self, form: IFormat, limit: float | None) -> None:
        """
        Follow the log.

        Args:
            form: The format of the response that follows.
            limit: Seconds to wait; `None` for no limit.
        """
        self.request.notifyFinish().addBoth(self._loseClient)
        if limit is not None:
            self._tick = self._ticker.at(self._ticker.seconds() + limit, self._expire)
        self.streamLog.follow(self, form)
        # A run may be paused until a viewer reads.
        self.wake()

    def wake(self) -> None:
        """See `Viewer.wake`."""
        if self._onEnd is None or self._next is not None:
            return
        try:
            self.cursor, over = self._read(self.cursor)
        except BaseException:
            self._end(Failure())
            return
        if self.streamLog.onChange is not None:
            self.streamLog.onChange()
        if over:
            self._end(True)
        elif self.cursor < self.streamLog.last and self._onEnd is not None:
            self._next = self._ticker.clock.callLater(0, self._continue)

    def dismiss(self) -> None:
        """See `Viewer.dismiss`."""
        self.refuse(StoreUnavailable("Entries of this stream were lost; retry."))

    def _continue(self) -> None:
        """Read on."""
        self._next = None
        self.wake()

    def abort(self, reason: str) -> None:
        """
        Close the connection at once.

        Args:
            reason: Not used: the response has not begun, so there is nothing to log.
        """
        abort(self.request)
        self._end(False)

    def refuse(self, error: SSEServerError) -> None:
        """End the wait with an error."""
        self._end(Failure(error))

    def _expire(self, now: float) -> None:
        self._tick = None
        self._end(False)

    def _loseClient(self, result: object) -> None:
        """End the wait: the client has closed the connection."""
        self._end(False)

    def _end(self, result: bool | Failure) -> None:
        onEnd, self._onEnd = self._onEnd, None
        if onEnd is None:
            return
        if self._tick is not None:
            self._ticker.cancel(self._tick)
        if self._next is not None:
            self._next.cancel()
            self._next = None
        onEnd(self, result)
