"""
Tests for `sseserver.service.opening`: traits of a run, by a service in memory.
"""

from __future__ import annotations

import json

from sseserver.service.opening import Opening, RunTraits
from sseserver.settings import Settings
from sseserver.values import Kind, Prompt, State
from tests.service.cases import ServiceTestCase


class TraitTests(ServiceTestCase):
    """A run with traits, and one without."""

    settings = Settings(linger=10)

    def test_traits(self) -> None:
        """A run ends without viewers, and does not say when it ended, unless it is told to."""
        for traits, isWorking in ((RunTraits(), False), (RunTraits(isDetached=True, tellsEnd=True), True)):
            streamLog = self.successResultOf(
                self.service.startRun(Prompt("x"), None, lambda _: {"more": 1}, opening=Opening(b"{}\n[]", traits))
            )
            self.reactor.advance(0)
            self.source.run.write("a")
            self.reactor.advance(100)
            self.assertIs(streamLog.state, State.OPEN if isWorking else State.CANCELLED)
        self.source.run.end()
        self.reactor.advance(1)
        self.assertEqual(streamLog.buffer.kind(3), Kind.DONE)
        done = json.loads(streamLog.buffer.entry(3))
        self.assertEqual(done, {"reason": "stop", "tokens": 1, "more": 1, "ended": int(self.reactor.seconds()) - 1})

    def test_durations(self) -> None:
        """A run can tell when its first token came, or that there was none, and when it ended."""
        for tokens, first in ((("a", "b"), 2.0), ((), 5.0)):
            opening = Opening(None, RunTraits(tellsDurations=True))
            streamLog = self.successResultOf(self.service.startRun(Prompt("x"), opening=opening))
            self.reactor.advance(0)
            self.reactor.advance(2)
            self.source.run.write(*tokens)
            self.reactor.advance(3)
            self.source.run.end()
            done = json.loads(streamLog.buffer.entry(len(tokens) + 1))
            self.assertEqual(done["durations"], {"first": first, "total": 5.0})
