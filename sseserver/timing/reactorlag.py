"""
The lag of the reactor: how late it makes the calls that are due. Everything in the process is as late.

`sseserver.tap` starts the measurement; `sseserver.apis.admin.families` has its metric.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorCore

from sseserver.counting import Durations

#: Seconds between two measurements.
INTERVAL = 0.1

#: Seconds.
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class ReactorLag(Service):
    """
    Measures the lag of the reactor while it runs.

    Args:
        reactor: Makes a call every `INTERVAL`. Its own time is the wall clock, so the monotonic clock measures.

    Attributes:
        lags: Seconds by which each call was late.
    """

    def __init__(self, reactor: Any) -> None:
        self.lags = Durations(_BOUNDS)
        self._reactor = reactor
        self._seconds = monotonic if IReactorCore.providedBy(reactor) else reactor.seconds
        self._due = 0.0
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        """See `Service.startService`."""
        super().startService()
        self._schedule()

    def stopService(self) -> None:
        """Stop measuring."""
        super().stopService()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _schedule(self) -> None:
        self._due = self._seconds() + INTERVAL
        self._call = self._reactor.callLater(INTERVAL, self._measure)

    def _measure(self) -> None:
        self.lags.note(self._seconds() - self._due)
        self._schedule()
