"""
Tests for `sseserver.command.reactortime`.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.base import ReactorBase
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command import reactortime
from sseserver.command.parsing import Options
from sseserver.command.reactortime import MonotonicTime, useMonotonicTime
from sseserver.tap import makeService


class _Reactor(ReactorBase):
    """The calls of a reactor, without its sockets."""

    def installWaker(self) -> None:
        """See `ReactorBase.installWaker`."""


class ReactorTimeTests(SynchronousTestCase):
    """The time of the reactor."""

    def test_F112_setBack(self) -> None:
        """F112: a reactor makes its calls when they are due, even if the system clock has been set back."""
        wall, monotonic = Clock(), Clock()
        wall.rightNow = 1e9
        self.patch(reactortime, "time", wall.seconds)
        self.patch(reactortime, "monotonic", monotonic.seconds)
        made: Any = _Reactor()
        useMonotonicTime(made)
        calls: list[None] = []
        made.callLater(1, calls.append, None)
        wall.rightNow -= 3600
        monotonic.advance(1)
        made.runUntilCurrent()
        self.assertEqual((calls, made.seconds()), ([None], 1e9 + 1))

    def test_again(self) -> None:
        """The time of a reactor is replaced once: what was scheduled stays due at the same moment."""
        clock: Any = Clock()
        useMonotonicTime(clock)
        replaced = clock.seconds
        useMonotonicTime(clock)
        self.assertIs(clock.seconds, replaced)
        self.assertLess(abs(replaced() - time.time()), 60)

    def test_F112_service(self) -> None:
        """F112: the reactor of `twistd sseserver` measures monotonic time."""
        shared: Any = reactor
        self.patch(shared, "seconds", shared.seconds)
        options = Options()
        options.parseOptions([])
        makeService(options)
        self.assertIsInstance(shared.seconds, MonotonicTime)
