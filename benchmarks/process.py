"""
One server process: start it, wait until it listens, read what it costs, end it.

Used by the benchmarks as a context manager::

    with ServerProcess([sys.executable, "peers/bare_twisted.py", "--port", "8123"], 8123, cpu=1) as server:
        before = server.cpuSeconds()
        ...
        print(server.cpuSeconds() - before, server.memory().uss)

By hand, what a running process costs within some seconds::

    python benchmarks/process.py PID [SECONDS]

Linux only. The process is ended by its own PID when the block is left, and the kernel kills it when this process dies
first: so no run outlives its benchmark.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)


class ServerError(Exception):
    """
    A server did not start, or died while it was measured.
    """


@dataclass(frozen=True, slots=True)
class Memory:
    """
    Memory of one process in bytes, from `/proc/PID/smaps_rollup`.

    Args:
        anonymous: Pages that belong to no file: heap and stacks. These are what a server pays for its viewers.
        uss: What would be free if the process ended: its private pages. The pages of Python's own files are among
            them or not, as other processes with the same files come and go: by megabytes, so no good for differences.
        pss: As `uss`, and its share of the pages that it has in common with others.
        rss: All pages that it has in memory.
    """

    anonymous: int
    uss: int
    pss: int
    rss: int


def raiseDescriptorLimit() -> int:
    """
    Raise the soft limit of open descriptors to the hard limit, and return it.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def freePort() -> int:
    """
    A TCP port on the loopback interface on which nobody listens at the moment.

    It is none of those from which Linux takes a client's own port (from 32768 on): there are thousands of viewers.
    """
    for port in random.sample(range(20_000, 32_768), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise ServerError("no port is free")


def cores() -> tuple[int | None, int | None]:
    """
    The cores for the load client and for the server: two different ones, or `None` twice on a machine with one core.
    """
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[-1]) if len(allowed) > 1 else (None, None)


def cpuSeconds(pid: int) -> float:
    """
    User and system time of a process in seconds, exact to nanoseconds, with that of threads that have ended.

    `/proc/PID/stat` has the same sum in ticks of 10 ms, and `/proc/PID/schedstat` only the first thread's; so we read
    the CPU clock of the process, whose ID is made from the PID as `clock_getcpuclockid(3)` does it (in the kernel's
    words: `MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)`).
    """
    return time.clock_gettime((~pid << 3) | 2)


def waitedSeconds(pid: int) -> float:
    """
    How long the main thread of a process stood ready but had no core, in seconds: the noise of a shared machine.

    What its other threads used is taken off, for on one core it is they that it waited for; so this may be below 0.
    """
    own, others = 0, 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        used, waited, _ = map(int, (task / "schedstat").read_text().split())
        if task.name == str(pid):
            own = waited
        else:
            others += used
    return (own - others) / 1e9


def _machineTicks() -> tuple[int, int]:
    # First line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal (what follows is within `user`).
    ticks = [int(part) for part in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]


def waitForQuiet(patience: float, busy: float = 0.05, seconds: float = 2.0) -> float:
    """
    Wait until other work leaves the machine alone.

    Args:
        patience: Seconds to wait at most; 0: do not wait.
        busy: What share of all cores others may use.
        seconds: For how long they must use no more.

    Returns:
        The share that was busy when last looked at.
    """
    deadline, share = time.monotonic() + patience, 0.0
    while time.monotonic() < deadline:
        total, idle = _machineTicks()
        time.sleep(seconds)
        totalThen, idleThen = _machineTicks()
        share = 1 - (idleThen - idle) / max(1, totalThen - total)
        if share <= busy:
            break
    return share


def memory(pid: int) -> Memory:
    """
    Memory of a process.
    """
    kilobytes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        kilobytes[name] = int(value.split()[0])
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return Memory(kilobytes["Anonymous"] * 1024, private * 1024, kilobytes["Pss"] * 1024, kilobytes["Rss"] * 1024)


def _inChild(cpu: int | None) -> Callable[[], None]:
    """
    What a new server does to itself before it runs: dies with its parent, may open many descriptors, stays on its core.
    """

    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        raiseDescriptorLimit()
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    return prepare


class ChildProcess:
    """
    A process from its start to its end.

    Args:
        command: Its command line (no shell, no wrapper), as it is measured by its PID.
        cpu: The core to which it is bound; `None`: all.
        environment: Variables beside those of this process.
        patience: Seconds until it must have ended after SIGTERM.
    """

    def __init__(
        self,
        command: Sequence[str],
        cpu: int | None = None,
        environment: dict[str, str] | None = None,
        patience: float = 15.0,
    ) -> None:
        self.command = list(command)
        self._cpu = cpu
        self._environment = {**os.environ, **(environment or {})}
        self._patience = patience
        self._output = tempfile.TemporaryFile()

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=self._environment,
            preexec_fn=_inChild(self._cpu),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._child.pid

    def cpuSeconds(self) -> float:
        """See `cpuSeconds`."""
        return cpuSeconds(self.pid)

    def waitedSeconds(self) -> float:
        """See `waitedSeconds`."""
        return waitedSeconds(self.pid)

    def memory(self) -> Memory:
        """See `memory`."""
        return memory(self.pid)

    def check(self) -> None:
        """
        Make sure that it runs.

        Raises:
            ServerError: It has ended by itself. The last lines of its output are in the error.
        """
        if self._child.poll() is not None:
            raise ServerError(f"{self.command} ended with {self._child.returncode}:\n{self.output()}")

    def output(self, last: int = 2000) -> str:
        """
        The end of what it has printed, at most `last` bytes.
        """
        # pread does not move the file's position, which is shared with the child.
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), last, max(0, size - last)).decode(errors="replace")

    def _end(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(self._patience)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        finally:
            self._output.close()


class ServerProcess(ChildProcess):
    """
    A server that listens on one loopback port, from its start to its end.

    Args:
        command: As for `ChildProcess`.
        port: The port on which it will listen.
        cpu: As for `ChildProcess`.
        environment: As for `ChildProcess`.
        starting: Seconds until it must listen. (LiteLLM takes 15 on a quiet machine.)

    Raises:
        ServerError: From `with`: it ended, or did not listen in time. The last lines of its output are in the error.
    """

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        cpu: int | None = None,
        environment: dict[str, str] | None = None,
        starting: float = 60.0,
    ) -> None:
        super().__init__(command, cpu, environment)
        self.port = port
        self._starting = starting

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._waitUntilListening()
        except BaseException:
            self._end()
            raise
        return self

    def _waitUntilListening(self) -> None:
        deadline = time.monotonic() + self._starting
        while not self._listens():
            self.check()
            if time.monotonic() > deadline:
                raise ServerError(f"{self.command} did not listen within {self._starting} s:\n{self.output()}")
            time.sleep(0.05)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((HOST, self.port)) == 0


def main(arguments: Sequence[str]) -> None:
    """
    Print what a running process costs.
    """
    pid = int(arguments[0])
    seconds = float(arguments[1]) if len(arguments) > 1 else 1.0
    cpu, waited = cpuSeconds(pid), waitedSeconds(pid)
    time.sleep(seconds)
    print(f"CPU {(cpuSeconds(pid) - cpu) / seconds:.1%}")
    print(f"ready without a core {(waitedSeconds(pid) - waited) / seconds:.1%}")
    print(memory(pid))


if __name__ == "__main__":
    main(sys.argv[1:])
