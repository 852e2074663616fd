"""
Helpers for tests of programs: a reactor with real pipes and a fake clock, and a view of living processes.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.descriptors import DescriptorSet

#: Seconds. Longest time for the work of another process on a busy machine.
PATIENCE = 120.0


def members(sessions: set[int]) -> list[str]:
    """Return the line in `/proc` of each process in some sessions, without the zombies that only init can reap."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            line = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The name, in parentheses, may hold any character.
        state, parent, _, session = line.rpartition(")")[2].split()[:4]
        if int(session) in sessions and (state, parent) != ("Z", "1"):
            found.append(line)
    return found


def waitFor(condition: Callable[[], Any], what: str = "It", rest: float = 0.01) -> None:
    """Block until a condition holds that another process brings about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what} does not come about.")
        time.sleep(rest)


@implementer(IReactorFDSet)
class PipeReactor(DescriptorSet, Clock):
    """A reactor with real descriptors and a fake clock."""

    def __init__(self) -> None:
        Clock.__init__(self)
        DescriptorSet.__init__(self)

    @property
    def idle(self) -> bool:
        """Whether no descriptor and no call is pending."""
        return not (self.readers or self.writers or self.getDelayedCalls())

    def turn(self, seconds: float = 0.02) -> None:
        """Wait up to some seconds for ready descriptors, and let each read or write once."""
        poll = select.poll()
        for fd in {*self.readers.values(), *self.writers.values()}:
            reads, writes = fd in self.readers.values(), fd in self.writers.values()
            poll.register(fd, select.POLLIN * reads | select.POLLOUT * writes)
        ready = {fd for fd, _ in poll.poll(seconds * 1000)}
        for table, act in ((self.readers, "doRead"), (self.writers, "doWrite")):
            for selectable, fd in list(table.items()):
                if fd in ready and selectable in table:
                    self._act(selectable, getattr(selectable, act))

    def until(self, condition: Callable[[], Any]) -> None:
        """Turn until a condition holds; the clock stands still."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("It does not come about.")
            self.turn()

    def _act(self, selectable: Any, act: Callable[[], Any]) -> None:
        why = act()
        if why:
            self.removeReader(selectable)
            self.removeWriter(selectable)
            selectable.connectionLost(Failure(why))


class Started:
    """
    A spy in place of `subprocess.Popen` that knows all processes it started.

    Attributes:
        sessions: Process numbers, each also the number of a session.
    """

    def __init__(self) -> None:
        self.sessions: set[int] = set()

    def __call__(self, *arguments: Any, **keywords: Any) -> subprocess.Popen[bytes]:
        """Start a process."""
        process: subprocess.Popen[bytes] = subprocess.Popen(*arguments, **keywords)
        self.sessions.add(process.pid)
        return process

    def gone(self) -> bool:
        """Whether no process of the sessions is left, not even a zombie."""
        return not members(self.sessions)

    def end(self) -> None:
        """Kill the processes that are left."""
        for session in self.sessions:
            if members({session}):
                os.killpg(session, signal.SIGKILL)
