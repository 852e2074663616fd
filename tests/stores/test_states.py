"""
Tests for `sseserver.stores.states`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.steps import step
from sseserver.stores.states import STORE_STEPS, StoreState
from tests.stores.sqlite.files import StoreTestCase


class StepTests(SynchronousTestCase):
    """The table of steps."""

    def test_table(self) -> None:
        """
        Each step of the table is taken, and each other one raises.
        """
        self.assertEqual(set(STORE_STEPS), set(StoreState))
        for old in StoreState:
            for new in StoreState:
                if new in STORE_STEPS[old]:
                    self.assertIs(step(STORE_STEPS, old, new), new)
                else:
                    self.assertRaises(RuntimeError, step, STORE_STEPS, old, new)


class LifeTests(StoreTestCase):
    """The life of a store."""

    def test_walk(self) -> None:
        """
        A store is OPEN after `start`, STOPPING until its changes are written, CLOSING until its file is closed, and
        can be started again.
        """
        seen = [self.store.state]
        self.store.create("a", True)
        stopped = self.store.stop()
        seen.append(self.store.state)
        self.clock.advance(0)
        self.thread.work()
        self.clock.advance(0)
        seen.append(self.store.state)
        self.assertNoResult(stopped)
        self.thread.work()
        seen.append(self.store.state)
        self.successResultOf(stopped)
        self.store.start()
        seen.append(self.store.state)
        opened, stopping, closing, closed = (
            StoreState.OPEN,
            StoreState.STOPPING,
            StoreState.CLOSING,
            StoreState.CLOSED,
        )
        self.assertEqual(seen, [opened, stopping, closing, closed, opened])

    def test_startTwice(self) -> None:
        """
        A store that is open cannot be started, and goes on.
        """
        self.assertRaises(RuntimeError, self.store.start)
        self.assertEqual(self.create("a", tokens=1).last, 1)
