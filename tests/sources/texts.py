"""Helpers of the tests of `TextSource`."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from sseserver.sources.text import TextSource
from tests.fakes import ClockTestCase, FakeSink

#: Seconds. Step of the clock, by which a word may be late in addition to a slot. A power of two, so that steps add up.
STEP = 1 / 512


class SourceTestCase(ClockTestCase):
    """Tests of runs into one sink."""

    def setUp(self) -> None:
        """Make a sink."""
        super().setUp()
        self.sink = FakeSink()

    def produce(self, text: str, interval: float) -> Deferred[None]:
        """Start a run."""
        return TextSource(self.clock, text, interval).produce(self.sink, None)

    def begin(self, text: str, interval: float) -> Deferred[None]:
        """Start a run, and let the reactor turn: the first word is written."""
        done = self.produce(text, interval)
        self.clock.turn()
        return done

    def steps(self, seconds: float) -> None:
        """Let time pass in small steps."""
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)

    def assertDone(self, done: Deferred[None], text: str) -> None:
        """Check that the run has written everything, released the sink and ended."""
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual("".join(self.sink.tokens), text)
        self.assertIsNone(self.sink.producer)


def stop(sink: FakeSink, done: Deferred[None]) -> None:
    """End a run as a sink does: stop the producer, then cancel the work."""
    sink.producer.stopProducing()
    done.cancel()
