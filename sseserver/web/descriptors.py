"""
File descriptors: how many this process may have open, and how connections and runs share them.

A server that gives all of them to its clients can start no run and write no entry ("Too many open files").

`StreamSite` and the checks of the command line use it.
"""

from __future__ import annotations

from typing import NamedTuple

#: Number of descriptors that are kept for everything but connections and runs: listeners, logs, the files of a store,
#: name resolution, the start of a program.
SPARE = 32

#: Number of connections that viewers leave to short requests, such as health checks: a quarter, and this many at most.
SHORT = 16

#: Number of descriptors that one run holds: the pipes of a program and the way to notice its end; the connection to an
#: upstream.
PROGRAM, UPSTREAM = 4, 1

#: Number of descriptors of a process without a limit.
_NO_LIMIT = 1 << 20


class Share(NamedTuple):
    """
    How connections and runs share the descriptors.

    Attributes:
        connections: Number of connections at a time.
        runs: Number of runs at a time.
    """

    connections: int
    runs: int


def countDescriptors() -> int:
    """Return the number of file descriptors that this process may have open (`ulimit -n`)."""
    try:
        import resource  # noqa: PLC0415  (Windows has no such module)
    except ImportError:
        return _NO_LIMIT
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _NO_LIMIT if limit == resource.RLIM_INFINITY else min(limit, _NO_LIMIT)


def countViewers(connections: int) -> int:
    """
    Return the number of viewers that leave connections to short requests, at least 1.

    Args:
        connections: Number of connections at a time.
    """
    return max(1, connections - max(1, min(SHORT, connections // 4)))


def countFree() -> int:
    """Return the number of descriptors that connections and runs can have together, at least 2."""
    return max(2, countDescriptors() - SPARE)


def shareDescriptors(
    free: int, each: int, mostRuns: int, runs: int | None = None, connections: int | None = None
) -> Share:
    """
    Share the free descriptors between connections and runs.

    Args:
        free: See `countFree`.
        each: Number of descriptors that each run holds.
        mostRuns: Number of runs that are wanted. At least one run is possible.
        runs: Number of runs that the operator has chosen; `None` if there is no choice.
        connections: Number of connections that the operator has chosen; `None` if there is no choice. Runs and
            connections then have half of the descriptors each, and connections those that the runs do not need.
    """
    if runs is None:
        room = free // 2 if connections is None else free - connections
        runs = max(1, min(mostRuns, room // each)) if each else mostRuns
    if connections is None:
        connections = max(free - runs * each, free // 4, 1)
    return Share(connections, runs)
