"""
Limit for the silence of an upstream: the timer between two chunks.

`UpstreamAnswer` owns the timer, and `ChunkRelay` notes each chunk in it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from twisted.internet.interfaces import IReactorCore

from sseserver.timing.patience import PatientCall


class SilenceTimer:
    """
    Timer that reports when no chunk has come for too long.

    Args:
        clock: Measures the silence.
        limit: Seconds that the silence may last at first.
        onSilence: Called once with the limit, in seconds, when the silence has lasted as long.

    Attributes:
        heard: Time of the last chunk, by `seconds`. The relay assigns it: moving a timer for each chunk costs more.
        seconds: Returns the time: that of the clock, or monotonic time for a reactor, which takes it for each chunk.
    """

    __slots__ = ("_call", "_clock", "_limit", "_onSilence", "_paused", "heard", "seconds")

    def __init__(self, clock: Any, limit: float, onSilence: Callable[[float], object]) -> None:
        self._clock = clock
        self.seconds: Callable[[], float] = monotonic if IReactorCore.providedBy(clock) else clock.seconds
        self._limit = limit
        self._onSilence = onSilence
        self._paused = False
        self._call: PatientCall | None = None
        self.heard = self.seconds()

    def start(self) -> None:
        """Start the timer."""
        self._call = PatientCall(self._clock, self._limit, self._check)

    def setLimit(self, limit: float) -> None:
        """
        Set another limit, which counts from now.

        Args:
            limit: Seconds. It may end sooner than the limit before.
        """
        self._limit = limit
        if self._call is not None:
            self._call.reset(limit)

    def pause(self) -> None:
        """Count no silence until `resume`: nobody listens."""
        self._paused = True

    def resume(self) -> None:
        """Count the silence from now on."""
        self._paused = False
        self.heard = self.seconds()

    def stop(self) -> None:
        """Stop the timer for good, and forget the callback. Does nothing if it was stopped before."""
        self._onSilence = _ignore
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _check(self) -> None:
        """Report the silence if it has lasted long enough; otherwise check again later."""
        self._call = None
        if self._paused:
            self.heard = self.seconds()
        left = self.heard + self._limit - self.seconds()
        if left > 0:
            self._call = PatientCall(self._clock, left, self._check)
        else:
            self._onSilence(self._limit)


def _ignore(limit: float) -> None:
    """Report nothing: the timer was stopped."""
