"""
Linger: the time that a run continues without viewers.

Each `Run` has one, and is cancelled when the time is over.
"""

from __future__ import annotations

from collections.abc import Callable

from sseserver.interfaces import IStreamLog
from sseserver.timing.ticker import IDLE, Tick, Ticker


class Linger(Tick):
    """
    The linger of one run.

    Args:
        streamLog: The run's stream, which counts its viewers.
        sweep: Ticker of the deadline.
        onOver: Called when the time is over and the stream has no viewers.
    """

    __slots__ = ("_onOver", "_streamLog", "_sweep")

    def __init__(self, streamLog: IStreamLog, sweep: Ticker, onOver: Callable[[], None]) -> None:
        self.slot = IDLE
        self._streamLog = streamLog
        self._sweep = sweep
        self._onOver = onOver

    def begin(self, seconds: float) -> None:
        """
        Wait for viewers from now on; an earlier deadline is void.

        Args:
            seconds: Time to wait; 0 is over at once.
        """
        self.stop()
        if seconds:
            self._sweep.put(self, self._sweep.seconds() + seconds)
        else:
            self._onOver()

    def stop(self) -> None:
        """Drop the deadline."""
        if self.slot != IDLE:
            self._sweep.cancel(self)

    def fire(self, now: float) -> float | None:
        """See `Tick.fire`."""
        if not self._streamLog.viewers:
            self._onOver()
        return None
