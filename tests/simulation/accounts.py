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


class Accounts:
    """
    Looks at the ledger of a host's server from time to time, and at the end of each phase.

    Args:
        world: Tells the time.
        history: Takes the verdicts.
        host: Has the server.
    """

    def __init__(self, world: World, history: History, host: Any) -> None:
        self._world = world
        self._history = history
        self._host = host

    def start(self) -> None:
        """Look now, and again and again."""
        if self._host.running:
            for name, figures in self._report().items():
                if figures.count < 0 or figures.used < 0:
                    self._blame(f"{name} has {figures.used} bytes of {figures.count}")
                if figures.used > figures.limit + _SLACK:
                    self._blame(f"{name} has {figures.used} bytes, above the limit of {figures.limit}")
        self._world.after(_INTERVAL, self.start)

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
