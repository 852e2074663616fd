"""
Tests of `sseserver.stores.redis.sweeper`: what is looked at every two seconds.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.redisservers import findMissing

if findMissing() is None:
    from sseserver.stores.redis.sweeper import SWEEP, Sweeper, Swept


class Part:
    """
    Stands for each part of a store, and notes the calls.

    Attributes:
        calls: Names of the methods that were called.
        up: Whether the Redis can be reached.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.up = True

    def __getattr__(self, name: str) -> Any:
        def call(*_: Any) -> list[str]:
            self.calls.append(name)
            return ["unused"] if name == "listUnused" else []

        return call


class SweeperTests(SynchronousTestCase):
    """`Sweeper`."""

    skip = findMissing()

    def test_looks(self) -> None:
        """Unused logs are dropped whether or not the Redis can be reached; everything else needs it."""
        clock, part = Clock(), Part()
        parts: Any = Swept(*[part] * 5)  # type: ignore[arg-type]
        sweeper = Sweeper(clock, clock, parts)  # type: ignore[arg-type]
        sweeper.start()
        clock.advance(SWEEP)
        self.assertEqual(part.calls, ["listUnused", "leave", "release", "check", "touch", "endOld", "look"])
        part.calls, part.up = [], False
        clock.advance(SWEEP)
        self.assertEqual(part.calls, ["listUnused", "leave", "release", "check"])
        sweeper.stop()
        sweeper.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
