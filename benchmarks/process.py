"""
Processes under measurement: start, readiness, CPU time, memory, end. Linux only.

A process is bound to its core, is ended when its `with` block is left, and is killed by the kernel if
the benchmark dies first.
"""

import contextlib
import ctypes
import os
import random
import resource
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

HOST = "127.0.0.1"

#: Seconds. Time to start listening (LiteLLM takes 15 on a quiet machine), and to end after SIGTERM.
STARTING, ENDING = 60.0, 15.0

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)


class ServerError(Exception):
    """A server did not start, or died while it was measured."""


def raiseDescriptorLimit(wanted: int = 0) -> int:
    """Raise the soft limit of open descriptors to the hard limit, and the hard limit for root; return the limit."""
    hard = max(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def freePort() -> int:
    """Return a free loopback port outside Linux's range for clients (from 32768 on): viewers take thousands."""
    for port in random.sample(range(20_000, 32_768), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise ServerError("no port is free")


def cores() -> tuple[int | None, int | None]:
    """Return the cores of the load client and of the server; `None` twice on a machine with one core."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[-1]) if len(allowed) > 1 else (None, None)


def cpuSeconds(pid: int) -> float:
    """Return the user and system time of a process, ended threads included, exact to nanoseconds."""
    # `/proc/PID/stat` counts in ticks of 10 ms. The clock's ID is made as `clock_getcpuclockid(3)` does it.
    return time.clock_gettime((~pid << 3) | 2)


def family(pid: int) -> list[int]:
    """Return a process and all processes below it: some servers do their work in one that they start."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def waitedSeconds(pid: int) -> float:
    """Return how long the main thread of a process was ready but had no core, its other threads' time subtracted."""
    own, others = 0, 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        used, waited, _ = map(int, (task / "schedstat").read_text().split())
        if task.name == str(pid):
            own = waited
        else:
            others += used
    return (own - others) / 1e9


def memory(pid: int) -> dict[str, int]:
    """
    Return the memory of a process in bytes: `anonymous` (heap and stacks), `uss` (private pages), `pss`, `rss`.

    A server pays for its viewers with anonymous memory. The USS also counts pages of Python's own files or
    not, as other processes with the same files come and go: by megabytes, so it is no good for differences.
    """
    lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
    size = {name: int(value) * 1024 for name, value, *_ in lines}
    private = size["Private_Clean:"] + size["Private_Dirty:"]
    return {"anonymous": size["Anonymous:"], "uss": private, "pss": size["Pss:"], "rss": size["Rss:"]}


def _machineTicks() -> list[int]:
    return [int(part) for part in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


def waitForQuiet(patience: float, busy: float = 0.05) -> None:
    """Wait until other work uses at most a share of all cores for two seconds, or for `patience` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = _machineTicks()
        time.sleep(2.0)
        used = [now - then for now, then in zip(_machineTicks(), before, strict=True)]
        # The fourth and fifth are idle time and waiting for disks.
        if 1 - (used[3] + used[4]) / max(1, sum(used)) <= busy:
            return


def _inChild(cpu: int | None) -> None:
    """Prepare a child: die with the parent, raise the descriptor limit, stay on one core."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    raiseDescriptorLimit()
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


@dataclass(slots=True)
class Process:
    """
    A process from its start to its end, as a context manager.

    Raises:
        ServerError: It ended, or did not listen in time. The message holds the end of its output.
    """

    command: Sequence[str]
    port: int = 0  # to wait for, on the loopback interface
    cpu: int | None = None  # core to bind it to
    environment: dict[str, str] = field(default_factory=dict)  # beside this process's own
    folder: Path | None = None
    _output: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    _child: Any = None
    pid: int = 0

    def __enter__(self) -> Self:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": self._output, "stderr": subprocess.STDOUT}
        place = {"env": {**os.environ, **self.environment}, "cwd": self.folder}
        self._child = subprocess.Popen(self.command, preexec_fn=partial(_inChild, self.cpu), **pipes, **place)
        self.pid = self._child.pid
        try:
            self._waitUntilListening()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def check(self) -> None:
        """Raise `ServerError` if the process has ended by itself."""
        if self._child.poll() is not None:
            self._fail(f"ended with {self._child.returncode}")

    def _fail(self, what: str) -> None:
        # `pread` does not move the position of the file, which the child shares.
        output = os.pread(self._output.fileno(), 2000, max(0, os.fstat(self._output.fileno()).st_size - 2000))
        raise ServerError(f"{self.command} {what}:\n{output.decode(errors='replace')}")

    def _waitUntilListening(self) -> None:
        deadline = time.monotonic() + STARTING
        while self.port and not self._listens():
            self.check()
            if time.monotonic() > deadline:
                self._fail(f"does not listen after {STARTING} s")
            time.sleep(0.05)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

    def _end(self) -> None:
        self._child.terminate()
        # It must not wait for its clients.
        self._child.send_signal(signal.SIGINT)
        with self._output:
            try:
                self._child.wait(ENDING)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()


class Meter:
    """
    Reads the clocks of a server and of this process, the load client, at both ends of a window.

    Afterwards it has its `length` and the server's `cpu` in seconds, and the `memory` that the server has
    added since the meter was made, in bytes.
    """

    def __init__(self, server: Process) -> None:
        self._server = family(server.pid)
        self._idle = self._measureMemory()

    def begin(self) -> None:
        """Begin the window."""
        self._before = self._read()

    def end(self) -> None:
        """End the window."""
        used = [now - before for now, before in zip(self._read(), self._before, strict=True)]
        self.length, self.cpu, *self._others = used
        self.memory = self._measureMemory() - self._idle

    def figures(self, done: int) -> dict[str, float]:
        """Return the figures of every question; `cpu` is µs for each event, stream or viewer served in the window."""
        names = ("share", "client", "waited", "client waited")
        shares = [max(0.0, used) / self.length for used in (self.cpu, *self._others)]
        return {"cpu": self.cpu * 1e6 / max(1, done), **dict(zip(names, shares, strict=True))}

    def _read(self) -> list[float]:
        groups = (self._server, [os.getpid()])
        return [time.monotonic(), *(sum(map(read, pids)) for read in (cpuSeconds, waitedSeconds) for pids in groups)]

    def _measureMemory(self) -> int:
        return sum(memory(pid)["anonymous"] for pid in self._server)
