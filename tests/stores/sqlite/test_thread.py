"""
Tests for `sseserver.stores.sqlite.thread`.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import current_thread, main_thread
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.sqlite.thread import FileThread


class Calls:
    """A reactor whose calls from threads are made by the test."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[Any], None], Any]] = SimpleQueue()

    def callFromThread(self, function: Callable[[Any], None], argument: Any) -> None:
        """See `IReactorFromThreads.callFromThread`."""
        self._calls.put((function, argument))

    def make(self) -> None:
        """Wait for the next call, and make it."""
        function, argument = self._calls.get(timeout=30)
        function(argument)


class ThreadTests(SynchronousTestCase):
    """Calls in a thread."""

    def setUp(self) -> None:
        """Start a thread."""
        self.reactor = Calls()
        self.thread = FileThread(self.reactor)

    def test_order(self) -> None:
        """Calls are made one after the other, outside the thread of the reactor, which gets the results."""
        made: list[Any] = []

        def note(number: int) -> str:
            made.append((number, current_thread() is main_thread()))
            return f"result {number}"

        results = [self.thread.call(note, number) for number in range(3)]
        for result in results:
            self.assertNoResult(result)
        self.thread.stop()
        self.assertEqual(made, [(0, False), (1, False), (2, False)])
        for number, result in enumerate(results):
            self.reactor.make()
            self.assertEqual(self.successResultOf(result), f"result {number}")

    def test_failure(self) -> None:
        """A call that fails, even with `SystemExit`, does not end the thread."""
        for error in (ZeroDivisionError, SystemExit):

            def fail(error: type[BaseException] = error) -> None:
                raise error

            failed = self.thread.call(fail)
            self.reactor.make()
            self.failureResultOf(failed, error)
        done = self.thread.call(int)
        self.reactor.make()
        self.assertEqual(self.successResultOf(done), 0)
        self.thread.stop()
