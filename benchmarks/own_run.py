"""
The question: what does a run of its own for each viewer cost?

    python benchmarks/own_run.py [--viewers 1000] [--rate 20] [--seconds 10] [--rounds 3] [--only NAME] [--json FILE]
    python benchmarks/own_run.py --viewers 10000 --rate 2                                  # how it grows
    python benchmarks/own_run.py --tls                                                     # uvicorn and sseserver only
    python benchmarks/own_run.py --store memory --store sqlite --only sseserver

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
from dataclasses import replace
from functools import partial
from pathlib import Path

import others
import rounds
import secure
import servers
from journal import judge
from load import OPENING_PATIENCE, Load, Plan


def measure(server: servers.Server, round: int, options: argparse.Namespace, core: int | None, text: str) -> rounds.Run:
    """
    Start a server, measure it, end it.
    """
    with servers.started(server, core) as child:
        plan = Plan(child.port, 1, post=server.post, settle=0, seconds=0.3, tls=server.tls)
        # One viewer first: what the server loads or builds at its first request is not the viewers'.
        Load(plan).run()
        plan = replace(plan, viewers=options.viewers, connectRate=rounds.connectRate(options.viewers))
        plan = replace(plan, settle=1, seconds=options.seconds, rest=options.rest)
        meter = rounds.Meter(child)
        journal = Load(plan, meter.begin, meter.end).run()
    outcome = judge(journal, plan.viewers, options.rate, text.encode())
    return meter.run(server.name, round, outcome, plan.viewers, journal.end - journal.begin)


def makers(options: argparse.Namespace, folder: Path, textFile: Path) -> others.Makers:
    """
    All that can be asked, by their names; `folder` is for their files.
    """
    work, pair = others.Work(options.rate), secure.makePair(folder) if options.tls else None
    result = others.secured(work, pair) if pair else others.frameworks(work)
    if not pair:
        result[others.FLOOR] = lambda: others.floor(work, folder)
    for store in options.store or ["memory"]:
        database = folder if store == "sqlite" else None
        result[f"{servers.OURS}, {store}"] = partial(
            servers.sseserver, 1 / options.rate, textFile, database=database, pair=pair
        )
    return result


def measureAll(options: argparse.Namespace) -> list[rounds.Run]:
    """
    All rounds.
    """
    core = rounds.pin(options)
    seconds = options.viewers / 500 + OPENING_PATIENCE + options.seconds
    text = servers.words(int(options.rate * seconds * 2))
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        textFile = folder / "words.txt"
        textFile.write_text(text)
        chosen = rounds.choose(makers(options, folder, textFile), options.only)
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
    parser.add_argument("--tls", action="store_true", help="over TLS, those that can")
    parser.add_argument("--store", action="append", choices=["memory", "sqlite"], help="of sseserver; may be repeated")
    parser.add_argument("--folder", type=Path, help="where files are made, SQLite's too: on the disk in question")
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
    over = ", over TLS" if options.tls else ""
    title = (
        f"{options.viewers:,} viewers, {options.rate:g} tokens/s each{over}, {options.rounds} x {options.seconds:g} s"
    )
    rounds.report(options, runs, title, rounds.table(runs, [others.FLOOR, others.UVICORN, others.BASELINE]))


if __name__ == "__main__":
    main()
