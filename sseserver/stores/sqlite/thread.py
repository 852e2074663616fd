"""
The thread in which the SQLite file is read and written.

A thread pool of Twisted would do, but takes 50 µs for each call; a busy store makes a hundred calls a second.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


class _Call(NamedTuple):
    """One call: a function with its arguments, and the Deferred of its result."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    result: Deferred[Any]


class FileThread:
    """
    Calls functions in a thread of its own, one after the other. The thread runs until `stop`.

    Args:
        reactor: Gets the results.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        # `None` ends the thread.
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="sqlite")
        self._thread.start()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """
        Call a function after the calls made before.

        Args:
            function: Is called in the thread.
            arguments: Its arguments.

        Returns:
            Fires in the reactor's thread with what the function returns or raises.
        """
        result: Deferred[Any] = Deferred()
        self._calls.put(_Call(function, arguments, result))
        return result

    def stop(self) -> None:
        """Wait for the calls made before, and end the thread."""
        self._calls.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                value = call.function(*call.arguments)
            except BaseException:
                self._reactor.callFromThread(call.result.errback, Failure())
            else:
                self._reactor.callFromThread(call.result.callback, value)
            # Nothing of a call is kept while the next one is awaited.
            del call
            value = None
