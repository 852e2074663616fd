"""
The question: what do viewers cost to whom nothing is sent but heartbeats?

    python benchmarks/idle.py [--viewers 10000] [--seconds 32] [--heartbeat 15] [--json FILE]

10,000 viewers of one published stream in which nothing is published, each sent a comment after 15 seconds of silence.
They come within about 5 seconds, so the heartbeats of the window come as unevenly.

* memory for each viewer: anonymous memory of the server (see `process.Memory`) at the end of the window, when each has
  had its heartbeats, less that with one viewer, divided by the others; and the same at the begin of the window. What
  the kernel holds for the sockets is not in it;
* CPU: time of the server in the window / length of the window, as a share of one core, and in µs a heartbeat;
* heartbeats that came in the window / those that are due (by the number of viewers, the interval and the length);
* faults: viewers that were sent none in the window though it is longer than the interval, viewers that were sent
  anything else, streams that ended;
* no core: time in which the server was ready but had no core / length of the window.

Each viewer takes a descriptor here and one in the server: fewer viewers are opened where the hard limit is lower.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import process
import rounds
import servers
from journal import Dechunker, Journal, readsByViewer
from load import Load, Plan

SPARE = 200  # descriptors that are not viewers
CONNECT_RATE = 2000.0  # viewers that come each second


@dataclass(frozen=True, slots=True)
class Idle:
    """
    What the viewers cost.

    Args:
        viewers: How many there were.
        memory: Bytes for each viewer at the end of the window.
        memoryBefore: Bytes for each viewer when the window begins.
        share: CPU time of the server / length of the window.
        beatCost: CPU time of the server in µs for each heartbeat.
        beats: Heartbeats that came in the window.
        due: Heartbeats that were due in it.
        faults: What should be 0.
        waited: Time in which the server was ready but had no core / length of the window.
        clientShare: CPU time of the load client / length of the window.
    """

    viewers: int
    memory: float
    memoryBefore: float
    share: float
    beatCost: float
    beats: int
    due: float
    faults: int
    waited: float
    clientShare: float


def heartbeats(journal: Journal, viewers: int, required: bool) -> tuple[int, int]:
    """
    Heartbeats of all viewers in the window, and faults.

    Args:
        journal: What came.
        viewers: How many there were.
        required: Whether each viewer must have had one in the window.
    """
    beats, without, wrong = 0, viewers, 0
    for viewer, reads in readsByViewer(journal).items():
        inWindow = b"".join(data for time, data in reads if time >= journal.begin)
        body = Dechunker().feed(inWindow) if viewer in journal.chunked else inWindow
        beats += body.count(b":\n")
        without -= body.count(b":\n") > 0
        wrong += body.replace(b":\n", b"") != b""
    return beats, (without if required else 0) + wrong + len(journal.ended)


def measure(options: argparse.Namespace, viewers: int, core: int | None, folder: Path) -> Idle:
    """
    Start the server, hold the viewers, end it.
    """
    server = servers.published(folder, options=("--heartbeat", str(options.heartbeat)))
    assert server.channel is not None
    path = server.channel.create
    used: list[int] = []
    with servers.started(server, core) as child:
        servers.ask(child.port, "PUT", path)
        for _ in range(2):  # what is loaded or built at the first request is not the viewers'
            Load(Plan(child.port, 1, path, settle=0, seconds=0.5), atEnd=lambda: used.append(anonymous(child))).run()
        meter = rounds.Meter(child)

        def begin() -> None:
            used.append(anonymous(child))
            meter.begin()

        plan = Plan(child.port, viewers, path, connectRate=CONNECT_RATE, settle=2, seconds=options.seconds)

        def end() -> None:
            meter.end()
            used.append(anonymous(child))

        journal = Load(plan, begin, end).run()
    length = journal.end - journal.begin
    beats, faults = heartbeats(journal, viewers, options.seconds > options.heartbeat + 1)
    return Idle(
        viewers=viewers,
        memory=rounds.round3((used[3] - used[1]) / (viewers - 1)),
        memoryBefore=rounds.round3((used[2] - used[1]) / (viewers - 1)),
        share=rounds.round3(meter.cpu / length),
        beatCost=rounds.round3(meter.cpu * 1e6 / max(1, beats)),
        beats=beats,
        due=rounds.round3(viewers * length / options.heartbeat),
        faults=faults,
        waited=rounds.round3(meter.waited / length),
        clientShare=rounds.round3(journal.cpuShare),
    )


def anonymous(child: process.ServerProcess) -> int:
    """
    Anonymous memory of a server in bytes.
    """
    return child.memory().anonymous


def table(idle: Idle) -> str:
    """
    The table, in Markdown.
    """
    head = ["viewers", "bytes/viewer", "before the window", "CPU", "µs/heartbeat", "heartbeats / due", "faults"]
    cells = [
        f"{idle.viewers}",
        f"{idle.memory:.0f}",
        f"{idle.memoryBefore:.0f}",
        f"{idle.share:.1%}",
        f"{idle.beatCost:.1f}",
        f"{idle.beats / idle.due:.2f}",
        f"{idle.faults}",
    ]
    return rounds.markdown([*head, "no core", "client"], [[*cells, f"{idle.waited:.0%}", f"{idle.clientShare:.0%}"]])


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=32.0, help="length of the window")
    parser.add_argument("--heartbeat", type=float, default=15.0, help="the server's option")
    rounds.addOptions(parser, rounds=1)
    return parser.parse_args()


def main() -> None:
    """
    Measure, print the table, write the JSON.
    """
    options = parseArguments()
    core = rounds.pin(options)
    viewers = min(options.viewers, process.raiseDescriptorLimit() - SPARE)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            process.waitForQuiet(options.patience)
            results.append(measure(options, viewers, core, Path(folder)))
            print(table(results[-1]), flush=True)
    rounds.write(options, results)


if __name__ == "__main__":
    main()
