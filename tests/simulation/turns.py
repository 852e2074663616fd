"""
Turns: the queue of runs, which must move.

A run that waits for its turn has no bound of its own. But the runs before it have: each ends by itself, or by its
linger.
"""

from __future__ import annotations

from typing import Any

from tests.simulation.world import World


class Turns:
    """
    The queue of a host's server.

    Args:
        world: Lets time pass.
        host: Has the server.
        longest: Seconds in which one run must have its turn, or stop waiting.
    """

    def __init__(self, world: World, host: Any, longest: float) -> None:
        self._world = world
        self._host = host
        self._longest = longest

    def pass_(self) -> bool:
        """
        Wait until one of the runs that wait now does so no longer.

        Returns:
            Whether the queue has moved; false as well if no run waits.
        """
        before = self._findWaiting()
        return bool(before) and self._world.run(lambda: bool(before - self._findWaiting()), self._longest)

    def _findWaiting(self) -> set[str]:
        runs = self._host.service.runs
        found = {name: runs.find(name) for name in runs.names}
        return {name for name, run in found.items() if run is not None and run.state.value == "waiting"}
