"""
Real server processes for the tests, and functions that send them requests.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import sseserver
from sseserver.options import KEY_VARIABLE
from sseserver.options.variables import TOKEN_KEY_VARIABLE
from sseserver.wire import Decoder, Event
from tests.integration.forkserver import TWISTD, Process, startServer

ROOT = Path(__file__).resolve().parent.parent.parent

#: Begins the secrets that each server has in its environment. It must be in nothing that a server writes or answers.
CANARY = "canary-2f9c41d7"

#: Environment of programs that import sseserver: they get the same package as the tests, the tree or an installed one.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(sseserver.__file__).resolve().parent.parent),
    KEY_VARIABLE: f"{CANARY}-upstream",
    TOKEN_KEY_VARIABLE: f"{CANARY}-{'j' * 64}",
}

#: Environment of programs that are tests. They are started with `-P`, or in a folder without a package: what is beside
#: the tests may not be what is tested.
TESTS_ENVIRONMENT = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([ENVIRONMENT["PYTHONPATH"], str(ROOT)])}

#: Seconds. Longest time for a process to listen, answer or end; on a busy machine the import of Twisted takes some.
PATIENCE = 120.0


#: Environments of tox that start servers. Some of them run at the same time.
_PLACES = ("pytest", "plain", "compiled")

#: Number. Processes of pytest-xdist in one of them that have ports of their own.
_PROCESSES = 8


def _samplePorts() -> Iterator[int]:
    environment = os.environ.get("TOX_ENV_NAME")
    place = _PLACES.index(environment) if environment in _PLACES else 0
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    step = len(_PLACES) * _PROCESSES
    ports = range(20_000 + place * _PROCESSES + process, 32_768, step)
    while True:
        yield from random.sample(ports, len(ports))


_PORTS = _samplePorts()


def freePort() -> int:
    """
    Return a free port of 127.0.0.1.

    It is below 32768, where Linux takes the ports of clients from: a browser or `pip` could otherwise take it before
    the server listens. Each process of pytest-xdist has ports of its own, in each environment of tox, and takes none
    twice: two servers that start at the same time would both get it.
    """
    for port in islice(_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("No port is free.")


#: Options of a server that stops at once: it waits for no load balancer, and ends its runs.
QUICK = ("--drain-wait=0", "--drain=0")


def twistd(*arguments: str) -> list[str]:
    """Return the command line of `twistd` in the foreground, for a server that stops at once unless it says else."""
    start = [sys.executable, TWISTD, "-n", "--pidfile="]
    words = ((word, *QUICK) if word == "sseserver" else (word,) for word in arguments)
    return [*start, *(word for each in words for word in each)]


def runServer(command: list[str], folder: str | Path = ROOT) -> subprocess.CompletedProcess[str]:
    """
    Run a server that ends by itself.

    Args:
        command: Its command line.
        folder: Its working directory.

    Returns:
        Its output and its exit status.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = startServer(command, output, errors, cwd=folder, env=ENVIRONMENT)
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        texts = [os.pread(file.fileno(), 1 << 24, 0).decode() for file in (output, errors)]
    return subprocess.CompletedProcess(command, status, *texts)


@contextlib.contextmanager
def serving(command: list[str], port: int, output: IO[bytes] | None = None, **keywords: object) -> Iterator[Process]:
    """
    Run a server process for the time of a `with` block.

    Args:
        command: Its command line.
        port: The block begins when the process listens on this port.
        output: Gets the output of the process; the default is a file of its own. A pipe that nobody reads would fill
            up and stop the process.
        keywords: Passed to `subprocess.Popen`; the default of `env` is `ENVIRONMENT`.
    """
    with contextlib.ExitStack() as stack:
        output = output or stack.enter_context(tempfile.TemporaryFile())
        process = startServer(command, output, **{"env": ENVIRONMENT, **keywords})
        try:
            awaitListening(process, port, output)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            checkSecrets(Path(f"/proc/self/fd/{output.fileno()}").read_bytes(), "The output of a server")


def checkSecrets(text: bytes, place: str) -> None:
    """
    Check that a text has no secret of the servers.

    Args:
        text: Something that a server has written or answered.
        place: Names it.
    """
    if CANARY.encode("ascii") in text:
        raise AssertionError(f"{place} shows a secret.")


def awaitListening(process: Process, port: int, output: IO[bytes]) -> None:
    """
    Wait until a process listens on a port.

    Args:
        process: The process.
        port: Its port on 127.0.0.1.
        output: What it has written, for the message of the error.

    Raises:
        AssertionError: It has ended, or does not listen in time.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            output.seek(0)
            raise AssertionError(f"The server ended: {output.read().decode()}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("The server does not listen.")


def ask(
    port: int, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    """
    Send one request and read the whole response.

    Returns:
        Status, headers by lower-case name, and body.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        checkSecrets(f"{answer.getheaders()}".encode() + content, f"The answer to {method} {path}")
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content
    finally:
        connection.close()


def stream(port: int, path: str, headers: dict[str, str] | None = None) -> list[Event]:
    """Read an event stream to its end."""
    status, _, body = ask(port, "GET", path, {"Accept": "text/event-stream", **(headers or {})})
    assert status == 200, (status, body)
    return Decoder().feed(body)
