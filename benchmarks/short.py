"""
The question: what does a short stream cost, with its connection?

    python benchmarks/short.py [--count 20] [--at-once 50] [--seconds 5] [--rounds 3] [--only NAME] [--json FILE]

Connect, ask, get 20 tokens, closed by the server: 50 such viewers at a time, and each that has ended is followed by the
next. The tokens come as fast as the server sends them (`--rate 20`: at that pace; `--at-once 500` is wise then).
Measured in turn, round after round, with a new server process each time: the peers, bare Twisted (the baseline), a C
program (the floor), sseserver.

Sseserver is asked in two ways: with a `GET /`, as a page does it (format `text`), and, "POST, GET", as a program does
it that wants to name and share its stream: `POST /streams`, then a GET in format `events` on the same connection. It
keeps every stream for those who come back, and joins tokens that wait; the peers do neither.

Printed for each server, as medians of the rounds:

* CPU time of its process in µs for each stream, and the ratio to others in the same round;
* streams each second: with the default rate the server is never idle, so this is what one core can do;
* first: milliseconds from before `connect` to the first bytes of the body, p50 and p99; last: to the end;
* faults (the worst round): viewers that did not get the text, were refused, or cut;
* no core, client (the worst round): see `rounds.py`.
"""

from __future__ import annotations

import argparse
import gc
import os
import select
import socket
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import others
import process
import rounds
import servers
from journal import Dechunker, parseEvent, spread
from load import EVENT_STREAM, READ_SIZE, request, splitHead

NAMED = "sseserver, POST, GET"
HEADERS = (*EVENT_STREAM, "Connection: close")
WARM = 0.5  # seconds before the window


@dataclass(slots=True)
class Visit:
    """
    One viewer.

    Args:
        connection: Its socket.
        begin: Before it connected, monotonic.
        posted: Whether it waits for the answer to a POST.
        received: What has come of its event stream, with the head; of a POST's answer, what has come so far.
        first: When the first bytes of the body came; 0: not yet.
        end: When all had come.
    """

    connection: socket.socket
    begin: float
    posted: bool
    received: bytearray = field(default_factory=bytearray)
    first: float = 0.0
    end: float = 0.0


@dataclass(frozen=True, slots=True)
class Short(rounds.Sample):
    """
    One server in one round; `cpu` is for each stream.

    Args:
        rate: Streams each second.
        first: Milliseconds until the first bytes of a body: p50, p99, p99.9, max.
        last: Milliseconds until the end.
        faults: What should be 0.
        clientShare: CPU time of this process / length of the window.
    """

    rate: float
    first: dict[str, float]
    last: dict[str, float]
    faults: int
    clientShare: float


class Visitors:
    """
    Keeps a number of viewers at a server. While it is measured it only connects, sends, reads and looks at the clock;
    what came is read afterwards.

    Args:
        port: The server's.
        atOnce: How many at a time.
        post: Where each POSTs first; `None`: it does not.

    Attributes:
        done: All that have ended.
    """

    def __init__(self, port: int, atOnce: int, post: str | None) -> None:
        self._port = port
        self._atOnce = atOnce
        self._get = request("GET", "/", HEADERS)
        self._post = None if post is None else request("POST", post, (), "{}")
        self._epoll = select.epoll()
        self._now: dict[int, Visit] = {}
        self.done: list[Visit] = []

    def runUntil(self, moment: float) -> None:
        """
        Let them come and go until then.
        """
        while len(self._now) < self._atOnce:
            self._come()
        while (left := moment - time.monotonic()) > 0:
            for descriptor, _ in self._epoll.poll(left):
                self._read(descriptor)

    def close(self) -> None:
        """
        Leave.
        """
        for visit in self._now.values():
            visit.connection.close()
        self._epoll.close()

    def _come(self) -> None:
        begin = time.monotonic()
        connection = socket.create_connection((process.HOST, self._port), timeout=10)
        self._now[connection.fileno()] = Visit(connection, begin, self._post is not None)
        connection.sendall(self._post or self._get)
        self._epoll.register(connection, select.EPOLLIN)

    def _read(self, descriptor: int) -> None:
        visit = self._now[descriptor]
        try:
            data = os.read(descriptor, READ_SIZE)
        except ConnectionError:
            data = b""
        visit.received += data
        if not data:
            self._leave(descriptor, visit)
        elif visit.posted:
            self._follow(visit)
        elif not visit.first and (end := visit.received.find(b"\r\n\r\n")) >= 0 and len(visit.received) > end + 4:
            visit.first = time.monotonic()

    def _follow(self, visit: Visit) -> None:
        head = splitHead(bytes(visit.received))
        if head is not None and len(head[2]) >= int(head[1]["content-length"]):
            visit.posted, visit.received = False, bytearray()
            visit.connection.sendall(request("GET", urlsplit(head[1]["location"]).path, HEADERS))

    def _leave(self, descriptor: int, visit: Visit) -> None:
        visit.end = time.monotonic()
        del self._now[descriptor]
        visit.connection.close()
        self.done.append(visit)
        self._come()


def textOf(received: bytes) -> str:
    """
    The text of a response; of format `text` its last event has all of it.
    """
    head = splitHead(received)
    if head is None or head[0] != 200:
        return ""
    chunked = head[1].get("transfer-encoding", "").lower() == "chunked"
    body = Dechunker().feed(head[2]) if chunked else head[2]
    events = [event for block in body.split(b"\n\n") if (event := parseEvent(0, block)) and not event.type]
    whole = [event.data for event in events]
    return (whole[-1] if whole and whole[0] == b"" else b"".join(whole)).decode()


def measure(server: servers.Server, round: int, options: argparse.Namespace, core: int | None) -> Short:
    """
    Start a server, measure it, end it.
    """
    pid = os.getpid()
    with servers.started(server, core) as child:
        meter = rounds.Meter(child)
        visitors = Visitors(child.port, options.at_once, server.post)
        gc.collect()
        gc.disable()
        try:
            visitors.runUntil(time.monotonic() + WARM)
            visitors.done.clear()
            meter.begin()
            begin, cpu = time.monotonic(), process.cpuSeconds(pid)
            visitors.runUntil(begin + options.seconds)
            length, cpu = time.monotonic() - begin, process.cpuSeconds(pid) - cpu
            meter.end()
        finally:
            visitors.close()
            gc.enable()
    done, text = visitors.done, servers.words(options.count)
    return Short(
        server.name,
        round,
        **meter.figures(len(done), length),
        rate=rounds.round3(len(done) / length),
        first=spread(visit.first - visit.begin for visit in done if visit.first),
        last=spread(visit.end - visit.begin for visit in done),
        faults=sum(textOf(bytes(visit.received)) != text for visit in done),
        clientShare=rounds.round3(cpu / length),
    )


def measureAll(options: argparse.Namespace) -> list[Short]:
    """
    All rounds.
    """
    core = rounds.pin(options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "words.txt"
        file.write_text(servers.words(options.count))
        work = others.Work(options.rate, options.count)
        interval = 1 / options.rate if options.rate else 0
        makers: others.Makers = {
            **others.frameworks(work),
            others.FLOOR: lambda: others.floor(work, folder),
            servers.OURS: lambda: replace(servers.sseserver(interval, file), post=None),
            NAMED: lambda: replace(servers.sseserver(interval, file), name=NAMED),
        }
        chosen = rounds.choose(makers, options.only)
        return rounds.inTurn(
            chosen, options.rounds, options.patience, lambda server, number: measure(server, number, options, core)
        )


def table(runs: list[Short]) -> str:
    """
    The table, in Markdown.
    """
    baselines = rounds.present(runs, [others.FLOOR, others.UVICORN, others.BASELINE])
    head = ["server", "µs/stream", *(f"/ {name}" for name in baselines), "streams/s", "first ms p50", "p99"]
    rows = []
    for name in dict.fromkeys(run.server for run in runs):
        own = [run for run in runs if run.server == name]
        times = [
            median(times[part] for times in of)
            for of in ([run.first for run in own], [run.last for run in own])
            for part in ("p50", "p99")
        ]
        rows.append(
            [
                *rounds.costs(runs, name, baselines),
                f"{median(run.rate for run in own):.0f}",
                *(f"{value:.1f}" for value in times),
                str(max(run.faults for run in own)),
                f"{max(run.waited for run in own):.0%}",
                f"{max(run.clientShare for run in own):.0%}",
            ]
        )
    return rounds.markdown([*head, "last ms p50", "p99", "faults", "no core", "client"], rows)


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="tokens of each stream")
    parser.add_argument("--at-once", type=int, default=50, help="viewers at a time")
    parser.add_argument(
        "--rate", type=float, default=0.0, help="tokens each second of each stream; 0: as fast as it goes"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the window")
    rounds.addOptions(parser)
    rounds.addOnly(parser)
    return parser.parse_args()


def main() -> None:
    """
    Measure, print the table, write the JSON.
    """
    options = parseArguments()
    runs = measureAll(options)
    what = f"{options.count} tokens, {options.at_once} viewers at a time"
    rounds.report(options, runs, f"{what}, {options.rounds} x {options.seconds:g} s", table(runs))


if __name__ == "__main__":
    main()
