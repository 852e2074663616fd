"""
Tests for `sseserver.timing.wallclock`.
"""

from __future__ import annotations

from time import time
from typing import Any

from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.service.service import StreamService
from sseserver.sources.text import TextSource
from sseserver.timing.ticker import Ticker
from sseserver.timing.wallclock import findWallClock


@implementer(IReactorCore)
class _Reactor(Clock):
    """A reactor whose time is not the time of day."""


class WallClockTests(SynchronousTestCase):
    """The time of day."""

    def test_F112_reactor(self) -> None:
        """F112: the time of day comes from the system, and not from a reactor, which may measure monotonic time."""
        reactor: Any = _Reactor()
        service = StreamService(reactor, TextSource(reactor, "text"))
        for wall in (findWallClock(reactor), Ticker(reactor, 1.0).wall, service.wall):
            self.assertLess(abs(wall() - time()), 60)
        self.assertLess(abs(service.created - time()), 60)

    def test_clock(self) -> None:
        """A `task.Clock` has one time for everything."""
        clock = Clock()
        clock.advance(7)
        self.assertEqual(findWallClock(clock)(), 7)
