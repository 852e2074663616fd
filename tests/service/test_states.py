"""
Tests of `sseserver.service.states`: the tables of legal steps, walked on a real service and a real
run.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from itertools import product
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.service.run import Run
from sseserver.service.runcounts import RunCounts
from sseserver.service.service import StreamService
from sseserver.service.states import RUN_STEPS, SERVICE_STEPS, RunState, ServiceState
from sseserver.settings import Settings
from sseserver.steps import step
from sseserver.stores.memory import MemoryStore
from sseserver.streams.terminal import packCancelled
from sseserver.timing.ticker import Ticker
from sseserver.values import Reason
from tests.served import ScriptedSource


class TableTests(SynchronousTestCase):
    """The tables."""

    def test_steps(self) -> None:
        """
        A step in the table leads to the new state; any other raises, and names both states.
        """
        tables: tuple[Any, ...] = (SERVICE_STEPS, RUN_STEPS)
        for table in tables:
            for old, new in product(table, repeat=2):
                if new in table[old]:
                    self.assertIs(step(table, old, new), new)
                else:
                    error = self.assertRaises(RuntimeError, step, table, old, new)
                    self.assertIn(f"{old.name} to {new.name}", str(error))

    def test_complete(self) -> None:
        """
        Each state is in its table, and can be reached.
        """
        tables: tuple[tuple[type[Enum], Any], ...] = ((ServiceState, SERVICE_STEPS), (RunState, RUN_STEPS))
        for states, table in tables:
            self.assertEqual(set(table), set(states))
            reached = {next(iter(states))}.union(*table.values())
            self.assertEqual(reached, set(states))


class Store(MemoryStore):
    """A store that is closed when the test says so."""

    closed: Deferred[None]

    def stop(self) -> Deferred[None]:
        """See `IStreamStore.stop`."""
        self.closed = Deferred()
        return self.closed


class ServiceTests(SynchronousTestCase):
    """The life of a service."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def make(self, state: ServiceState) -> tuple[StreamService, Store]:
        """Make a service in a state."""
        store = Store(self.clock, Settings().kept)
        service: Any = StreamService(self.clock, ScriptedSource(), store=store)
        if state is not ServiceState.NEW:
            service.startService()
        if state is ServiceState.LEAVING:
            service.leave()
        if state in (ServiceState.DRAINING, ServiceState.STOPPED):
            service.stopService()
        if state is ServiceState.STOPPED:
            store.closed.callback(None)
        self.assertIs(service.state, state)
        return service, store

    def test_start(self) -> None:
        """
        A service starts from every state that the table names, and from no other.
        """
        for state in ServiceState:
            service, _ = self.make(state)
            if ServiceState.RUNNING in SERVICE_STEPS[state]:
                service.startService()
                self.assertIs(service.state, ServiceState.RUNNING)
                self.assertTrue(service.viewers.hasRoom())
            else:
                self.assertRaises(RuntimeError, service.startService)
                self.assertIs(service.state, state)

    def test_stop(self) -> None:
        """
        A service stops from every state; while it drains it is not stopped again.
        """
        for state in ServiceState:
            service, store = self.make(state)
            stopped = service.stopService()
            self.assertIs(service.state, ServiceState.DRAINING)
            self.assertFalse(service.viewers.hasRoom())
            self.assertNoResult(stopped)
            store.closed.callback(None)
            self.successResultOf(stopped)
            self.assertIs(service.state, ServiceState.STOPPED)


class RunTests(SynchronousTestCase):
    """The life of a run."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.room = True
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def make(self, state: RunState) -> Run:
        """Make a run in a state."""
        self.room = True
        streamLog = self.successResultOf(MemoryStore(self.clock, Settings().kept).create(None, False))
        self.ended: list[Run] = []
        run = Run(streamLog, Settings(), Ticker(self.clock, 0.25), lambda: self.room, self.ended.append)
        run.start(lambda run: Deferred(), lambda run: None, RunCounts())
        if state is not RunState.WAITING:
            run.begin()
        if state is RunState.PAUSED:
            self.pause(run)
        if state is RunState.ENDED:
            self.end(run)
        self.assertIs(run.state, state)
        return run

    def pause(self, run: Run) -> None:
        """Let a run find the store full."""
        self.room = False
        run.write("x" * 2000)

    def resume(self, run: Run) -> None:
        """Let a run find room in the store."""
        self.room = True
        self.clock.advance(1.25)

    def end(self, run: Run) -> None:
        """Stop a run."""
        run.stop(packCancelled(Reason.ASKED))

    def test_begin(self) -> None:
        """
        A run has its turn once: the queue cannot begin it while it works, or after its end.
        """
        for state in (RunState.WAITING, RunState.WORKING, RunState.ENDED):
            run = self.make(state)
            if state is RunState.WAITING:
                run.begin()
                self.assertIs(run.state, RunState.WORKING)
            else:
                self.assertRaises(RuntimeError, run.begin)
                self.assertIs(run.state, state)
            self.end(run)

    def test_steps(self) -> None:
        """
        A working run pauses, a paused one resumes, and each ends once; anything else changes
        nothing.
        """
        moves: tuple[tuple[Callable[[Run], None], RunState, RunState | None], ...] = (
            (self.pause, RunState.PAUSED, RunState.WORKING),
            (self.resume, RunState.WORKING, RunState.PAUSED),
            (self.end, RunState.ENDED, None),
        )
        for move, reached, only in moves:
            for state in RunState:
                run = self.make(state)
                move(run)
                self.assertIs(run.state, reached if only in (None, state) else state)
                self.end(run)
                self.assertEqual(self.ended, [run])
