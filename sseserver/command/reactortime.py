"""
The time of the reactor: monotonic, so that no delayed call depends on the system clock.

Twisted takes the system clock for it. When that is set back, delayed calls and `LoopingCall`s wait until it has caught
up; when it is set forward, all of them are due at once.

`sseserver.tap` sets it.
"""

from __future__ import annotations

from time import monotonic, time
from typing import Any


class MonotonicTime:
    """The time of the moment when this was made, plus the monotonic time since then: in seconds, as `seconds`."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = time() - monotonic()

    def __call__(self) -> float:
        """See `IReactorTime.seconds`."""
        return self._offset + monotonic()


def useMonotonicTime(reactor: Any) -> None:
    """
    Let a reactor measure monotonic time from now on. What is scheduled already stays due at the same moment.

    Only the owner of the process may do this: other users of the reactor may take its time for the time of day.

    Args:
        reactor: The reactor of the process.
    """
    if not isinstance(reactor.seconds, MonotonicTime):
        reactor.seconds = MonotonicTime()
