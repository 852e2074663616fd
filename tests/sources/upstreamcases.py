"""Helpers of the tests of the upstream source: an upstream in memory, on a clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver.client.agent import Connections
from sseserver.errors import SourceError
from sseserver.sources.upstream import UpstreamSource
from sseserver.testing import RecordingSink
from sseserver.values import Prompt
from tests.upstreams import TURN, MemoryUpstream
from tests.upstreamscripts import EVENTS, KEY, Case, whole

PROMPT = Prompt("Say hello.")


def makeSource(upstream: MemoryUpstream, **more: Any) -> UpstreamSource:
    """Make a source on an upstream in memory."""
    return UpstreamSource(
        upstream.reactor, "http://upstream.example/v1", connections=Connections(upstream.agent), key=KEY, **more
    )


def play(case: Case) -> tuple[RecordingSink, MemoryUpstream]:
    """Play a script until the run has ended and only idle connections are left, then close these."""
    clock = Clock()
    upstream = MemoryUpstream(clock, case.steps)
    sink = RecordingSink()
    sink.start(makeSource(upstream), PROMPT)
    for _ in range(200_000):
        if sink.ended and len(clock.getDelayedCalls()) <= len(upstream.pool._timeouts):  # noqa: SLF001  (a name of Twisted)
            break
        clock.advance(0.05)
    upstream.pool.closeCachedConnections()
    clock.advance(TURN)
    assert clock.getDelayedCalls() == [], case.name
    return sink, upstream


class UpstreamTestCase(SynchronousTestCase):
    """Tests of a source on an upstream in memory."""

    def setUp(self) -> None:
        """Make the upstream and the source. The clock must be empty at the end."""
        self.clock = Clock()
        self.upstream = MemoryUpstream(self.clock, whole(*EVENTS))
        self.source = makeSource(self.upstream)
        self.addCleanup(self.checkEmpty)

    def checkEmpty(self) -> None:
        """Close the idle connections, and check that nothing is left."""
        self.upstream.pool.closeCachedConnections().addErrback(self.fail)
        self.turn()
        self.assertEqual((self.clock.getDelayedCalls(), self.upstream.open), ([], 0))

    def turn(self, turns: int = 100) -> None:
        """Let the reactor turn, with hardly any time."""
        for _ in range(turns):
            self.clock.advance(TURN)

    def start(self, prompt: Prompt | None = PROMPT) -> RecordingSink:
        """Start a run, and do everything that needs no time."""
        sink = RecordingSink()
        sink.start(self.source, prompt)
        self.turn()
        return sink

    def error(self, sink: RecordingSink) -> SourceError:
        """Return the error of a run."""
        self.assertIsInstance(sink.result, Failure)
        self.assertIsInstance(sink.result.value, SourceError)
        error: SourceError = sink.result.value
        return error
