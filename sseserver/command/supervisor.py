"""
The service manager that started the process, such as systemd.

It is told when the server is ready, reloads and stops, and that it is alive (`sd_notify(3)`).

`control` and `stopping` tell it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from time import monotonic_ns
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

#: Microseconds of a second: the unit of the protocol.
_MICRO = 1_000_000


class Supervisor:
    """
    Tells a service manager about the state of this process. Without one it does nothing.

    Args:
        reactor: Times the signs of life.
        environment: Variables of the process: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    """

    _log = Logger()

    def __init__(self, reactor: Any, environment: Mapping[str, str]) -> None:
        self._address = readAddress(environment)
        self._interval = readInterval(environment)
        self._signs = LoopingCall(self._tell, "WATCHDOG=1")
        self._signs.clock = reactor

    def ready(self) -> None:
        """Tell that the server listens, or has reloaded; give signs of life from now on, if they are wanted."""
        self._tell("READY=1", f"MAINPID={os.getpid()}")
        if self._address is not None and self._interval is not None and not self._signs.running:
            self._signs.start(self._interval)

    def reloading(self) -> None:
        """Tell that files are read again; `ready` follows."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")

    def stopping(self, seconds: float) -> None:
        """
        Tell that the server stops.

        Args:
            seconds: The longest time that it takes.
        """
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * _MICRO)}")

    def close(self) -> None:
        """Give no more signs of life: the process ends now."""
        if self._signs.running:
            self._signs.stop()

    def _tell(self, *lines: str) -> None:
        """Send a state. A service manager that does not listen is none."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                # It must not wait for a service manager that is busy.
                client.setblocking(False)
                client.sendto("\n".join(lines).encode("ascii"), self._address)
        except OSError as error:
            self._log.warn("The service manager cannot be told {state}: {error}", state=lines[0], error=error)


def readAddress(environment: Mapping[str, str]) -> bytes | None:
    """
    Return the address of the service manager's socket: a path, or an abstract name of Linux after a NUL.

    Args:
        environment: `NOTIFY_SOCKET` is a path, or `@` and an abstract name.

    Returns:
        `None` if there is no service manager, or it listens on a socket of another kind.
    """
    address = os.fsencode(environment.get("NOTIFY_SOCKET", ""))
    if address[:1] == b"@":
        return b"\0" + address[1:]
    return address if address[:1] == b"/" else None


def readInterval(environment: Mapping[str, str]) -> float | None:
    """
    Return the seconds between two signs of life: half of what the service manager waits for one.

    Args:
        environment: `WATCHDOG_USEC` is that time in microseconds, for the process `WATCHDOG_PID`.

    Returns:
        `None` if it waits for none from this process.
    """
    text = environment.get("WATCHDOG_USEC", "")
    if not (text.isascii() and text.isdigit()) or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(text) / _MICRO / 2 or None
