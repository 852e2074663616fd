"""
The question: what do viewers cost to whom nothing is sent but heartbeats?

    python benchmarks/idle.py [--viewers 15000] [--seconds 32] [--heartbeat 15] [--rounds 1] [--only NAME] [--json FILE]

15,000 viewers of one published stream in which nothing is published, each sent a comment after 15 seconds of silence.
They come at up to 2,000 a second, so the heartbeats of the window come as unevenly. Measured in turn, round after
round, with a new server process each time: the peers, bare Twisted (the baseline), nginx with nchan (which sends no
heartbeats), sseserver.

* memory for each viewer: anonymous memory of the server (see `process.Memory`) at the end of the window, when each has
  had its heartbeats, less that with one viewer, divided by the others; the same at the begin of the window; and its USS
  and PSS. What the kernel holds for the sockets is not in it;
* CPU: time of the server in the window / length of the window, as a share of one core, and in µs a heartbeat;
* heartbeats that came in the window / those that are due (by the number of viewers, the interval and the length);
* connects: viewers accepted each second of the server's CPU time, while they came;
* faults: viewers that were sent none in the window though it is longer than the interval, viewers that were sent
  anything else, streams that ended;
* no core: time in which the server was ready but had no core / length of the window.

Each viewer takes a descriptor here and one in the server: fewer viewers are opened where the hard limit is lower.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import others
import process
import rounds
import servers
from journal import Dechunker, Journal, readsByViewer
from load import Load, Plan

SPARE = 200  # descriptors that are not viewers
CONNECT_RATE = 2000.0  # viewers that come each second
COMMENT = re.compile(rb"^:[^\n]*\n+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Idle(rounds.Sample):
    """
    One server in one round; `cpu` is for each heartbeat.

    Args:
        viewers: How many there were.
        memory: Bytes for each viewer at the end of the window.
        memoryBefore: Bytes for each viewer when the window begins.
        uss: As `memory`, of the USS.
        pss: As `memory`, of the PSS.
        beats: Heartbeats that came in the window.
        due: Heartbeats that were due in it.
        connects: Viewers for each second of the server's CPU time until the window.
        faults: What should be 0.
        clientShare: CPU time of the load client / length of the window.
    """

    viewers: int
    memory: float
    memoryBefore: float
    uss: float
    pss: float
    beats: int
    due: float
    connects: float
    faults: int
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
        rest, comments = COMMENT.subn(b"", body)
        beats += comments
        without -= comments > 0
        wrong += rest != b""
    return beats, (without if required else 0) + wrong + len(journal.ended)


def measure(server: servers.Server, round: int, options: argparse.Namespace, core: int | None) -> Idle:
    """
    Start a server, hold the viewers, end it.
    """
    assert server.idle is not None
    used: list[process.Memory] = []
    with servers.started(server, core) as child:
        if server.channel is not None and server.channel.create is not None:
            servers.ask(child.port, "PUT", server.channel.create)
        plan = Plan(child.port, 1, server.idle, settle=0, seconds=0.5)
        for _ in range(2):  # what is loaded or built at the first request is not the viewers'
            Load(plan, atEnd=lambda: used.append(child.memory())).run()
        meter, before, viewers = rounds.Meter(child), child.cpuSeconds(), limited(options.viewers)

        def begin() -> None:
            used.append(child.memory())
            meter.begin()

        def end() -> None:
            meter.end()
            used.append(child.memory())

        plan = replace(plan, viewers=viewers, connectRate=CONNECT_RATE, settle=2, seconds=options.seconds)
        journal = Load(plan, begin, end).run()
    length = journal.end - journal.begin
    silent = server.name == others.NCHAN
    beats, faults = heartbeats(journal, viewers, options.seconds > options.heartbeat + 1 and not silent)

    def each(at: int, kind: str) -> float:
        return rounds.round3((getattr(used[at], kind) - getattr(used[1], kind)) / (viewers - 1))

    return Idle(
        server.name,
        round,
        **meter.figures(beats, length),
        viewers=viewers,
        memory=each(3, "anonymous"),
        memoryBefore=each(2, "anonymous"),
        uss=each(3, "uss"),
        pss=each(3, "pss"),
        beats=beats,
        due=0.0 if silent else rounds.round3(viewers * length / options.heartbeat),
        connects=rounds.round3(viewers / (meter.began - before)),
        faults=faults,
        clientShare=rounds.round3(journal.cpuShare),
    )


def limited(viewers: int) -> int:
    """
    As many viewers as there may be descriptors.
    """
    return min(viewers, process.raiseDescriptorLimit() - SPARE)


def measureAll(options: argparse.Namespace) -> list[Idle]:
    """
    All rounds.
    """
    core = rounds.pin(options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        makers: others.Makers = {
            **others.frameworks(others.Work(heartbeat=options.heartbeat)),
            others.NCHAN: lambda: others.nchan(folder),
            servers.OURS: lambda: servers.published(folder, ("--heartbeat", str(options.heartbeat))),
        }
        chosen = rounds.choose(makers, options.only)
        return rounds.inTurn(
            chosen, options.rounds, options.patience, lambda server, number: measure(server, number, options, core)
        )


def table(runs: list[Idle]) -> str:
    """
    The table, in Markdown: medians of the rounds, and the worst of what must not be.
    """
    head = ["server", "viewers", "bytes/viewer", "before the window", "USS", "PSS", "CPU", "µs/heartbeat"]
    rows = []
    for name in dict.fromkeys(run.server for run in runs):
        own = [run for run in runs if run.server == name]
        beats, due = sum(run.beats for run in own), sum(run.due for run in own)
        rows.append(
            [
                name,
                f"{min(run.viewers for run in own):,}",
                *(
                    f"{median(getattr(run, kind) for run in own):,.0f}"
                    for kind in ("memory", "memoryBefore", "uss", "pss")
                ),
                f"{median(run.share for run in own):.1%}",
                f"{median(run.cpu for run in own):.1f}" if beats else "-",
                f"{beats / due:.2f}" if due else "-",
                f"{median(run.connects for run in own):,.0f}",
                str(max(run.faults for run in own)),
                f"{max(run.waited for run in own):.0%}",
                f"{max(run.clientShare for run in own):.0%}",
            ]
        )
    return rounds.markdown([*head, "heartbeats / due", "connects", "faults", "no core", "client"], rows)


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=15_000)
    parser.add_argument("--seconds", type=float, default=32.0, help="length of the window")
    parser.add_argument("--heartbeat", type=float, default=15.0, help="the servers' option")
    rounds.addOptions(parser, rounds=1)
    rounds.addOnly(parser)
    return parser.parse_args()


def main() -> None:
    """
    Measure, print the table, write the JSON.
    """
    options = parseArguments()
    runs = measureAll(options)
    rounds.report(options, runs, f"{limited(options.viewers):,} idle viewers", table(runs))


if __name__ == "__main__":
    main()
