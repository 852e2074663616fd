"""
The time of day, for whatever is kept or shown: creation and end of streams, expiry, the access log.

The time of a reactor measures intervals only. In `twistd sseserver` it is monotonic, and differs from the time of day
once the system clock has been set.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time

from twisted.internet.interfaces import IReactorCore, IReactorTime


def findWallClock(clock: IReactorTime) -> Callable[[], float]:
    """
    Return the function that tells the time of day, in seconds since 1970.

    Args:
        clock: A reactor, or a `task.Clock`, whose own time is the time of day as well.
    """
    return time if IReactorCore.providedBy(clock) else clock.seconds
