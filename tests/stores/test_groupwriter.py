"""
Tests for `sseserver.stores.groupwriter`, with a store and a persistence by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from sseserver.errors import StoreUnavailable
from sseserver.stores.groups import Group, PendingChanges
from sseserver.stores.groupwriter import CHECK, LONGEST_PAUSE, RETRY, GroupWriter
from sseserver.stores.states import StoreState
from sseserver.timing.ticker import Ticker
from sseserver.values import Change
from tests.fakes import ClockTestCase
from tests.stores.cases import GroupTestCase


class HandStore:
    """
    A `GroupStore` that is its own persistence.

    Attributes:
        broken: Whether it fails when it learns of the end of a write.
        committed: The time of each group that was stored.
        persistence: This object.
        refused: The reason of each group that was not.
        state: See `GroupStore`.
        writes: The groups that it was given to write, each with the Deferred that ends the write.
    """

    def __init__(self) -> None:
        self.persistence: Any = self
        self.state = StoreState.OPEN
        self.writes: list[tuple[list[Change], Deferred[None]]] = []
        self.broken = False
        self.committed: list[float] = []
        self.refused: list[str] = []

    def write(self, changes: Sequence[Change]) -> Deferred[None]:
        """See `IPersistence.write`."""
        written: Deferred[None] = Deferred()
        self.writes.append((list(changes), written))
        return written

    def commitGroup(self, group: Group, now: float) -> None:
        """See `GroupStore.commitGroup`."""
        self.committed.append(now)
        self._fail()

    def refuseGroup(self, group: Group, error: StoreUnavailable) -> None:
        """See `GroupStore.refuseGroup`."""
        self.refused.append(str(error))
        self._fail()

    def _fail(self) -> None:
        if self.broken:
            raise ZeroDivisionError


class WriterTests(ClockTestCase, GroupTestCase):
    """When a group is written, and what is counted."""

    def setUp(self) -> None:
        """Make a writer of an open store."""
        super().setUp()
        self.pending = PendingChanges()
        self.store = HandStore()
        self.ticker = Ticker(self.clock, 0.005)
        self.writer = GroupWriter(self.clock, self.ticker, self.store, self.pending)
        self.stopAtEnd(lambda: self.clock.advance(LONGEST_PAUSE))

    def add(self, count: int = 1) -> None:
        """Add changes of so many streams."""
        for number in range(count):
            stream, streamLog = self.makeStream(f"{id(self.pending)}-{number}", b"x")
            self.pending.dirty[stream] = streamLog

    def answer(self, result: Exception | None = None) -> None:
        """End the oldest write."""
        _, written = self.store.writes.pop(0)
        if result is None:
            written.callback(None)
        else:
            written.errback(result)

    def test_oneAtATime(self) -> None:
        """A group is written in the next turn, the next one when it is stored; without changes nothing is written."""
        self.add(3)
        self.writer.schedule()
        self.writer.schedule()
        self.assertEqual(self.store.writes, [])
        self.clock.advance(0)
        self.assertEqual([len(changes) for changes, _ in self.store.writes], [3])
        self.add()
        self.writer.schedule()
        self.clock.advance(1)
        self.assertEqual(len(self.store.writes), 1)
        for _ in range(2):
            self.answer()
            self.clock.advance(0)
        self.assertEqual((self.store.writes, self.store.committed), ([], [0.0, 1.0]))

    def test_pause(self) -> None:
        """After a group of many streams the next one gathers, for no longer than `LONGEST_PAUSE`."""
        for count, pause in ((9, 0.0), (20, 0.002), (200, LONGEST_PAUSE)):
            self.add(count)
            self.writer.schedule()
            self.clock.advance(0)
            self.add()
            self.answer()
            self.clock.advance(pause * 0.9)
            self.assertEqual(bool(self.store.writes), not pause)
            self.clock.advance(pause * 0.2)
            self.answer()
            self.clock.advance(0)

    def test_failure(self) -> None:
        """A group that fails is followed by another attempt after `RETRY`; the reason stands until one succeeds."""
        self.add()
        self.writer.schedule()
        self.clock.advance(0)
        for result, problem in (
            (StoreUnavailable("Full."), "Full."),
            (ValueError("x"), "The store broke."),
            (None, None),
        ):
            self.answer(result)
            self.assertEqual(self.writer.problem, problem)
            self.add()
            self.writer.schedule()
            self.clock.advance(RETRY * 0.9 if problem else 0)
            self.assertEqual(bool(self.store.writes), not problem)
            self.clock.advance(RETRY * 0.2)
        self.assertEqual(self.store.refused, ["Full.", "The store broke."])
        self.assertEqual((self.writer.failures, sum(self.writer.commits.counts)), (2, 1))
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)

    def test_broken(self) -> None:
        """A store that fails at a stored or a refused group gets the next one nevertheless."""
        self.store.broken = True
        for result in (None, ValueError()):
            self.add()
            self.writer.schedule()
            self.clock.advance(RETRY)
            self.add()
            self.answer(result)
            self.clock.advance(RETRY)
            self.assertEqual(len(self.store.writes), 1)
            self.answer()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 4)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_commits(self) -> None:
        """The time of a write counts from its begin to its end."""
        self.clock.advance(2)
        self.add()
        self.writer.schedule()
        self.clock.advance(0)
        self.clock.advance(0.75)
        self.answer()
        self.assertEqual((self.writer.commits.total, sum(self.writer.commits.counts)), (0.75, 1))

    def test_check(self) -> None:
        """A check writes an empty group, but not twice within `CHECK`."""
        for seconds, writes in ((0, 0), (CHECK, 1), (CHECK / 2, 0), (CHECK / 2, 1)):
            self.clock.advance(seconds)
            self.writer.check()
            self.writer.check()
            self.clock.advance(0)
            self.assertEqual([changes for changes, _ in self.store.writes], [[]] * writes)
            for _ in range(writes):
                self.answer()

    def test_finish(self) -> None:
        """The last changes are written without a pause; the Deferred fires when all are stored."""
        for changes in (0, 1, 200):
            self.add(changes)
            if changes:
                self.writer.schedule(10)
            finished = self.writer.finish()
            self.clock.advance(0)
            if changes:
                self.add()
                self.answer()
                self.assertNoResult(finished)
                self.clock.advance(LONGEST_PAUSE)
                self.answer()
                self.clock.advance(0)
            self.successResultOf(finished)

    def test_finishUnwritable(self) -> None:
        """Of a group that cannot be written there is no further attempt in the end."""
        self.add()
        finished = self.writer.finish()
        self.clock.advance(0)
        self.answer(StoreUnavailable("Full."))
        self.clock.advance(0)
        self.successResultOf(finished)
        self.flushLoggedErrors(StoreUnavailable)

    def test_over(self) -> None:
        """A store that takes no changes writes none."""
        self.add()
        for self.store.state in (StoreState.CLOSING, StoreState.CLOSED):
            self.writer.schedule()
            self.writer.check()
            self.clock.advance(CHECK)
            self.assertEqual(self.store.writes, [])
