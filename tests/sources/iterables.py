"""
Test case of the tests of `tokensFrom`: code that runs on a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver.sources.iterables import tokensFrom
from sseserver.testing import RecordingSink
from tests.fakes import TurnClock

#: Seconds. Longest wait for something that should happen at once.
SOON = 60.0


class IterablesTestCase(SynchronousTestCase):
    """Runs code on a clock, and checks that nothing is left on it."""

    def setUp(self) -> None:
        self.clock = TurnClock()
        self.notes: list[str] = []

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def start(self, function: Callable[[], Any], turns: int = 0) -> RecordingSink:
        """Start a run, and let the reactor turn a number of times."""
        sink = RecordingSink()
        sink.start(tokensFrom(self.clock, function))
        self.turn(turns)
        return sink

    def turn(self, turns: int = 1) -> None:
        """Let the reactor turn."""
        for _ in range(turns):
            self.clock.turn()

    def assertFailed(self, sink: RecordingSink, error: type[BaseException]) -> BaseException:
        """Check that a run has failed and has unregistered from its sink."""
        self.assertIsInstance(sink.result, Failure)
        self.assertTrue(sink.result.check(error), sink.result)
        self.assertIsNone(sink.producer)
        return sink.result.value  # type: ignore[no-any-return]

    def noted(self, tokens: Iterable[str]) -> Generator[str, None, str]:
        """Make a generator that records its use."""
        self.notes.append("begun")
        try:
            for token in tokens:
                self.notes.append(token)
                yield token
        finally:
            self.notes.append("finally")
        return "length"
