"""
Servers that are forks: they are like those with a process of their own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.integration.forkserver import ForkedServer, Process, startServer
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, awaitListening, freePort, runServer, twistd

#: Keywords with which the same command gets a fork, and a process of its own.
WAYS = ({}, {"stdin": subprocess.DEVNULL})


def start(folder: Path, environment: dict[str, str], **keywords: int) -> tuple[Process, int, bytes]:
    """Start a server; return its process, its port, and what it has written once it is ready for signals."""
    port = freePort()
    command = twistd("sseserver", f"--listen=tcp:{port}:interface=127.0.0.1")
    with tempfile.TemporaryFile() as output:
        process = startServer(command, output, cwd=folder, env=environment, **keywords)
        awaitListening(process, port, output)
        deadline = time.monotonic() + PATIENCE
        while b"Open http://" not in (written := os.pread(output.fileno(), 1 << 20, 0)):
            assert time.monotonic() < deadline, written
            time.sleep(0.01)
    return process, port, written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_sameAsUsual(tmp_path: Path, number: signal.Signals) -> None:
    """Both ways of a start give the same folder, environment, children, answers and exit status."""
    seen = []
    for keywords in WAYS:
        process, port, _ = start(tmp_path, {**ENVIRONMENT, "MARK": "here"}, **keywords)
        place = Path("/proc", str(process.pid))
        parent = place.joinpath("stat").read_text("ascii").rpartition(") ")[2].split()[1]
        descriptors = {path.name for path in (place / "fd").iterdir() if int(path.name) < 3}
        answer = ask(port, "GET", "/healthz")[0]
        process.send_signal(number)
        seen.append((str((place / "cwd").readlink()), int(parent), descriptors, answer, process.wait(PATIENCE)))
        assert process.poll() == seen[-1][-1]
        assert isinstance(process, ForkedServer) is (not keywords)
    assert seen[0] == seen[1]
    assert seen[0][:2] == (str(tmp_path), os.getpid())


def test_outputs(tmp_path: Path) -> None:
    """Standard output and standard error are told apart, and the exit status is the same."""
    for options in ("--version", "--interval=-1"):
        command = twistd("sseserver", options)
        usual = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        forked = runServer(command, tmp_path)
        assert (usual.returncode, usual.stdout, usual.stderr) == (forked.returncode, forked.stdout, forked.stderr)
        assert bool(usual.stderr) is bool(usual.returncode) is not bool(usual.stdout)


def test_environment(tmp_path: Path) -> None:
    """A variable that Python reads at its start has its effect: the server gets a process of its own."""
    process, _, _ = start(tmp_path, {**ENVIRONMENT, "PYTHONHASHSEED": "7"})
    assert not isinstance(process, ForkedServer)
    process.kill()
    assert process.wait(PATIENCE) == -signal.SIGKILL


def test_patience(tmp_path: Path) -> None:
    """A server that runs on is told from one that has ended."""
    process, _, _ = start(tmp_path, ENVIRONMENT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    assert process.poll() is None
    process.kill()
    assert process.wait(PATIENCE) == -signal.SIGKILL
    # Its number may belong to another process now.
    process.terminate()
