"""
PatientCall: a delayed call for a limit of time, which does not count the time that the process itself was late.

When a process goes on that was suspended, stopped by a debugger or starved by its host, all its delayed calls are due
at once, while the bytes that would have reset them are still to be read. A limit for the silence of a peer must not
fire then. The client, the upstream source and the service measure their limits with this class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

#: Seconds. A call that is made later than this was delayed by a pause of the process.
LATE = 1.0

_Result = TypeVar("_Result")


class PatientCall:
    """
    A call after a time limit: made one turn of the reactor after it is due, so that what has arrived is read before.

    If it is due later than `LATE` seconds, the process was paused, and the limit is extended by that time.

    Args:
        clock: The reactor, or a `task.Clock`.
        seconds: The limit.
        function: The call.

    Attributes:
        reset: `IDelayedCall.reset`: begins the limit anew, with another number of seconds.
    """

    __slots__ = ("_call", "_clock", "_due", "_function", "_seconds", "reset")

    reset: Callable[[float], None]

    def __init__(self, clock: Any, seconds: float, function: Callable[[], object]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._function = function
        self._start(seconds)
        # When the extra turn is over; `None` before it.
        self._due: float | None = None

    def cancel(self) -> None:
        """Cancel the call, which must not have been made."""
        self._call.cancel()

    def _start(self, seconds: float) -> None:
        self._call: IDelayedCall = self._clock.callLater(seconds, self._check)
        # The method itself: it is called for each read of a stream.
        self.reset = self._call.reset

    def _check(self) -> None:
        """Make the call, unless there is a reason to wait."""
        due = self._call.getTime()
        late = self._clock.seconds() - due
        if late > LATE:
            self._start(min(late, self._seconds))
        elif due != self._due:
            self._start(0)
        else:
            # A call that was made keeps its function, which is a method of this object.
            del self._call, self.reset
            self._function()
            return
        self._due = self._call.getTime()


def addPatientTimeout(
    deferred: Deferred[_Result], clock: Any, seconds: float, onTimeout: Callable[[float], _Result]
) -> Deferred[_Result]:
    """
    Cancel a Deferred after a time limit, as `Deferred.addTimeout` does, but with a `PatientCall`.

    Args:
        deferred: The Deferred.
        clock: The reactor, or a `task.Clock`.
        seconds: The limit.
        onTimeout: Called with the limit when the Deferred has failed after it was cancelled for it. Its result or
            exception follows.

    Returns:
        The same Deferred.
    """
    over = False

    def cancelDeferred() -> None:
        nonlocal over
        over = True
        deferred.cancel()

    def finish(result: Any) -> Any:
        if not over:
            call.cancel()
        elif isinstance(result, Failure):
            return onTimeout(seconds)
        return result

    call = PatientCall(clock, seconds, cancelDeferred)
    return deferred.addBoth(finish)
