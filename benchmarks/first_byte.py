"""
The question: how long does a new viewer wait, while the server is at work?

    python benchmarks/first_byte.py [--viewers 1000] [--rate 20] [--probes 200] [--rounds 3] [--only NAME] [--json FILE]

One viewer after the other asks for a stream of its own, waits for its first token, and leaves: first on an idle server,
then while 1,000 others are each sent 20 tokens a second. Measured in turn, round after round, with a new server process
each time: the peers, bare Twisted (the baseline), a C program (the floor), sseserver.

The time runs from before the request is sent, over a new connection; the connection itself is made by the kernel, but
the server has to accept it within that time. Sseserver is asked in two ways, as in `short.py`: `GET /`; and "POST,
GET", two requests one after the other. Its load is always of the second kind.

Printed for each server, as medians of the rounds: milliseconds to the first bytes of the body on the idle server (p50),
and under load p50, p99 and max; the same to the first token; CPU: share of its core that the server used under load;
faults, no core and client: see `rounds.py`. While it waits for a probe the load client reads nothing else, so the lags
of the others are not looked at here; what they got is checked.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import others
import rounds
import servers
from journal import judge, spread
from load import OPENING_PATIENCE, Load, Plan
from probe import First, firstOf

NAMED = f"{servers.OURS}, POST, GET"
BURST = 0.5  # seconds that the viewers of one second may take: a server at its limit is asked less often
FIRST = b"word1"  # the first token; in format `text` every later event has it too


@dataclass(frozen=True, slots=True)
class Waiting(rounds.Sample):
    """
    One server in one round; `cpu` is for each event that was due under load.

    Args:
        idle: Milliseconds to the first byte on the idle server: p50, p99, p99.9, max.
        byte: The same, under load.
        token: To the first token, under load.
        faults: What should be 0.
        clientShare: CPU time of the load client / length of the window.
    """

    idle: dict[str, float]
    byte: dict[str, float]
    token: dict[str, float]
    faults: int
    clientShare: float


def measure(server: servers.Server, round: int, options: argparse.Namespace, core: int | None, text: str) -> Waiting:
    """
    Start a server, ask it idle, ask it under load, end it.
    """
    post = server.post if server.name == NAMED else None
    with servers.started(server, core) as child:
        plan = Plan(child.port, 1, post=server.post, settle=0, seconds=0.3)
        Load(plan).run()
        idle, busy = list[First](), list[First]()
        for _ in range(options.probes):
            idle.append(firstOf(child.port, "/", FIRST, post))
        del idle[: options.probes // 10]  # what is loaded or built at the first requests
        meter = rounds.Meter(child)

        def probe() -> None:
            enough = time.monotonic() + BURST
            for _ in range(math.ceil(options.probes / options.seconds)):
                if time.monotonic() > enough:
                    break
                busy.append(firstOf(child.port, "/", FIRST, post))

        plan = replace(plan, viewers=options.viewers, settle=1, seconds=options.seconds, rest=options.rest)
        journal = Load(plan, meter.begin, meter.end, probe).run()
    outcome = judge(journal, plan.viewers, options.rate, text.encode())
    length = journal.end - journal.begin
    return Waiting(
        server.name,
        round,
        **meter.figures(int(options.viewers * options.rate * length), length),
        idle=spread(one.byte / 1000 for one in idle),
        byte=spread(one.byte / 1000 for one in busy),
        token=spread(one.token / 1000 for one in busy),
        faults=outcome.check.faults(),
        clientShare=outcome.clientShare,
    )


def measureAll(options: argparse.Namespace) -> list[Waiting]:
    """
    All rounds.
    """
    core = rounds.pin(options)
    text = servers.words(int(options.rate * (options.viewers / 500 + OPENING_PATIENCE + options.seconds) * 2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "words.txt"
        file.write_text(text)
        work = others.Work(options.rate)
        makers: others.Makers = {
            **others.frameworks(work),
            others.FLOOR: lambda: others.floor(work, folder),
            servers.OURS: lambda: servers.sseserver(1 / options.rate, file),
            NAMED: lambda: replace(servers.sseserver(1 / options.rate, file), name=NAMED),
        }
        chosen = rounds.choose(makers, options.only)
        return rounds.inTurn(
            chosen,
            options.rounds,
            options.patience,
            lambda server, number: measure(server, number, options, core, text),
        )


def table(runs: list[Waiting]) -> str:
    """
    The table, in Markdown.
    """
    head = ["server", "idle: first byte p50 ms", "under load p50", "p99", "max", "first token p50 ms", "p99", "max"]
    rows = []
    for name in dict.fromkeys(run.server for run in runs):
        own = [run for run in runs if run.server == name]
        rows.append(
            [
                name,
                f"{median(run.idle['p50'] for run in own):.2f}",
                *(f"{median(run.byte[part] for run in own):.2f}" for part in ("p50", "p99", "max")),
                *(f"{median(run.token[part] for run in own):.2f}" for part in ("p50", "p99", "max")),
                f"{median(run.share for run in own):.0%}",
                str(max(run.faults for run in own)),
                f"{max(run.waited for run in own):.0%}",
                f"{max(run.clientShare for run in own):.0%}",
            ]
        )
    return rounds.markdown([*head, "CPU", "faults", "no core", "client"], rows)


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20.0, help="tokens each second of each stream")
    parser.add_argument("--probes", type=int, default=200, help="viewers that are timed, idle and under load")
    parser.add_argument(
        "--seconds", type=float, default=8.0, help="length of the window; in each second come some probes"
    )
    rounds.addOptions(parser)
    rounds.addRest(parser)
    rounds.addOnly(parser)
    return parser.parse_args()


def main() -> None:
    """
    Measure, print the table, write the JSON.
    """
    options = parseArguments()
    runs = measureAll(options)
    title = (
        f"A new viewer, beside {options.viewers:,} viewers with {options.rate:g} tokens/s each, {options.rounds} rounds"
    )
    rounds.report(options, runs, title, table(runs))


if __name__ == "__main__":
    main()
