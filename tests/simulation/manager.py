"""
The service manager of the server's process: sends signals, and is told when the server is ready and when it stops.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.simulation.history import History
from tests.simulation.world import World

#: Microseconds. The manager takes a process without a sign of life for this time for dead.
_WATCHDOG = 4_000_000

#: Microseconds of a second.
_MICRO = 1_000_000


class ServiceManager:
    """
    A service manager as systemd is one. Patches what the server uses for signals and notes: a context manager.

    Args:
        world: Tells the time.
        history: Takes the verdicts.

    Attributes:
        state: What the process has told last: `READY`, `RELOADING` or `STOPPING`; empty before.
    """

    def __init__(self, world: World, history: History) -> None:
        self.state = ""
        self._world = world
        self._history = history
        self._handlers: dict[int, Any] = {}
        # When the process has given a sign of life, and when it must be gone.
        self._alive = self._gone = float("inf")
        sockets = SimpleNamespace(AF_UNIX=socket.AF_UNIX, SOCK_DGRAM=socket.SOCK_DGRAM, socket=lambda *_: _Notes(self))
        self._patches: list[Any] = [
            patch.object(signal, "signal", self._handle),
            patch.object(signal, "getsignal", lambda number: self._handlers.get(number, signal.SIG_DFL)),
            patch("sseserver.command.supervisor.socket", sockets),
            # It would end the process of the simulation.
            patch("sseserver.command.stopping.threading", SimpleNamespace(Timer=_Timer)),
            patch.dict(os.environ, {"NOTIFY_SOCKET": "@simulated", "WATCHDOG_USEC": str(_WATCHDOG)}),
        ]

    def __enter__(self) -> ServiceManager:
        for one in self._patches:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._patches:
            one.stop()

    def reset(self) -> None:
        """Note that there is no process any more, or a new one."""
        self._handlers.clear()
        self.state = ""
        self._alive = self._gone = float("inf")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self._handlers[number](number, None)

    def watch(self) -> None:
        """Judge what the process has told so far; called while there is one."""
        now = self._world.now
        if now > self._gone:
            self._history.blame("manager", f"the process is there {now - self._gone:.3f} seconds after it must be gone")
            self._gone = float("inf")
        if now - self._alive > _WATCHDOG / _MICRO:
            self._history.blame("manager", f"no sign of life for {now - self._alive:.3f} seconds")
            self._alive = now

    def take(self, note: bytes) -> None:
        """Take a note of the process (`sd_notify(3)`)."""
        lines = dict(line.split("=", 1) for line in note.decode("ascii").split("\n"))
        self.watch()
        self._alive = self._world.now
        if "EXTEND_TIMEOUT_USEC" in lines:
            self._gone = self._world.now + int(lines["EXTEND_TIMEOUT_USEC"]) / _MICRO
        for state in ("READY", "RELOADING", "STOPPING"):
            if lines.get(state) == "1":
                self._history.add("manager", state)
                self.state = state

    def _handle(self, number: int, handler: Callable[[int, Any], object]) -> Any:
        before = self._handlers.get(number, signal.SIG_DFL)
        self._handlers[number] = handler
        return before


class _Notes:
    """A socket on which the process tells its state."""

    def __init__(self, manager: ServiceManager) -> None:
        self._manager = manager

    def __enter__(self) -> _Notes:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def setblocking(self, blocking: bool) -> None:
        """See `socket.setblocking`."""

    def sendto(self, data: bytes, address: object) -> None:
        """See `socket.sendto`."""
        self._manager.take(data)


class _Timer:
    """A thread that would end the process once more: the end of the services ends it already."""

    def __init__(self, *_: object) -> None:
        self.daemon = False

    def start(self) -> None:
        """See `threading.Timer.start`."""
