"""
Real server processes for the tests, and what asks them questions.
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
from pathlib import Path
from typing import IO

import sseserver
from sseserver.wire import Decoder, Event

ROOT = Path(__file__).resolve().parent.parent.parent

#: For programs that import sseserver: the same that the tests import, be it this tree or what is installed.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(sseserver.__file__).resolve().parent.parent)}

#: Seconds that a process has to listen, to answer, or to end; a busy machine needs some only to import Twisted.
PATIENCE = 120.0


def freePort() -> int:
    """
    Find a port of 127.0.0.1 that nobody listens on.

    It is none of those from which Linux takes a client's own port (from 32768 on): until the server listens a browser
    or a `pip` might connect from it.
    """
    for port in random.sample(range(20_000, 32_768), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("No port is free.")


def twistd(*arguments: str) -> list[str]:
    """Give the command line of `twistd` in the foreground."""
    return [sys.executable, str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", *arguments]


@contextlib.contextmanager
def serving(
    command: list[str], port: int, output: IO[bytes] | None = None, **keywords: object
) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run a server process until it is no longer needed.

    Args:
        command: Its command line.
        port: Where it is waited for.
        output: Takes what it writes; without one, a file of its own. Never a pipe: one that nobody reads fills up,
            and stops the process.
        keywords: For L{subprocess.Popen}.
    """
    with contextlib.ExitStack() as stack:
        output = output or stack.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **keywords)
        try:
            _awaitPort(process, port, output)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _awaitPort(process: subprocess.Popen[bytes], port: int, output: IO[bytes]) -> None:
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
    Make one request and read the whole answer: for answers that end.

    Returns:
        Status, headers (names in lower case), body.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def stream(port: int, path: str, headers: dict[str, str] | None = None) -> list[Event]:
    """Read an event stream to its end."""
    status, _, body = ask(port, "GET", path, {"Accept": "text/event-stream", **(headers or {})})
    assert status == 200, (status, body)
    return Decoder().feed(body)
