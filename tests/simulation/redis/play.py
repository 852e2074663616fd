"""
Plays a seed: several servers, their Redis, and everybody who uses and disturbs them.
"""

from __future__ import annotations

import gc
import secrets
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any
from unittest.mock import patch

from twisted.logger import globalLogPublisher

from sseserver.errors import StoreUnavailable
from tests.reliability.checker import Checker
from tests.simulation.chance import Patches
from tests.simulation.history import History, Violation
from tests.simulation.network import Network, Weather
from tests.simulation.play import Outcome
from tests.simulation.redis.actors import Actor, Closer, Publisher, Stage, Starter, Viewer, Waiter
from tests.simulation.redis.journal import Journal
from tests.simulation.redis.losses import Losses, collectExactFacts
from tests.simulation.redis.nemesis import Nemesis
from tests.simulation.redis.process import WORDS, Process, RunTerms
from tests.simulation.redis.server import FakeRedis, Way
from tests.simulation.world import Stuck, World

#: Seconds of virtual time in which actors and faults begin, and between two words of a run.
BUSY, PACE = 12.0, 0.4

#: The same in long seeds, which have more faults of servers.
LONG_BUSY, LONG_PACE = 36.0, 1.2

#: Seconds. Longest time from the last fault until everybody has an answer, and every stream its end: a lease, the time
#: until another server looks at it, and a run.
CALM = 60.0

#: Seconds. Everything that the Redis has sent has arrived by then: until it does, a server shows what it has.
LATEST = 3.0


class Scenario:
    """
    One run of one seed.

    Args:
        seed: Decides everything.
        world: Has the clock.
        without: Numbers of the acts that are left out.

    Attributes:
        acts: Number of acts, with those that are left out.
        history: Everything that was seen.
    """

    def __init__(self, seed: int, world: World, without: frozenset[int]) -> None:
        chance = Random(f"servers {seed}")
        self.acts = 0
        self.history = History(world)
        self._seed = seed
        self._world = world
        self._without = without
        self._lost = Losses()
        self._journal = Journal(world, self.history)
        network = Network(world, chance, Weather(latency=chance.choice((0.0, 0.0, 0.02))))
        ways = [Way(number) for number in range(chance.choice((2, 2, 3)))]
        self._redis = FakeRedis(network, chance, ways, partial(self._journal.tell, "redis"))
        retries = Random(f"retries {seed}").choice((0, 1, 1, 2))
        # A run that is begun anew twice needs time: a lease must be over each time.
        self._isLong = retries > 1
        self._busy = LONG_BUSY if self._isLong else BUSY
        self._journal.note("plan", retries=retries)
        terms = RunTerms(retries, LONG_PACE if self._isLong else PACE)
        processes = [Process(world, network, way.number, terms) for way in ways]
        self._stage = Stage(network, self._journal, processes)
        self._nemesis = Nemesis(self._stage, self._redis, self._lost)
        self._actors: list[Actor] = []

    def run(self) -> None:
        """Run it from its start to its verdict."""
        for process in self._stage.processes:
            process.start()
        self._cue()
        self._world.pass_(self._busy)
        self._stage.isOver = True
        self._await(lambda: not self._nemesis.working, "the faults")
        for way in self._redis.ways:
            way.nextCut = None
        self._await(lambda: all(actor.isDone for actor in self._actors if not isinstance(actor, Viewer)), "clients")
        for process in self._stage.processes:
            self._enter(Waiter(self._stage, self._seed, process.number))
        self._await(lambda: all(actor.isDone for actor in self._actors if isinstance(actor, Waiter)), "servers")
        for stream in self._stage.streams:
            if stream.startswith("pub"):
                self._enter(Closer(self._stage, f"closer.{stream}", self._seed, stream, False, 0))
        self._await(lambda: all(actor.isDone for actor in self._actors), "viewers")
        self._world.pass_(LATEST)
        self._audit()
        self._closeDown()
        checker = Checker(
            self._journal.records, collectExactFacts(self._journal, self._lost, self._redis.ordered), WORDS
        )
        for kind, text in checker.check():
            time, _, what = text.partition(": ")
            self.history.violations.append(Violation(float(time), kind, what))

    def _cue(self) -> None:
        """Choose the acts of the seed, and when they begin."""
        chance, stage, seed = Random(f"acts {self._seed}"), self._stage, self._seed
        for number in range(chance.choice((1, 2, 3))):
            name = f"pub{number}"
            entries = chance.randint(3, 12)
            self._act(chance, partial(self._enter, Publisher(stage, f"{name}a", seed, name, True, entries)), 0.3)
            self._act(chance, partial(self._enter, Publisher(stage, f"{name}b", seed, name, False, entries)), 0.6)
        for number in range(chance.choice((1, 2, 3, 5))):
            self._act(chance, partial(self._enter, Starter(stage, f"start{number}", seed)), 0.6)
        for number in range(chance.randint(2, 8)):
            self._act(chance, partial(self._view, f"viewer{number}"))
        for number in range(chance.randint(1, 10)):
            self._act(chance, partial(self._nemesis.strike, Random(f"fault {self._seed} {number}")))
        for number in range(chance.randint(4, 10) if self._isLong else 0):
            self._act(chance, partial(self._nemesis.strikeServer, Random(f"death {self._seed} {number}")))

    def _act(self, chance: Random, act: Callable[[], object], share: float = 1.0) -> None:
        self.acts += 1
        time = round(chance.random() * self._busy * share, 3)
        if self.acts not in self._without:
            self._world.after(time, act)

    def _enter(self, actor: Actor) -> None:
        self._actors.append(actor)
        actor.start()

    def _view(self, name: str) -> None:
        """Let somebody follow a stream, the latest one that there is."""
        luck = Random(f"{self._seed} {name}")
        if self._stage.streams:
            self._enter(Viewer(self._stage, name, self._seed, luck.choice(self._stage.streams)))
        elif not self._stage.isOver:
            self._world.after(1.0, lambda: self._view(name))

    def _await(self, condition: Callable[[], bool], whom: str) -> None:
        if not self._world.run(condition, CALM):
            late = [actor.name for actor in self._actors if not actor.isDone]
            self.history.blame("life", f"after {CALM} seconds these are not done: {whom} {late}")

    def _audit(self) -> None:
        """Read every stream from its begin, at each server."""
        for stream in self._stage.streams:
            for process in self._stage.processes:
                name = f"audit.{process.number}.{stream}"
                self._enter(Viewer(self._stage, name, self._seed, stream, process.number))
        self._await(lambda: all(actor.isDone for actor in self._actors), "auditors")

    def _listOpen(self) -> list[bytes]:
        hashes = self._redis.keys.listHashes()
        return [fields[b"name"] for _, fields in hashes if fields.get(b"state") == b"open"]

    def _closeDown(self) -> None:
        """Stop the servers when no stream is open: also none that nobody knows."""
        if not self._world.run(lambda: not self._listOpen(), CALM):
            self.history.blame("end", f"these streams are open, and nobody writes them: {self._listOpen()}")
        stopped = [process.stop() for process in self._stage.processes]
        if not self._world.run(lambda: all(each.called for each in stopped), CALM):
            self.history.blame("stop", "a server does not stop")


class Ear:
    """Hears what servers log as a fault of their own."""

    def __init__(self, history: History) -> None:
        self._history = history

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event of the log."""
        failure = event.get("log_failure")
        if failure is not None and not failure.check(StoreUnavailable):
            told = f"{event.get('log_format')} {failure.value!r} {failure.getTraceback()[-700:]}"
            self._history.blame("log", told)


def play(seed: int, without: frozenset[int] = frozenset()) -> Outcome:
    """
    Run a seed once.

    Args:
        seed: The seed.
        without: Numbers of the acts that are left out.
    """
    world = World(Random(seed))
    tokens = Random(f"tokens {seed}")
    hexadecimal = patch.object(secrets, "token_hex", lambda size: f"{tokens.getrandbits(8 * size):0{2 * size}x}")
    with Patches(seed, world.seconds), hexadecimal:
        scenario = Scenario(seed, world, without)
        history = scenario.history
        with patch.object(globalLogPublisher, "_observers", [Ear(history)]):
            try:
                scenario.run()
            except Stuck as stuck:
                history.blame("life", str(stuck))
            acts = scenario.acts
            world.end()
            del scenario
            gc.collect()
    return Outcome(seed, history.digest, history.violations, history.records, world.turns, acts, without)
