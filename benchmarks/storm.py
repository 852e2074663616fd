"""
The question: how long until 10,000 viewers are back who come at once, each with its last event ID?

    python benchmarks/storm.py [--viewers 10000] [--streams 100] [--missed 20] [--rounds 3] [--json FILE]

100 published streams with 100 events each, watched by 10,000 viewers. All connections are cut at once; 20 more events
are published into each stream; then all viewers come back at the same moment, each with the ID of one of the last ten
events before the cut. At last one more event is published into each stream, which must come to every viewer.
Sseserver only: the peers keep nothing that could be resumed.

Printed for each round:

* resumed: seconds from the first viewer's `connect` until the last has all events that it missed; and for the viewers,
  each from its own `connect`: p50, p99, max in milliseconds. A viewer whose SYN finds the server's backlog full (4,096,
  or what the kernel allows) is sent again by the kernel after 1 s, 3 s ..., as anywhere;
* µs/viewer: CPU time of the server in that time / viewers; its share of the time; and viewers each second;
* live: seconds from the last event's publication until every viewer has it;
* again: connections that the server or the kernel ended before anything came on them, as when it has no descriptor left
  because it has not noticed all of the ends yet; their viewers connect again at once;
* faults: viewers that did not get exactly the events after their ID, in order and once, or lost the connection;
* no core, client: see `rounds.py`. The load client connects, sends, reads and looks for one string in what it reads.

Each viewer takes a descriptor here and one in the server: fewer viewers are opened where the hard limit is lower.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import select
import socket
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import process
import rounds
import servers
from journal import Dechunker, parseEvent, spread
from load import EVENT_STREAM, READ_SIZE, request, splitHead

EVENTS = 100  # in each stream before the storm
BACK = 10  # so many events before the cut is the oldest last event ID
LONGEST = 60.0  # seconds until all must be there
SPARE = 200  # descriptors that are not viewers


class StormError(Exception):
    """
    Viewers could not be brought so far that there is anything to measure.
    """


@dataclass(slots=True)
class Viewer:
    """
    One viewer of one stream, from `connect` on.

    Args:
        path: Of the stream.
        epoch: Of the stream.
        after: The number in its last event ID; 0: it has none.
        until: The number of the event that it waits for.
        connection: Its socket.
        begin: When it connected first, monotonic.
        end: When it had that event; 0: not yet.
        received: All that came.
        lost: Whether the connection ended.
    """

    path: str
    epoch: str
    after: int
    until: int
    connection: socket.socket
    begin: float
    end: float = 0.0
    received: bytearray = field(default_factory=bytearray)
    lost: bool = False

    def request(self) -> bytes:
        """
        Its request.
        """
        last = (f"Last-Event-ID: {self.epoch}-{self.after}",) if self.after else ()
        return request("GET", self.path, (*EVENT_STREAM, *last))

    def mark(self) -> bytes:
        """
        What stands in the event that it waits for.
        """
        return f"id: {self.epoch}-{self.until}\n".encode()

    def right(self) -> bool:
        """
        Whether it has got every event after its last, up to that one, in order and once.
        """
        head = splitHead(bytes(self.received))
        if head is None or head[0] != 200 or self.lost:
            return False
        events = [parseEvent(0, block) for block in Dechunker().feed(head[2]).split(b"\n\n")]
        numbers = [event.number for event in events if event is not None and not event.type]
        return numbers == list(range(self.after + 1, self.until + 1))


class Crowd:
    """
    Viewers in one process, who come at once. While they wait for what they want, nothing else is done.

    Args:
        port: The server's.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._epoll = select.epoll()
        self.viewers: dict[int, Viewer] = {}
        self.again = 0

    def come(self, viewer: Viewer) -> int:
        """
        One viewer connects, without waiting for the server; gives its descriptor.
        """
        viewer.connection.setblocking(False)
        viewer.connection.connect_ex((process.HOST, self._port))
        number = viewer.connection.fileno()
        self.viewers[number] = viewer
        self._epoll.register(number, select.EPOLLOUT)
        return number

    def wait(self) -> None:
        """
        Until every viewer has what it waits for, or has lost its connection.

        Raises:
            StormError: That took too long.
        """
        waiting = {number: viewer.mark() for number, viewer in self.viewers.items() if not viewer.end}
        deadline = time.monotonic() + LONGEST
        while waiting:
            if time.monotonic() > deadline:
                raise StormError(f"{len(waiting)} viewers do not have what they wait for")
            for number, ready in self._epoll.poll(1.0):
                viewer = self.viewers[number]
                if ready == select.EPOLLOUT:
                    viewer.connection.send(viewer.request())
                    self._epoll.modify(number, select.EPOLLIN)
                    continue
                self._read(viewer, waiting.get(number))
                if viewer.end:
                    waiting.pop(number, None)
                if viewer.lost and not viewer.received:
                    waiting[self._return(number)] = viewer.mark()

    def expect(self, until: int) -> None:
        """
        All wait for a later event.
        """
        for viewer in self.viewers.values():
            viewer.until, viewer.end = until, viewer.end if viewer.lost else 0.0

    def cut(self) -> None:
        """
        All connections end.
        """
        for viewer in self.viewers.values():
            viewer.connection.close()
        self._epoll.close()

    def _return(self, number: int) -> int:
        """
        A viewer whose connection ended before anything came tries again, as a browser would.
        """
        viewer = self.viewers.pop(number)
        viewer.connection.close()
        viewer.connection, viewer.lost, viewer.end = socket.socket(), False, 0.0
        self.again += 1
        return self.come(viewer)

    def _read(self, viewer: Viewer, mark: bytes | None) -> None:
        try:
            data = os.read(viewer.connection.fileno(), READ_SIZE)
        except OSError:
            data = b""
        before = max(0, len(viewer.received) - 64)
        viewer.received += data
        if not data:
            viewer.lost, viewer.end = True, time.monotonic()
            self._epoll.unregister(viewer.connection)
        elif mark is not None and viewer.received.find(mark, before) >= 0:
            viewer.end = time.monotonic()


@dataclass(frozen=True, slots=True)
class Storm(rounds.Sample):
    """
    One round; `cpu` is for each viewer.

    Args:
        viewers: How many came.
        seconds: Until the last was back.
        back: Milliseconds of each: p50, p99, p99.9, max.
        live: Seconds until the last had the next event.
        again: Connections that were ended before anything came, so that their viewers came again.
        faults: What should be 0.
        clientShare: CPU time of the load client / `seconds`.
    """

    viewers: int
    seconds: float
    back: dict[str, float]
    live: float
    again: int
    faults: int
    clientShare: float


@dataclass(frozen=True, slots=True)
class Streams:
    """
    The streams that are watched.

    Args:
        port: The server's.
        epochs: Of each, by its path.
    """

    port: int
    epochs: dict[str, str]

    def publish(self, first: int, last: int) -> None:
        """
        Publish events with these numbers into each.
        """
        body = json.dumps([{"data": f"event {number}"} for number in range(first, last + 1)]).encode()
        for path in self.epochs:
            servers.ask(self.port, "POST", path, body)


def streams(port: int, count: int) -> Streams:
    """
    Make them.
    """
    epochs = {}
    for number in range(count):
        path = f"/streams/{number}"
        epochs[path] = json.loads(servers.ask(port, "PUT", path).body)["epoch"]
    return Streams(port, epochs)


def gather(kept: Streams, viewers: int, resume: bool, until: int) -> Crowd:
    """
    All viewers come, each to one of the streams.
    """
    crowd, paths = Crowd(kept.port), list(kept.epochs)
    for number in range(viewers):
        path = paths[number % len(paths)]
        after = EVENTS - number // len(paths) % BACK if resume else 0
        crowd.come(Viewer(path, kept.epochs[path], after, until, socket.socket(), time.monotonic()))
    return crowd


def measure(server: servers.Server, round: int, options: argparse.Namespace, core: int | None) -> Storm:
    """
    Start the server, gather the viewers, cut them off, let them come back.
    """
    viewers = min(options.viewers, process.raiseDescriptorLimit() - SPARE)
    pid, missed = os.getpid(), EVENTS + options.missed
    with servers.started(server, core) as child:
        kept = streams(child.port, options.streams)
        kept.publish(1, EVENTS)
        before = gather(kept, viewers, resume=False, until=EVENTS)
        before.wait()
        before.cut()
        kept.publish(EVENTS + 1, missed)
        gc.collect()
        gc.disable()
        meter = rounds.Meter(child)
        meter.begin()
        begin, cpu = time.monotonic(), process.cpuSeconds(pid)
        crowd = gather(kept, viewers, resume=True, until=missed)
        crowd.wait()
        seconds, cpu = time.monotonic() - begin, process.cpuSeconds(pid) - cpu
        meter.end()
        gc.enable()
        back = spread(viewer.end - viewer.begin for viewer in crowd.viewers.values())
        crowd.expect(missed + 1)
        begin = time.monotonic()
        kept.publish(missed + 1, missed + 1)
        crowd.wait()
        live = time.monotonic() - begin
        crowd.cut()
    return Storm(
        server.name,
        round,
        **meter.figures(viewers, seconds),
        viewers=viewers,
        seconds=rounds.round3(seconds),
        back=back,
        live=rounds.round3(live),
        again=crowd.again,
        faults=sum(not viewer.right() for viewer in crowd.viewers.values()),
        clientShare=rounds.round3(cpu / seconds),
    )


def measureAll(options: argparse.Namespace) -> list[Storm]:
    """
    All rounds.
    """
    core = rounds.pin(options)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "words.txt"
        text.write_text(servers.words(1))
        chosen = rounds.choose({servers.OURS: lambda: servers.sseserver(3600, text)}, None)
        return rounds.inTurn(
            chosen, options.rounds, options.patience, lambda server, number: measure(server, number, options, core)
        )


def table(runs: list[Storm]) -> str:
    """
    The table, in Markdown, a line for each round.
    """
    head = ["round", "viewers", "resumed s", "p50 ms", "p99", "max", "µs/viewer", "CPU", "viewers/s", "live s", "again"]
    rows = [
        [
            str(run.round),
            f"{run.viewers:,}",
            f"{run.seconds:.2f}",
            *(f"{run.back[part]:.0f}" for part in ("p50", "p99", "max")),
            f"{run.cpu:.0f}",
            f"{run.share:.0%}",
            f"{run.viewers / run.seconds:,.0f}",
            f"{run.live:.2f}",
            f"{run.again}",
            str(run.faults),
            f"{run.waited:.0%}",
            f"{run.clientShare:.0%}",
        ]
        for run in runs
    ]
    return rounds.markdown([*head, "faults", "no core", "client"], rows)


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--missed", type=int, default=20, help="events published into each stream before they are back")
    rounds.addOptions(parser)
    return parser.parse_args()


def main() -> None:
    """
    Measure, print the table, write the JSON.
    """
    options = parseArguments()
    runs = measureAll(options)
    title = (
        f"{options.viewers:,} viewers of {options.streams} streams come back at once, {options.missed} events missed"
    )
    rounds.report(options, runs, title, table(runs))


if __name__ == "__main__":
    main()
