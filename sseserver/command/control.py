"""
The control of a running server from outside: its signals, and its service manager.

`sseserver.tap` adds it to the service.
"""

from __future__ import annotations

from typing import Any

from sseserver.command.signals import Signals
from sseserver.command.stopping import Stop
from sseserver.command.supervisor import Supervisor


class Control:
    """
    Handles signals and tells the service manager, from the start of a server to its end.

    Args:
        reactor: Tells when it runs.
        signals: The handlers of signals that do not stop the server.
        stop: Handles those that do.
        supervisor: Is told when the server is ready.

    Attributes:
        stop: See above.
    """

    def __init__(self, reactor: Any, signals: Signals, stop: Stop, supervisor: Supervisor) -> None:
        self.stop = stop
        self._reactor = reactor
        self._signals = signals
        self._supervisor = supervisor

    def start(self) -> None:
        """Handle signals. The server listens already."""
        self._signals.install()
        # The reactor installs its own handlers when it begins to run.
        self._reactor.callWhenRunning(self._run)

    def end(self) -> None:
        """Handle signals no longer: the server has stopped."""
        self._signals.restore()
        self.stop.end()

    def _run(self) -> None:
        self.stop.signals.install()
        self._supervisor.ready()
