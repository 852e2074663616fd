"""
Servers that start in a tenth of the time, since they are forks of a process that has imported their code.

The tests start more than a thousand servers, and nearly all of the time of a start goes into imports. A command line of
`twistd` that differs from others in nothing that Python or the C library reads at the start runs in a fork; every other
command gets a process in the usual way. Both are children of the tests, with their own options, environment, folder
and output.

    process = startServer(command, output, env=environment)
    process.terminate()
    process.wait(10)
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

from sseserver.sources.launch import resetSignals

#: The script that a command must run, and the options before its subcommand.
TWISTD = str(Path(sys.executable).with_name("twistd"))

#: Begins the names of variables that are read before the first line of a program, or while its modules are imported.
EARLY = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "COVERAGE_", "LANG", "LC_", "TZ", "SSESERVER_PLAIN")

#: Option of `prctl`: orphans among the descendants of this process become its children.
_PR_SET_CHILD_SUBREAPER = 36

#: Bytes. Longest request to the process that forks: command line and environment.
_LONGEST = 1 << 20

#: The program of the process that forks. It has no thread, and no reactor: each fork makes its own.
_PROGRAM = """
import sys
sys.path[0] = {folder!r}
# That of the command. There may be another one beside the tests.
import sseserver
sys.path.insert(0, {tests!r})
from tests.integration.forkserver import serve
del sys.path[0]
serve({descriptor})
"""


class ForkedServer:
    """
    A server that runs in a fork: as much of `subprocess.Popen` as the tests need.

    Args:
        command: Its command line.
        pid: Its process, a child of this one.

    Attributes:
        args: Its command line.
        pid: Its process.
        returncode: Its exit status, or the negative number of the signal that ended it; `None` while it runs.
    """

    def __init__(self, command: list[str], pid: int) -> None:
        self.args = command
        self.pid = pid
        self.returncode: int | None = None
        self._ended = os.pidfd_open(pid)

    def __del__(self) -> None:
        os.close(self._ended)

    def fileno(self) -> int:
        """Return a descriptor that is readable once the process has ended."""
        return self._ended

    def poll(self) -> int | None:
        """Return `returncode`, after a look at the process."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """
        Wait for the end of the process.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Its `returncode`.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        end = select.poll()
        end.register(self._ended, select.POLLIN)
        end.poll(None if timeout is None else timeout * 1000)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once."""
        self.send_signal(signal.SIGKILL)


#: The process of a server, however it was started.
Process: TypeAlias = subprocess.Popen[bytes] | ForkedServer


class _ForkServer:
    """The process that forks, as the tests see it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._early = _findEarly(environment)
        self._lock = threading.Lock()
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = str(Path(__file__).resolve().parent.parent.parent)
        program = _PROGRAM.format(folder=str(Path(TWISTD).parent), tests=root, descriptor=other.fileno())
        with other, resetSignals():
            self._process = subprocess.Popen(
                [sys.executable, "-c", program], env=dict(environment), pass_fds=[other.fileno()]
            )

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Return whether a fork can have this environment."""
        return _findEarly(environment) == self._early

    def start(self, command: list[str], outputs: list[int], folder: str, environment: Mapping[str, str]) -> int:
        """Start a server in a fork, and return its process. The outputs are descriptors: its own, and for errors."""
        request = json.dumps([command, folder, dict(environment)]).encode()
        with self._lock, Path(os.devnull).open("rb") as nothing:
            _adoptOrphans(True)
            try:
                socket.send_fds(self._channel, [request], [nothing.fileno(), *outputs])
                answer = self._channel.recv(_LONGEST)
            finally:
                _adoptOrphans(False)
        if not answer:
            raise AssertionError(f"The process that forks has ended: {self._process.wait()}")
        return int(answer)


def _findEarly(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are read early. For Python, an empty one is none."""
    return {name: value for name, value in environment.items() if value and name.startswith(EARLY)}


def _adoptOrphans(isOn: bool) -> None:
    """Let orphans among the descendants become children of this process, or no longer."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(isOn), 0, 0, 0)


#: The process that forks, once there is one.
_servers: list[_ForkServer] = []


def startServer(command: list[str], output: IO[bytes], errors: IO[bytes] | None = None, **keywords: Any) -> Process:
    """
    Start a server whose signals have their default actions.

    Args:
        command: Its command line.
        output: Gets all that it writes.
        errors: Gets what it writes to standard error instead.
        keywords: Passed to `subprocess.Popen`. A server with others than `cwd` and `env` gets a process of its own.

    Returns:
        The process, a child of this one.
    """
    environment = keywords.get("env") or dict(os.environ)
    if command[:2] == [sys.executable, TWISTD] and not keywords.keys() - {"cwd", "env"}:
        if not _servers:
            _servers.append(_ForkServer(environment))
        if _servers[0].fits(environment):
            folder, outputs = str(keywords.get("cwd") or Path.cwd()), [output.fileno(), (errors or output).fileno()]
            return ForkedServer(command, _servers[0].start(command, outputs, folder, environment))
    with resetSignals():
        return subprocess.Popen(command, stdout=output, stderr=errors or subprocess.STDOUT, **keywords)


# The process that forks.


def serve(descriptor: int) -> None:
    """Import the server, and fork for each request, until the tests end."""
    from twisted.scripts.twistd import run

    import sseserver.tap

    assert "twisted.internet.reactor" not in sys.modules, sseserver.tap
    # A collection in a fork would copy all of this.
    gc.collect()
    gc.freeze()
    channel = socket.socket(fileno=descriptor)
    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, _LONGEST, 3)
        if not request:
            return
        pid = _fork()
        if not pid:
            break
        for one in descriptors:
            os.close(one)
        channel.send(str(pid).encode())
    channel.close()
    command, folder, environment = json.loads(request)
    for target, source in enumerate(descriptors):
        os.dup2(source, target)
        os.close(source)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command[1:]
    status = 0

    def leave() -> None:
        # To release every object of the imported code would take longer than all else.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    # Python calls it last: after the threads have ended, and after what the server has registered.
    atexit.register(leave)
    status = _runToEnd(run)


def _runToEnd(program: Callable[[], object]) -> int:
    """Run a program, and return its exit status, as Python finds it."""
    try:
        program()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _fork() -> int:
    """Fork twice, so that the tests and not this process get the child; return its process, and 0 in itself."""
    reading, writing = os.pipe()
    between = os.fork()
    if between:
        os.close(writing)
        os.waitpid(between, 0)
        try:
            return int(os.read(reading, 32))
        finally:
            os.close(reading)
    os.close(reading)
    child = os.fork()
    if child:
        os.write(writing, str(child).encode())
        os._exit(0)
    os.close(writing)
    return 0
