"""
Long answers of Responses that are continued after an event, by the first request after a restart.
"""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import environ
from pathlib import Path
from statistics import median

import process
from journal import Figures
from load import LoadError, request
from paced import Bench
from process import Meter, Process
from servers import PEERS, Installation, Makers, Server
from turns import ROOMY

#: Answers, and the part of their events after which they are continued.
PLACES = [(kind, part) for kind in ("tokens", "chunks") for part in (0.0, 0.5, 0.99)]

#: In every event; the head of a response may come earlier.
EVENT = b"\ndata: "

#: Bytes of one read. A shorter `send` than this is that of the head.
STEP, SHORT = 1 << 20, 1000

#: Seconds until `strace` watches.
ATTACHED = 0.5


def continued(bench: Bench) -> Makers:
    """Return ours for each place."""

    def make(one: Installation, number: int) -> Server:
        kind, part = PLACES[number]
        server = one.server(*ROOMY, "--keep=100000", variant=f"{kind}, after {part:.0%}", database=bench.folder)
        return replace(server, size=number)

    return bench.ours(*(lambda one, number=number: make(one, number) for number in range(len(PLACES))))


def measureContinued(bench: Bench, server: Server) -> Figures:
    """Measure how soon the rest of an answer comes, and with how many writes; each time after a start."""
    kind, part = PLACES[server.size]
    path = f"/v1/responses/resp_{kind}?stream=true&starting_after={int(bench.parameters.tokens * part)}"
    port = process.freePort()
    command = [server.python, str(PEERS / "fill_answers.py"), str(bench.folder / f"{port}.db")]
    env = {**environ, **server.environment}
    subprocess.run([*command, str(bench.parameters.tokens)], env=env, cwd=bench.folder, check=True)
    firsts, lasts = zip(
        *(_readOnce(bench, server, port, path) for _ in range(int(bench.parameters.turns))), strict=True
    )
    # Not timed: `strace` takes the time of many writes.
    with (
        Process(server.command(port), port, bench.core, server.environment, bench.folder) as child,
        _watchWrites(child.pid, bench.folder / "writes") as writes,
    ):
        meter = Meter(child)
        meter.begin()
        _read(port, path)
        meter.end()
    return {**meter.figures(1), "first": median(firsts), "last": median(lasts), "writes": len(writes)}


def _readOnce(bench: Bench, server: Server, port: int, path: str) -> tuple[float, float]:
    with Process(server.command(port), port, bench.core, server.environment, bench.folder):
        # The code has run once, but not with this answer.
        _read(port, "/v1/responses/resp_none")
        process.waitForQuiet(bench.patience)
        return _read(port, path)


def _read(port: int, path: str) -> tuple[float, float]:
    """Return the milliseconds to the first event, and to the last byte."""
    with socket.create_connection((process.HOST, port)) as connection:
        begin = time.monotonic()
        connection.sendall(request("GET", path, ("Connection: close",)))
        first, end = 0.0, b""
        while data := connection.recv(STEP):
            end += data
            if not first and EVENT in end:
                first = time.monotonic() - begin
            end = end[-SHORT:]
    if b"resp_none" not in path.encode() and b"[DONE]" not in end:
        raise LoadError(f"the answer ends with {end!r}")
    return first * 1000, (time.monotonic() - begin) * 1000


@contextmanager
def _watchWrites(pid: int, file: Path) -> Iterator[list[int]]:
    """Give a list, which gets the bytes of each write; empty without `strace`."""
    writes: list[int] = []
    if shutil.which("strace") is None:
        yield writes
        return
    command = ["strace", "-q", "-p", str(pid), "-e", "trace=sendto,sendmsg,write,writev", "-o", str(file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
        time.sleep(ATTACHED)
        yield writes
        tracer.send_signal(signal.SIGINT)
    for line in file.read_text(errors="replace").splitlines():
        size = line.rpartition(" = ")[2]
        if size.isdecimal() and int(size) > SHORT:
            writes.append(int(size))
