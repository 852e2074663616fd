"""
The promise of DESIGN.md 6 against a model: Hypothesis makes up what clients, sources, connections, the disk and the
process do, and looks for a sequence in which a viewer gets something that the model does not have.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import (
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import IStreamStore
from sseserver.stores.memory import MemoryStore
from sseserver.stores.sqlite import SQLiteStore
from tests.machine.rules import RARELY, Machine
from tests.machine.world import SETTINGS
from tests.wires import WireReactor

LONG = os.environ.get("SSESERVER_LONG") == "1"

#: In CI nothing is left to chance: each of the three ways in tox.ini has its own seed and a third of the sequences.
FIRST = int(os.environ.get("SSESERVER_FIRST_SEED", "0"))
PART = 100 if os.environ.get("CI") else 300

EXAMPLES = settings(
    max_examples=3000 if LONG else PART,
    stateful_step_count=100 if LONG else 50,
    deadline=None,
    # Not to explain: that traces each line, and takes longer than finding the shortest sequence does.
    phases=(Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


class MemoryMachine(Machine):
    """Streams in memory: with the process they are gone."""

    def makeStore(self) -> IStreamStore:
        """Make an empty store."""
        return MemoryStore(self.reactor, SETTINGS.window)

    def crash(self) -> None:
        """Forget everything."""
        for stream in self.names.values():
            stream.forgotten = True
            stream.script = None
        for viewer in self.viewers:
            viewer.connection = None
        self.asked.clear()
        self.vanished.clear()
        self.names.clear()
        self.runKeys.clear()
        now = self.reactor.seconds()
        self.reactor = WireReactor()
        self.reactor.rightNow = now
        self.store = self.makeStore()


class SQLiteMachine(Machine):
    """Streams in an SQLite file, whose thread is the machine's."""

    def makeStore(self) -> IStreamStore:
        """Open the file."""
        return SQLiteStore(self.reactor, str(Path(self.folder) / "file"), SETTINGS.window, self.inThread)

    @precondition(lambda self: not self.lost)
    @rule()
    def lose(self) -> None:
        """The disk is full, or the file locked."""
        self.lost = True
        self.losses += 1

    @precondition(lambda self: self.lost)
    @rule()
    def recover(self) -> None:
        """It is as it was."""
        self.lost = False
        self.losses += 1

    @precondition(lambda self: self.held is None)
    @rule()
    def hold(self) -> None:
        """The store's thread takes its time."""
        self.held = []
        self.heldSince = self.reactor.seconds()

    @precondition(lambda self: self.held is not None)
    @rule()
    def goOn(self) -> None:
        """It has done what it was asked."""
        self.release()

    @rule(really=RARELY)
    def reboot(self, really: bool) -> None:
        """The machine goes down: another boot."""
        self.boots += really
        self.die(really)

    def crash(self) -> None:
        """Close the file as the end of a process does."""
        for stream in self.streams.values():
            stream.script = None
            if not stream.published:
                stream.mayEnd.add(("failed", "interrupted"))
        for viewer in self.viewers:
            viewer.connection = None
        self.asked.clear()
        self.vanished.clear()
        self.runKeys.clear()
        self.lost, self.held = False, None
        self.losses += self.losses % 2
        self.store.persistence.database.abandon()
        now = self.reactor.seconds()
        self.reactor = WireReactor()
        self.reactor.rightNow = now
        self.store = self.makeStore()


class ModelTests(SynchronousTestCase):
    """The machines, as tests that both runners know."""

    def check(self, machine: type[Machine]) -> None:
        """Look for a sequence that breaks the promise."""
        # The collector comes when the machine says so: which logs an SQLite store has in memory, and so what happens
        # next, would else depend on what the process did before.
        gc.disable()
        try:
            run_state_machine_as_test(seed(FIRST)(machine) if os.environ.get("CI") else machine, settings=EXAMPLES)
        finally:
            gc.unfreeze()
            gc.enable()
            # The machine checks itself what is logged.
            self.flushLoggedErrors()

    def test_memory(self) -> None:
        """
        Viewers of streams in memory get what the promise says, whatever clients, sources and connections do.
        """
        self.check(MemoryMachine)

    def test_sqlite(self) -> None:
        """
        Viewers of streams in an SQLite file get what the promise says, whatever the disk does, and however often the
        process ends.
        """
        self.check(SQLiteMachine)
