"""
Measurements of two servers that share their streams in a Redis.

The Redis has a file of its own only in memory: its disk is not part of the question.
"""

import contextlib
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.error import HTTPError

import process
from journal import Figures, judgePaced, judgeStamped
from load import Load, Plan
from paced import Bench, loadFigures, measureFanOut, runLoad
from process import Meter, Process
from servers import PEERS, Server, SkipError, ask, words

#: Seconds. Longest time until a server has its Redis.
PATIENCE = 10.0


def startRedis(bench: Bench, server: Server) -> Process:
    """Return the process of the Redis of a server, on the load client's core."""
    program = shutil.which("redis-server")
    if program is None:
        raise SkipError("not installed (redis-server)")
    core = None if bench.core is None else process.cores()[0]
    options = ["--port", str(server.redis), "--bind", process.HOST, "--save", "", "--appendonly", "no"]
    return Process([program, *options], server.redis, core, folder=bench.folder)


@contextlib.contextmanager
def _share(bench: Bench, server: Server) -> Iterator[tuple[Process, Process, Process]]:
    """Start a Redis and two servers."""
    with startRedis(bench, server) as redis, bench.start(server) as first, bench.start(server) as second:
        for each in (first, second):
            awaitRedis(each.port)
        yield redis, first, second


def awaitRedis(port: int) -> None:
    """Wait until a server has its Redis; before, it refuses requests."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            ask(port, "GET", "/readyz")
        except HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def countScripts(port: int) -> int:
    """Return how many scripts a Redis has run. Commands inside a script are not counted."""
    with socket.create_connection((process.HOST, port)) as connection:
        connection.sendall(b"INFO commandstats\r\n")
        answer = connection.recv(65_536)
    rows = [line for line in answer.split(b"\r\n") if line.startswith(b"cmdstat_evalsha:calls=")]
    return int(rows[0].partition(b"=")[2].split(b",")[0]) if rows else 0


class Meters(Meter):
    """
    Reads the clocks of a server, of others, and of this process.

    Args:
        server: The server that `cpu` is of.
        others: The other server, and the Redis.
        port: Port of the Redis.
    """

    def __init__(self, server: Process, others: tuple[Process, Process], port: int) -> None:
        super().__init__(server)
        self._beside, self._port = others, port

    def begin(self) -> None:
        """Begin the window."""
        self._usedBefore, self._scriptsBefore = self._readOthers()
        super().begin()

    def end(self) -> None:
        """End the window."""
        super().end()
        used, scripts = self._readOthers()
        self.scripts = scripts - self._scriptsBefore
        self.used = [now - before for now, before in zip(used, self._usedBefore, strict=True)]

    def _readOthers(self) -> tuple[list[float], int]:
        return [process.cpuSeconds(each.pid) for each in self._beside], countScripts(self._port)


def measureSharedRuns(bench: Bench, server: Server) -> Figures:
    """Measure runs of one server whose viewers are at another one; `cpu` is that of the latter for each token."""
    p = bench.parameters
    with _share(bench, server) as (redis, first, second):
        paths = tuple(ask(first.port, "POST", "/streams", b"{}")[0]["location"] for _ in range(p.viewers))
        meter = Meters(second, (first, redis), server.redis)
        plan = Plan(second.port, paths=paths, viewers=p.viewers, settle=2, seconds=p.seconds, rest=p.rest)
        journal = Load(plan, meter.begin, meter.end).run()
    judged = judgePaced(journal, p.viewers, p.rate, words(bench.tokens))
    return {**loadFigures(meter, p.viewers, judged), **_divide(meter, judged)}


def _divide(meter: Meters, judged: Figures) -> Figures:
    """Return the figures of the other server and of the Redis, for each event."""
    events = max(1, judged["events"])
    first, redis = (used * 1e6 / events for used in meter.used)
    return {"writer": first, "redis": redis, "commands": meter.scripts / events}


def measureSharedFanOut(bench: Bench, server: Server) -> Figures:
    """Measure a stream with as many viewers at each of two servers; `cpu` is that of both for each delivery."""
    if not server.redis:
        return measureFanOut(bench, server)
    p, channel = bench.parameters, server.channel
    with _share(bench, server) as (redis, first, second):
        ask(first.port, "PUT", channel.create)
        values = [str(first.port), channel.publish, str(p.rate), str(bench.tokens)]
        with Process([sys.executable, str(PEERS / "publisher.py"), *values, "json"]) as publisher:
            plan = Plan(first.port, path=channel.watch, ports=(first.port, second.port), seconds=0.5)
            runLoad(first, replace(plan, viewers=2))
            meter = Meters(second, (first, redis), server.redis)
            plan = replace(plan, viewers=2 * p.viewers, settle=1, seconds=p.seconds, rest=p.rest)
            journal = Load(plan, meter.begin, meter.end).run()
            publisher.check()
    judged = judgeStamped(journal, 2 * p.viewers, p.rate)
    figures = {**loadFigures(meter, 2 * p.viewers, judged), **_divide(meter, judged)}
    return {**figures, "cpu": figures["cpu"] + figures["writer"]}
