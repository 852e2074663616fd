"""
Plays a seed: the scenario under its patches, with an ear for the log.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from random import Random
from typing import Any
from unittest.mock import patch

from twisted.logger import LogLevel, globalLogPublisher

from sseserver.errors import StoreUnavailable
from tests.simulation.chance import Patches
from tests.simulation.history import History, Violation
from tests.simulation.scenario import Scenario
from tests.simulation.world import Stuck, World

#: Starts of what a server logs as an error if the disk is full to the end, without a process or a descriptor, and
#: without the keys of tokens.
_EXPECTED = ("The store is closed with", "{program} cannot be started", "The key set at")


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    The result of one run of a seed.

    Attributes:
        seed: The seed.
        digest: Hash of the history.
        violations: The broken promises.
        records: The history.
        turns: Number of turns of the world.
        acts: Number of acts.
        without: Those that were left out.
    """

    seed: int
    digest: str
    violations: list[Violation]
    records: list[str]
    turns: int
    acts: int
    without: frozenset[int]


class Ear:
    """Hears what the server logs as an error."""

    def __init__(self, history: History) -> None:
        self._history = history

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event of the log."""
        if event["log_level"] >= LogLevel.error:
            if str(event.get("log_format")).startswith(_EXPECTED):
                return
            failure = event.get("log_failure")
            if failure is not None and failure.check(StoreUnavailable):
                return
            told = "" if failure is None else f"{failure.value!r} {failure.getTraceback()[-700:]}"
            self._history.blame("log", f"{event.get('log_format')} {told}")


def play(seed: int, without: frozenset[int] = frozenset()) -> Outcome:
    """
    Run a seed once.

    Args:
        seed: The seed.
        without: Numbers of the acts that are left out.
    """
    world = World(Random(seed))
    with Patches(seed, world.seconds) as patches:
        scenario = Scenario(seed, world, patches, without)
        history = scenario.history
        # Nobody else hears the log: an observer that keeps events would keep all objects of the simulation.
        with patch.object(globalLogPublisher, "_observers", [Ear(history)]):
            try:
                with scenario.host.programs, scenario.host.manager:
                    scenario.run()
            except Stuck as stuck:
                history.blame("life", str(stuck))
            killed, acts = scenario.host.killed, scenario.cast.acts
            scenario.disk.remove()
            world.end()
            patches.boot = str
            del scenario
            gc.collect()
            if patches.unraised and not killed:
                # The coroutines of a killed process cannot end in good order.
                history.blame("log", f"unraisable: {patches.unraised}")
    return Outcome(seed, history.digest, history.violations, history.records, world.turns, acts, without)
