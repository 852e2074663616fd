"""
Tests for `sseserver.tracebacks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver.tracebacks import forgetFailure, forgetTraceback
from tests.cycles import findCycles


class ForgetTests(SynchronousTestCase):
    """The tracebacks of exceptions that were handled."""

    def handle(self, forget: Callable[[BaseException], None]) -> None:
        """Handle an exception that comes out of two Deferreds, and follows another one."""

        @inlineCallbacks
        def inner() -> Generator[Deferred[None], Any, None]:
            try:
                yield failing
            except ZeroDivisionError as error:
                raise ValueError from error

        @inlineCallbacks
        def middle() -> Generator[Deferred[None], Any, None]:
            yield inner()

        async def outer() -> str:
            try:
                await middle()
            except ValueError as error:
                forget(error)
            return "handled"

        failing: Deferred[None] = Deferred()
        handling = Deferred.fromCoroutine(outer())
        failing.errback(ZeroDivisionError())
        self.assertEqual(self.successResultOf(handling), "handled")

    def test_freed(self) -> None:
        """Nothing is left of an exception whose traceback was dropped; otherwise its frames are."""
        self.assertEqual(findCycles(lambda: self.handle(forgetTraceback)), Counter())
        self.assertIn("frame", findCycles(lambda: self.handle(lambda error: None)))

    def test_running(self) -> None:
        """Frames that run, or wait to be resumed, keep their variables."""

        def generate() -> Generator[str, None, None]:
            kept = "kept"
            try:
                divide(0)
            except ZeroDivisionError as error:
                errors.append(error)
            yield kept
            yield kept

        def divide(number: int) -> None:
            try:
                1 / number
            except ZeroDivisionError as error:
                forgetTraceback(error)
                raise

        errors: list[BaseException] = []
        generator = generate()
        self.assertEqual(next(generator), "kept")
        # Its last frame is that of `divide`, which was called by the generator that now waits.
        trace: Any = errors[0].__traceback__
        errors[0].__traceback__ = trace.tb_next
        forgetTraceback(errors[0])
        self.assertEqual(list(generator), ["kept"])

    def test_failure(self) -> None:
        """The traceback of a failure is dropped in an errback."""
        deferred: Deferred[None] = Deferred().addCallback(lambda _: 1 / 0)
        deferred.callback(None)
        failures: list[Failure] = []
        deferred.addErrback(lambda failure: failures.append(failure) or forgetFailure(failure))
        self.assertEqual((failures[0].tb, failures[0].value.__traceback__), (None, None))

    def test_nothing(self) -> None:
        """Neither `None` nor an exception that was never raised matters."""
        forgetTraceback(None)
        forgetTraceback(ValueError())
