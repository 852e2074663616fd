"""
Tests of `sseserver.delivery.waiter`: a viewer whose response has not begun.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.test.requesthelper import DummyRequest

from sseserver.delivery.waiter import Waiter
from sseserver.errors import StoreUnavailable
from sseserver.formats import EventsFormat
from sseserver.timing.ticker import Ticker
from tests.fakes import ClockTestCase, FakeViewer


class FakeLog:
    """A log that keeps the viewers which follow it, and counts their reads."""

    def __init__(self) -> None:
        self.viewers: list[Any] = []
        self.reads = 0
        self.last = 0
        self.onChange: Callable[[], None] | None = self.countRead

    def countRead(self) -> None:
        self.reads += 1

    def follow(self, viewer: FakeViewer, form: object) -> None:
        self.viewers.append(viewer)


class WaiterTests(ClockTestCase):
    """The end of a wait."""

    def setUp(self) -> None:
        super().setUp()
        self.ticker = Ticker(self.clock, 0.01)
        self.stopAtEnd(self.ticker.stop)
        self.log: Any = FakeLog()
        self.request: Any = DummyRequest([])
        self.results: list[bool | Failure] = []
        self.last = 0

    def start(self, limit: float | None = None) -> Waiter:
        """Start a wait for three entries."""

        def read(cursor: int) -> tuple[int, bool]:
            if self.last < 0:
                raise ValueError("broken")
            return self.last, self.last >= 3

        waiter = Waiter(self.request, self.log, self.ticker, read, 0, lambda _, result: self.results.append(result))
        waiter.start(EventsFormat(), limit)
        self.assertEqual(self.log.viewers, [waiter])
        return waiter

    def test_enough(self) -> None:
        """
        The wait ends with true once `read` has seen enough. Each wake-up reads, so that a paused
        run goes on.
        """
        waiter = self.start(limit=10.0)
        self.assertEqual((self.results, self.log.reads), ([], 1))
        self.last = 2
        waiter.wake()
        self.assertEqual((self.results, waiter.cursor, self.log.reads), ([], 2, 2))
        self.last = 3
        waiter.wake()
        waiter.wake()
        self.assertEqual((self.results, self.log.reads), ([True], 3))

    def test_turns(self) -> None:
        """If a read leaves entries, the next one follows in another turn of the reactor, and only one."""
        waiter = self.start()
        self.last, self.log.last = 1, 3
        waiter.wake()
        waiter.wake()
        self.assertEqual((waiter.cursor, self.log.reads), (1, 2))
        self.last = 3
        self.clock.advance(0)
        self.assertEqual((self.results, waiter.cursor, self.log.reads), ([True], 3, 3))

    def test_limit(self) -> None:
        """The wait ends with false after the limit."""
        self.start(limit=1.0)
        self.clock.pump([0.1] * 9)
        self.assertEqual(self.results, [])
        self.clock.pump([0.1] * 3)
        self.assertEqual(self.results, [False])

    def test_clientLeaves(self) -> None:
        """The wait ends with false when the client closes the connection."""
        self.start()
        self.request.processingFailed(Failure(ConnectionError()))
        self.assertEqual(self.results, [False])

    def test_abort(self) -> None:
        """An abort ends the wait with false and closes the connection."""
        self.request.transport = None
        closed: Deferred[None] = Deferred()
        self.request.loseConnection = lambda: closed.callback(None)
        self.start().abort("stopped")
        self.successResultOf(closed)
        self.assertEqual(self.results, [False])

    def test_brokenRead(self) -> None:
        """An exception of `read` ends the wait with its failure."""
        waiter = self.start()
        self.last = -1
        waiter.wake()
        (failure,) = self.results
        assert isinstance(failure, Failure)
        self.assertIsInstance(failure.value, ValueError)

    def test_dismissed(self) -> None:
        """A wait for entries that the store has lost fails: the client may retry."""
        waiter = self.start()
        waiter.dismiss()
        waiter.dismiss()
        [failure] = self.results
        assert isinstance(failure, Failure)
        self.assertIsNotNone(failure.check(StoreUnavailable))
