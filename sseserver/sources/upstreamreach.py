"""
Reachability of an upstream: whether the last connection to it has failed.

`UpstreamSource` notes the outcome of each request in it.
"""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from sseserver.client import ConnectionFailed
from sseserver.errors import SourceError
from sseserver.values import Reason

#: Seconds between two checks of an upstream that was not reached, if somebody asks.
CHECK_SECONDS = 10.0

T = TypeVar("T")


class Reachability:
    """
    Notes whether an upstream is reached.

    Args:
        clock: Measures time.

    Attributes:
        problem: Why the last connection has failed, as a sentence; `None` if it has not.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.problem: str | None = None
        # When that was checked last.
        self._checkedAt: float = clock.seconds()

    def takeCheck(self) -> bool:
        """Return whether the upstream is to be checked now, since there is a problem; if so, not again for a while."""
        now = self._clock.seconds()
        if self.problem is None or 0 <= now - self._checkedAt < CHECK_SECONDS:
            return False
        self._checkedAt = now
        return True

    def noteReached(self, result: T) -> T:
        """Note that the upstream was reached, and return the result of the request."""
        self.problem = None
        return result

    def noteFailure(self, failure: Failure) -> Failure:
        """Note whether the upstream was reached, as any answer of it shows, and return the failure of the request."""
        error = failure.value
        unreached = isinstance(error, SourceError) and error.reason in {Reason.UNREACHABLE, Reason.TIMEOUT}
        if unreached or isinstance(error, ConnectionFailed):
            self.problem = "The upstream cannot be reached."
        elif not isinstance(error, CancelledError):
            self.problem = None
        return failure

    def noteSilence(self) -> None:
        """Note that the upstream has not begun an answer in time, although it may have been reached."""
        self.problem = "The upstream does not answer."
        self._checkedAt = self._clock.seconds()
