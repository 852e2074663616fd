"""
The question: what does a run of its own for each viewer cost?

    python benchmarks/own_run.py [--viewers 1000] [--rate 20] [--seconds 10] [--rounds 3] [--only NAME] [--json FILE]

1,000 viewers, each with a stream of its own of 20 tokens a second, in format `events`. Measured in turn, round after
round, with a new server process each time: the peers, bare Twisted (the baseline), a C program (the floor), sseserver.
All send the same tokens at the same pace; each round starts with another server.

The columns of the table are explained in `rounds.py`. Lag is how much later an event came than the viewer's most
punctual one, see `journal.paceLags`. Faults are tokens missing or twice, wrong texts, gaps, streams that ended. In
sseserver's memory there is what the streams keep by the end of the window; `memory.py` takes it apart.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import others
import rounds
import servers
from journal import judge
from load import OPENING_PATIENCE, Load, Plan


def measure(server: servers.Server, round: int, options: argparse.Namespace, core: int | None, text: str) -> rounds.Run:
    """
    Start a server, measure it, end it.
    """
    with servers.started(server, core) as child:
        # One viewer first: what the server loads or builds at its first request is not the viewers'.
        Load(Plan(child.port, 1, post=server.post, settle=0, seconds=0.3)).run()
        plan = Plan(child.port, options.viewers, post=server.post, seconds=options.seconds, rest=options.rest)
        meter = rounds.Meter(child)
        journal = Load(plan, meter.begin, meter.end).run()
    outcome = judge(journal, plan.viewers, options.rate, text.encode())
    return meter.run(server.name, round, outcome, plan.viewers, journal.end - journal.begin)


def measureAll(options: argparse.Namespace) -> list[rounds.Run]:
    """
    All rounds.
    """
    core = rounds.pin(options)
    seconds = options.viewers / 500 + OPENING_PATIENCE + options.seconds
    text = servers.words(int(options.rate * seconds * 2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        textFile = folder / "words.txt"
        textFile.write_text(text)
        work = others.Work(options.rate)
        makers: others.Makers = {
            **others.frameworks(work),
            others.FLOOR: lambda: others.floor(work, folder),
            servers.OURS: lambda: servers.sseserver(1 / options.rate, textFile),
        }
        chosen = rounds.choose(makers, options.only)
        return rounds.inTurn(
            chosen,
            options.rounds,
            options.patience,
            lambda server, number: measure(server, number, options, core, text),
        )


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20.0, help="tokens each second of each stream")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the window")
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
    print(f"\n{options.viewers} viewers, {options.rate:g} tokens/s each, {options.rounds} x {options.seconds:g} s\n")
    print(rounds.table(runs, [others.FLOOR, others.UVICORN, others.BASELINE]))
    rounds.write(options, runs)


if __name__ == "__main__":
    main()
