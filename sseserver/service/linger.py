"""
Linger: the time that a run continues without viewers.

Each `Run` has one, and is cancelled when the time is over.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IStreamLog
from sseserver.timing.ticker import IDLE, Tick, Ticker

#: Seconds. Shortest time between two questions whether another process follows a run.
AGAIN = 5.0


class Linger(Tick):
    """
    The linger of one run.

    Args:
        streamLog: The run's stream, which counts its viewers.
        sweep: Ticker of the deadline.
        onOver: Called when the time is over and the stream has no viewers.
        isFollowed: Tells whether another process follows the stream; `None` if there are no others.
    """

    __slots__ = ("_asking", "_isFollowed", "_onOver", "_seconds", "_streamLog", "_sweep")

    def __init__(
        self,
        streamLog: IStreamLog,
        sweep: Ticker,
        onOver: Callable[[], None],
        isFollowed: Callable[[str], Deferred[bool]] | None = None,
    ) -> None:
        self.slot = IDLE
        self._streamLog = streamLog
        self._sweep = sweep
        self._onOver = onOver
        self._isFollowed = isFollowed
        self._asking: Deferred[None] | None = None
        self._seconds = 0.0

    def begin(self, seconds: float) -> None:
        """
        Wait for viewers from now on; an earlier deadline is void.

        Args:
            seconds: Time to wait; 0 is over at once.
        """
        self.stop()
        self._seconds = seconds
        if seconds:
            self._sweep.put(self, self._sweep.seconds() + seconds)
        else:
            self._end()

    def stop(self) -> None:
        """Drop the deadline."""
        if self.slot != IDLE:
            self._sweep.cancel(self)
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    def fire(self, now: float) -> float | None:
        """See `Tick.fire`."""
        if not self._streamLog.viewers:
            self._end()
        return None

    def _end(self) -> None:
        """End the run, unless another process follows it: the question is repeated then, and where it has no answer."""
        if self._isFollowed is None:
            self._onOver()
            return
        asking = self._isFollowed(self._streamLog.name).addErrback(_suspect)
        self._asking = asking.addCallback(self._take)
        self._asking.addErrback(_ignoreCancel)

    def _take(self, followed: bool) -> None:
        self._asking = None
        if self._streamLog.viewers:
            return
        if followed:
            self._sweep.put(self, self._sweep.seconds() + max(self._seconds, AGAIN))
        else:
            self._onOver()


def _ignoreCancel(failure: Failure) -> None:
    """Ignore that the question was cancelled."""
    failure.trap(CancelledError)


def _suspect(failure: Failure) -> bool:
    """Take a run for followed where nobody knows."""
    failure.trap(StoreUnavailable)
    return True
