"""
Measures servers: sseserver beside its peers, and one sseserver beside another.

    python benchmarks/main.py --list                # the questions, with their parameters
    python benchmarks/main.py own_run fan_out       # some of them
    python benchmarks/main.py --quick               # all, one round, short windows: half an hour
    python benchmarks/main.py --save                # all, five rounds: two hours; writes results and picture

    python benchmarks/main.py own_run --ours old=/tmp/old/bin/python --ours new=/tmp/new/bin/python
    python benchmarks/main.py own_run --ours fast=python --ours plain='python --plain' --only fast --only plain

`--ours NAME=[VARIABLE=VALUE ...] PYTHON [OPTION ...]` names an sseserver to measure: an interpreter, or the
folder of a source tree, with variables and options of `twistd sseserver`. Each round measures all of them;
a second table has the ratios to the first.
"""

import argparse
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import picture
import process
import rounds
import secure
from load import LoadError
from paced import Bench, measureFormat, measureRelay, upstream
from questions import QUESTIONS, Question
from servers import HERE, OURS, ROOT, Installation, Server, SkipError

RESULTS, PAGE, PICTURE = HERE / "results.json", HERE / "results.md", ROOT / "docs" / "benchmark.svg"


def ask(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one question and return its result. Runs in a process of its own, which is the load client."""
    question = next(one for one in QUESTIONS if one.name == name)
    if question.disk:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    client, core = process.cores() if options.pin else (None, None)
    if client is not None:
        os.sched_setaffinity(0, {client})
    parameters = question.settings(options.rounds, options.quick, options.set)
    ours = [Installation.parse(text) for text in options.ours or [f"{OURS}="]]
    if options.plain:
        ours += [replace(one, name=f"{one.name} --plain", options=(*one.options, "--plain")) for one in ours]
    print(f"\n# {question.text} ({vars(parameters)})\n", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder if question.disk else None) as folder:
        place = Path(folder).resolve()
        pair = secure.makePair(place) if question.tls else None
        port = process.freePort() if question.measure in (measureFormat, measureRelay) else 0
        bench = Bench(parameters, ours, place, core, options.patience, pair, port)
        with upstream(bench):
            runs = measureAll(question, bench, options.only or question.only)
    title, tables = question.title.format(**vars(parameters)), [rounds.table(question, runs)]
    if len(ours) > 1:
        tables.append(rounds.comparison(question, runs, ours))
    machine = rounds.machine(ours)
    print("", title, *tables, rounds.place(machine), sep="\n\n", flush=True)
    return {"machine": machine, "title": title, "parameters": vars(parameters), "tables": tables, "runs": runs}


def measureAll(question: Question, bench: Bench, only: list[str]) -> list[dict[str, Any]]:
    """Measure all rounds; each starts with another server. A failure costs one server one round."""
    chosen, runs = choose(question, bench, only), []
    for number in range(bench.parameters.rounds):
        first = number % max(1, len(chosen))
        for server in chosen[first:] + chosen[:first]:
            process.waitForQuiet(bench.patience)
            try:
                figures = question.measure(bench, server)
            except (process.ServerError, LoadError, OSError) as reason:
                print(f"round {number} {server.name}: failed: {reason}", flush=True)
                continue
            runs.append({"server": server.name, "variant": server.variant, "round": number, **figures})
            print(f"round {number} {server.name:24} {rounds.describe(question, figures)}", flush=True)
    return runs


def choose(question: Question, bench: Bench, only: list[str]) -> list[Server]:
    """Return the servers that can be measured here, and print why the others cannot."""
    chosen = []
    names = [one.name if name == OURS else name for name in only for one in bench.installations]
    for name, make in question.servers(bench).items():
        if names and not any(part.lower() in name.lower() for part in names):
            continue
        try:
            chosen.append(make())
        except SkipError as reason:
            print(f"{name}: skipped: {reason}", flush=True)
    return chosen


def parseArguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help="names, see --list; all if none is given")
    parser.add_argument("--list", action="store_true", help="print the questions and exit")
    parser.add_argument("--quick", action="store_true", help="one round, short windows")
    parser.add_argument("--rounds", type=int, help="number of rounds, instead of the question's")
    parser.add_argument("--only", action="append", help="servers with this in their name; may be repeated")
    parser.add_argument("--ours", action="append", help="an sseserver to measure, see above; may be repeated")
    parser.add_argument("--plain", action="store_true", help="measure each sseserver with --plain, too")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds to wait for a quiet machine, each time")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="do not bind client and servers to cores")
    parser.add_argument("--folder", type=Path, default=Path(), help="folder on the disk that SQLite is measured on")
    parser.add_argument("--json", type=Path, help="file to which the figures are added")
    parser.add_argument("--save", action="store_true", help="add to results.json, write results.md and the picture")
    repeated = {"action": "append", "default": [], "metavar": "NAME=NUMBER"}
    parser.add_argument("--set", **repeated, help="a parameter of the questions that have it")
    options = parser.parse_args()
    options.set = {name: float(value) for name, _, value in (text.partition("=") for text in options.set)}
    names = {question.name for question in QUESTIONS}
    if unknown := set(options.questions) - names:
        parser.error(f"no such question: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    options.json = options.json or (RESULTS if options.save else Path(os.devnull))
    return options


def main() -> int:
    """Ask the questions and save the results as they come; return 1 if one failed."""
    options = parseArguments()
    chosen = [one for one in QUESTIONS if not options.questions or one.name in options.questions]
    if options.list:
        for question in chosen:
            print(f"{question.name:16} {question.text} {question.parameters}")
        return 0
    results: dict[str, Any] = json.loads(options.json.read_text() or "{}") if options.json.exists() else {}
    failed = []
    for question in chosen:
        # Each in a new process: the memory and the state of one do not disturb the next.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            try:
                results[question.name] = pool.submit(ask, question.name, options).result()
            except Exception as reason:
                print(f"{question.name}: failed: {reason}", flush=True)
                failed.append(question.name)
        options.json.write_text(json.dumps(results, indent=1) + "\n")
        if options.save:
            PAGE.write_text(rounds.page(results))
            PICTURE.write_text(picture.draw(results))
    print(f"\n# Goals\n\n{rounds.goals(results)}\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
