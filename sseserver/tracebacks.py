"""
Tracebacks of exceptions that were handled: dropped, because they refer to themselves.

An exception that has come out of a Deferred belongs to a frame of its own traceback. Both stay until a garbage
collection, with everything that the frames hold, such as the log of a stream. Code that handles an exception for good
calls `forgetTraceback`, or `forgetFailure` in an errback.
"""

from __future__ import annotations

from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR, CO_ITERABLE_COROUTINE
from traceback import clear_frames
from types import FrameType

from twisted.python.failure import Failure

#: Flags of code whose frames may wait to be resumed. Clearing such a frame would end it.
_RESUMABLE = CO_GENERATOR | CO_COROUTINE | CO_ITERABLE_COROUTINE | CO_ASYNC_GENERATOR


def forgetTraceback(error: BaseException | None) -> None:
    """
    Drop the traceback of an exception, and of those that it followed.

    Call it in the `except` where the exception is caught, when nothing is to be told of it any more. Frames that still
    run are left alone.

    Args:
        error: The exception; `None` is ignored.
    """
    while error is not None:
        trace = error.__traceback__
        clear_frames(trace)
        while trace is not None:
            _clearCallers(trace.tb_frame)
            trace = trace.tb_next
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def forgetFailure(failure: Failure) -> None:
    """Drop the traceback of a failure that was handled, in an errback."""
    forgetTraceback(failure.value)
    failure.tb = None


def _clearCallers(frame: FrameType) -> None:
    """Clear the frames from which a frame was called, which Python keeps with it."""
    caller = frame.f_back
    while caller is not None:
        if not caller.f_code.co_flags & _RESUMABLE:
            try:
                caller.clear()
            except RuntimeError:
                # It still runs, and so do its callers.
                return
        caller = caller.f_back
