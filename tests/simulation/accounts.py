"""
Accounts: the ledger of the server, compared with what must be in it.
"""

from __future__ import annotations

from typing import Any

from tests.simulation.history import History
from tests.simulation.world import World

#: Seconds of virtual time between two looks.
_INTERVAL = 0.7

#: Bytes above a limit that work may take which was admitted below it.
_SLACK = 1 << 20


#: Seconds that a run without viewers may go on after its linger: the server looks at intervals.
_LATE = 3.0

#: Seconds. Shortest linger of a run that had no viewer yet.
_FIRST_LINGER = 5.0


class Accounts:
    """
    Looks at the ledger and at the runs of a host's server from time to time, and at the end of each phase.

    Args:
        world: Tells the time.
        history: Takes the verdicts.
        host: Has the server.
    """

    def __init__(self, world: World, history: History, host: Any) -> None:
        self._world = world
        self._history = history
        self._host = host
        # Since when runs had no viewer for certain, and the number of connections by then.
        self._lonely: dict[str, float] = {}
        self._connections = 0

    def start(self) -> None:
        """Look now, and again and again."""
        self._host.manager.watch()
        if self._host.running:
            for name, figures in self._report().items():
                if figures.count < 0 or figures.used < 0:
                    self._blame(f"{name} has {figures.used} bytes of {figures.count}")
                if figures.used > figures.limit + _SLACK:
                    self._blame(f"{name} has {figures.used} bytes, above the limit of {figures.limit}")
            self._lookAtRuns()
        self._world.after(_INTERVAL, self.start)

    def _lookAtRuns(self) -> None:
        """Check that no run goes on for longer than the linger after its last viewer could have left."""
        now, runs, connections = self._world.now, self._host.service.runs, self._host.network.connections
        if connections != self._connections:
            # Any of them may have had a viewer between two looks.
            self._lonely.clear()
            self._connections = connections
        found = {name: runs.find(name) for name in runs.names}
        lonely = [name for name, run in found.items() if run is not None and not run.streamLog.viewers]
        self._lonely = {name: self._lonely.get(name, now) for name in lonely}
        longest = max(self._host.plan.settings.linger, _FIRST_LINGER) + _LATE
        for name, since in self._lonely.items():
            if now - since > longest:
                self._history.blame("linger", f"the run {name} has had no viewer for {now - since:.3f} seconds")

    def areEmpty(self, *names: str) -> bool:
        """Return whether accounts are empty."""
        report = self._report()
        return not any(report[name].used or report[name].count for name in names)

    def checkEmpty(self, when: str, *names: str) -> None:
        """
        Check that accounts are empty.

        Args:
            when: Why they must be.
            names: The accounts.
        """
        report = self._report()
        for name in names:
            if report[name].used or report[name].count:
                self._blame(f"{name} has {report[name].used} bytes of {report[name].count} {when}")

    def _report(self) -> dict[str, Any]:
        report: dict[str, Any] = self._host.service.ledger.report()
        return report

    def _blame(self, text: str) -> None:
        self._history.blame("ledger", text)
