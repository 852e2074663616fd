"""
Launch: `twistd sseserver` in a simulated process.

Everything is built by `makeService`, as in a real one. Only what a process has for itself is replaced: its reactor, its
clock, its heap, its garbage collector, and the thread of its store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from twisted import internet
from twisted.application.service import Service

from sseserver import tap
from sseserver.command.heap import Memory
from sseserver.interfaces import IStreamStore, ITokenSource
from sseserver.settings import Settings
from sseserver.tap import Options, Server
from tests.simulation.commandline import Plan, findTooSmall
from tests.simulation.reactor import SimReactor


@dataclass(frozen=True, slots=True)
class Parts:
    """
    The parts that a simulated server has instead of its own.

    Attributes:
        makeStore: Makes the store: called with the end of the turn.
        makeSource: Makes the token source: called with the options, the end of the turn, and the function for it.
    """

    makeStore: Callable[[Any], IStreamStore]
    makeSource: Callable[[Options, Any, Callable[..., ITokenSource]], ITokenSource]


def launch(reactor: SimReactor, options: Options, plan: Plan, parts: Parts) -> Server:
    """
    Build the server of a process.

    Args:
        reactor: Of the process.
        options: The command line.
        plan: What it was made of.
        parts: See above.
    """
    makeSource, makeSettings = tap.makeSource, tap.makeSettings

    def makeAll(given: Any) -> Settings:
        # Some sizes are too small for an option; the environment turns the speedups off.
        settings = replace(makeSettings(given), **findTooSmall(plan))
        planned = replace(plan.settings, plain=settings.plain)
        assert settings == planned, f"{settings} of the command line, {planned} of the plan"
        return settings

    with ExitStack() as stack:
        for one in (
            patch.object(internet, "reactor", reactor, create=True),
            patch.object(tap, "useMonotonicTime", lambda _: None),
            patch.object(tap, "makeSettings", makeAll),
            patch.object(tap, "makeStore", lambda _, options, window, turnEnd: parts.makeStore(turnEnd)),
            patch.object(tap, "makeSource", lambda _, given, end: parts.makeSource(given, end, makeSource)),
            patch.object(tap, "findHeap", SimHeap),
            patch.object(tap, "RareCollections", Service),
        ):
            stack.enter_context(one)
        return tap.makeService(options)


class SimHeap:
    """A heap of which a large part is free after some time."""

    def __init__(self) -> None:
        self._looks = 0

    def mapLarge(self) -> None:
        """See `IHeap.mapLarge`."""

    def measure(self) -> Memory:
        """See `IHeap.measure`."""
        self._looks += 1
        idle = (self._looks % 4) << 22
        return Memory(resident=idle + (1 << 22), used=1 << 22, free=idle)

    def trim(self) -> Iterator[None]:
        """See `IHeap.trim`."""
        yield
        self._looks = 0
