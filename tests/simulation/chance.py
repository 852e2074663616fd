"""
Chance: all randomness of a simulation comes from its seed.

`Patches` is the one place that replaces what the server takes from outside: the module `random`, the random bits of
`secrets`, the time in Twisted's `Date` headers, the threads of token sources, the connections of
SQLite, and the identity of the machine's boot.
"""

from __future__ import annotations

import gc
import random
import secrets
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any
from unittest.mock import patch

from twisted.web import server as twistedServer

from sseserver.stores.sqlite.database import OPEN_FILES
from sseserver.streams import wakes
from sseserver.streams.ids import makeEpoch

#: File with the identity of the machine's boot, in Linux.
_BOOT = "/proc/sys/kernel/random/boot_id"

#: File with the sizes of the memory of the process, in Linux, and what it says in a simulation.
_MEMORY = "/proc/self/statm"
_MEMORY_TEXT = "50000 20000 3000 1 0 40000 0\n"

#: Epochs that `makeEpoch` may have in stock.
_STOCK = 64


class InlineThread:
    """
    A thread that does its work when it is started.

    Args:
        target: The work.
        name: Ignored.
        daemon: Ignored.
    """

    def __init__(self, target: Callable[[], object], name: str, daemon: bool) -> None:
        self._target = target

    def start(self) -> None:
        """Work."""
        self._target()


class Patches:
    """
    Replaces the sources of randomness while a simulation runs. A context manager.

    Args:
        seed: Of the simulation.
        seconds: Tells the time of the world.

    Attributes:
        boot: Returns the identity of the machine's boot.
        unraised: Exceptions that nobody could handle: those of finalizers.
    """

    def __init__(self, seed: int, seconds: Callable[[], float]) -> None:
        self.boot: Callable[[], str] = lambda: "boot"
        self.unraised: list[str] = []
        self._chance = Random(seed)
        self._seconds = seconds
        self._connections: list[tuple[str, sqlite3.Connection]] = []
        self._connect = sqlite3.connect
        self._plainReadText = Path.read_text
        self._state: Any = None
        self._patches = [
            patch.object(secrets, "randbits", self._chance.getrandbits),
            patch.object(sqlite3, "connect", self._record),
            patch.object(twistedServer, "datetimeToString", lambda: b"Fri, 15 Jan 2027 08:00:00 GMT"),
            patch("sseserver.sources.tokenthread.Thread", InlineThread),
            patch("sseserver.command.access.time", seconds),
            # The number of digits in `/metrics` decides in which pieces it is sent.
            patch("sseserver.apis.admin.families.process_time", seconds),
            # Few viewers make a crowd, which is woken in several turns.
            patch.object(wakes, "WAKES_PER_LOOK", self._chance.choice((1, wakes.WAKES_PER_LOOK))),
            patch.object(wakes, "WAKES_PER_TURN", self._chance.choice((1, 2, wakes.WAKES_PER_TURN))),
            patch.object(sys, "unraisablehook", lambda told: self.unraised.append(repr(told.exc_value))),
            patch.object(Path, "read_text", lambda path, *args: self._readText(path, *args)),
        ]

    def __enter__(self) -> Patches:
        self._state = random.getstate()
        random.seed(self._chance.random())
        # No collection: it would run finalizers at places that depend on the simulations before.
        gc.disable()
        # Objects that exist already are not looked at, either: that would take longer than the simulation.
        gc.freeze()
        for one in self._patches:
            one.start()
        self._emptyStock()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for one in self._patches:
            one.stop()
        random.setstate(self._state)
        self._emptyStock()
        gc.unfreeze()
        gc.enable()

    def closeConnections(self, folder: str) -> None:
        """Close the connections of SQLite to the files of a folder, as the end of their process does."""
        for path, connection in self._connections:
            if path.startswith(folder):
                connection.close()
        self._connections = [one for one in self._connections if not one[0].startswith(folder)]
        OPEN_FILES.difference_update({path for path in OPEN_FILES if str(path).startswith(folder)})

    def _emptyStock(self) -> None:
        """Use up the epochs that were made with other random bits: the next one is made anew."""
        made: list[int] = []

        def count(bits: int) -> int:
            made.append(bits)
            return self._chance.getrandbits(bits)

        with patch.object(secrets, "randbits", count):
            for _ in range(_STOCK):
                makeEpoch()
                if made:
                    break
            for _ in range(len(made) - 1):
                makeEpoch()

    def _readText(self, path: Path, *args: Any) -> str:
        if str(path) == _BOOT:
            return self.boot()
        return _MEMORY_TEXT if str(path) == _MEMORY else self._plainReadText(path, *args)

    def _record(self, path: Any, *args: Any, **keywords: Any) -> sqlite3.Connection:
        connection = self._connect(path, *args, **keywords)
        self._connections.append((str(path), connection))
        return connection
