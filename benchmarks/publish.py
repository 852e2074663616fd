"""
The question: what does publishing cost, with each store?

    python benchmarks/publish.py [--publishers 8] [--list 100] [--seconds 5] [--rounds 3] [--only NAME] [--json FILE]

Eight publishers, each with one connection and a stream of its own that nobody watches, POST without a pause: the next
one when the last was answered. First one event a POST, then lists of 100. Measured in turn, round after round, with a
new server process each time: sseserver with its stores, memory and SQLite (`--folder`: the disk in question). An answer
of sseserver means that the events are in the store; for comparison uvicorn (bare ASGI) and nginx with nchan, which take
single events into one stream and keep nothing, or the last 1,000.

Printed for each, as medians of the rounds:

* CPU time of the server in µs for each event;
* events each second, and POSTs;
* milliseconds from a POST to its answer: p50, p99, p99.9, max;
* faults (the worst round): answers that were none of success, and events that are not in the stream in the end;
* no core, client: see `rounds.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import others
import process
import rounds
import servers
from journal import spread
from load import READ_SIZE, request, splitHead

DATA = "x" * 40  # as long as a stamp and a number
WARM = 0.5  # seconds before the window


class PublishError(Exception):
    """
    A server does not keep a connection, so there is nothing to compare.
    """


@dataclass(slots=True)
class Publisher:
    """
    One publisher.

    Args:
        connection: Its socket.
        body: The whole of its request.
        path: Of its stream.
        sent: When it sent its last POST, monotonic.
        received: What has come of the answer.
        count: Answers so far.
    """

    connection: socket.socket
    body: bytes
    path: str
    sent: float = 0.0
    received: bytes = b""
    count: int = 0

    def publish(self) -> None:
        """
        Send the next POST.
        """
        self.sent, self.received = time.monotonic(), b""
        self.connection.sendall(self.body)

    def answered(self) -> int | None:
        """
        The status of the answer; `None`: it is not complete.
        """
        head = splitHead(self.received)
        if head is None:
            return None
        status, headers, body = head
        if headers.get("transfer-encoding", "").lower() == "chunked":
            whole = body.endswith(b"0\r\n\r\n")
        else:
            whole = len(body) >= int(headers.get("content-length", 0))
        return status if whole else None


@dataclass(frozen=True, slots=True)
class Published(rounds.Sample):
    """
    One server in one round; `cpu` is for each event.

    Args:
        posts: Each second.
        events: Each second.
        answer: Milliseconds until the answer: p50, p99, p99.9, max.
        faults: What should be 0.
        clientShare: CPU time of this process / length of the window.
    """

    posts: float
    events: float
    answer: dict[str, float]
    faults: int
    clientShare: float


class Publishers:
    """
    All of them, in one process.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.all: dict[int, Publisher] = {}
        self.answers: list[float] = []
        self.refused = 0

    def add(self, port: int, path: str, body: str) -> None:
        """
        One begins.
        """
        connection = socket.create_connection((process.HOST, port), timeout=10)
        publisher = Publisher(connection, request("POST", path, (), body), path)
        self.all[connection.fileno()] = publisher
        self._epoll.register(connection, select.EPOLLIN)
        publisher.publish()

    def runUntil(self, moment: float, go: bool = True) -> None:
        """
        Publish until then; without `go` only take the answers that are due, and end with the last.
        """
        waiting = set(self.all)
        while (left := moment - time.monotonic()) > 0 and waiting:
            for number, _ in self._epoll.poll(left):
                publisher = self.all[number]
                data = os.read(number, READ_SIZE)
                if not data:
                    raise PublishError(f"a connection ended: {publisher.received!r}")
                publisher.received += data
                status = publisher.answered()
                if status is None:
                    continue
                self.answers.append(time.monotonic() - publisher.sent)
                self.refused += status >= 300
                publisher.count += 1
                if go:
                    publisher.publish()
                else:
                    waiting.discard(number)

    def close(self) -> None:
        """
        All leave.
        """
        for publisher in self.all.values():
            publisher.connection.close()
        self._epoll.close()


def start(server: servers.Server, port: int, options: argparse.Namespace, count: int) -> Publishers:
    """
    All publishers begin, each POST with so many events.
    """
    channel, publishers = server.channel, Publishers()
    assert channel is not None
    event = {"data": DATA}
    body = json.dumps([event] * count if count > 1 else event) if channel.json else DATA
    for number in range(options.publishers):
        path = channel.publish
        if channel.create is not None:
            path = f"/streams/{number}"
            servers.ask(port, "PUT", path)
        publishers.add(port, path, body)
    return publishers


def missing(server: servers.Server, port: int, publishers: Publishers, count: int) -> int:
    """
    Events that were answered for and are not in their streams; 0 of a server that keeps none.
    """
    if server.channel is None or server.channel.create is None:
        return 0
    return sum(
        abs(publisher.count * count - json.loads(servers.ask(port, "GET", publisher.path).body)["last"])
        for publisher in publishers.all.values()
    )


def measure(
    server: servers.Server, round: int, options: argparse.Namespace, core: int | None, counts: dict[str, int]
) -> Published:
    """
    Start a server, publish, end it.
    """
    pid, count = os.getpid(), counts.get(server.name, 1)
    with servers.started(server, core) as child:
        publishers = start(server, child.port, options, count)
        publishers.runUntil(time.monotonic() + WARM)
        publishers.answers.clear()
        meter = rounds.Meter(child)
        meter.begin()
        begin, cpu = time.monotonic(), process.cpuSeconds(pid)
        publishers.runUntil(begin + options.seconds)
        length, cpu = time.monotonic() - begin, process.cpuSeconds(pid) - cpu
        meter.end()
        answers = list(publishers.answers)
        publishers.runUntil(time.monotonic() + 10, go=False)
        publishers.close()
        faults = publishers.refused + missing(server, child.port, publishers, count)
    return Published(
        server.name,
        round,
        **meter.figures(len(answers) * count, length),
        posts=rounds.round3(len(answers) / length),
        events=rounds.round3(len(answers) * count / length),
        answer=spread(answers),
        faults=faults,
        clientShare=rounds.round3(cpu / length),
    )


def measureAll(options: argparse.Namespace) -> list[Published]:
    """
    All rounds.
    """
    core = rounds.pin(options)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        makers: others.Makers = {
            name: maker for name, maker in others.frameworks(others.Work()).items() if name == others.UVICORN
        }
        makers[others.NCHAN] = lambda: others.nchan(folder)
        counts = {}
        for database in (None, folder):
            for count in (1, options.list):
                name = (
                    f"{servers.OURS}, {'SQLite' if database else 'memory'}{f', lists of {count}' if count > 1 else ''}"
                )
                makers[name] = partial(ours, name, folder, database)
                counts[name] = count
        chosen = rounds.choose(makers, options.only)
        return rounds.inTurn(
            chosen,
            options.rounds,
            options.patience,
            lambda server, number: measure(server, number, options, core, counts),
        )


def ours(name: str, folder: Path, database: Path | None) -> servers.Server:
    """
    Sseserver with one of its stores, under a name.
    """
    return replace(servers.published(folder, database=database), name=name)


def table(runs: list[Published]) -> str:
    """
    The table, in Markdown.
    """
    head = ["server", "µs/event", "events/s", "POSTs/s", "answer p50 ms", "p99", "p99.9", "max"]
    rows = []
    for name in dict.fromkeys(run.server for run in runs):
        own = [run for run in runs if run.server == name]
        rows.append(
            [
                *rounds.costs(runs, name, []),
                f"{median(run.events for run in own):,.0f}",
                f"{median(run.posts for run in own):,.0f}",
                *(f"{median(run.answer[part] for run in own):.1f}" for part in own[0].answer),
                str(max(run.faults for run in own)),
                f"{max(run.waited for run in own):.0%}",
                f"{max(run.clientShare for run in own):.0%}",
            ]
        )
    return rounds.markdown([*head, "faults", "no core", "client"], rows)


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--publishers", type=int, default=8)
    parser.add_argument("--list", type=int, default=100, help="events of a list")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the window")
    parser.add_argument("--folder", type=Path, help="where the files are made: on the disk in question")
    rounds.addOptions(parser)
    rounds.addOnly(parser)
    return parser.parse_args()


def main() -> None:
    """
    Measure, print the table, write the JSON.
    """
    options = parseArguments()
    runs = measureAll(options)
    title = f"{options.publishers} publishers, {options.rounds} x {options.seconds:g} s"
    rounds.report(options, runs, title, table(runs))


if __name__ == "__main__":
    main()
