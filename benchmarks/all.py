"""
Every question, one after the other, and what comes of it: tables, figures, a picture, and how far the goals are met.

    python benchmarks/all.py --quick          # a short look: one round, short windows; half an hour; no file is written
    python benchmarks/all.py                  # five rounds of what has a goal: two hours, without other work
    python benchmarks/all.py --only fan_out   # the question of this name, or those with this in theirs; others stay

Each question is a script of this folder, started as `--list` prints it, so each can be asked alone. Its result is
written as soon as it is there: the figures to `--json`, all tables to `--markdown`, the picture to `--picture`.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import others
import picture
import relay
import rounds
from servers import HERE, OURS, ROOT

Results = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """
    One question.

    Args:
        name: Its own.
        text: What is asked.
        script: Of this folder.
        arguments: Beside the rounds.
        quick: More of them, or others, for a short look.
        rounds: How many; `None`: as many as all; 0: it has none.
        realTime: Whether it may keep the scheduling with which this was started. What waits for a disk may not.
    """

    name: str
    text: str
    script: str
    arguments: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    rounds: int | None = None
    realTime: bool = True

    def command(self, quick: bool, rounds: int) -> list[str]:
        """
        The script and its arguments.
        """
        count = 1 if quick and self.rounds != 0 else rounds if self.rounds is None else self.rounds
        turns = ["--rounds", str(count)] if count else []
        return [self.script, *self.arguments, *(self.quick if quick else ()), *turns]


def _few(*names: str) -> tuple[str, ...]:
    return tuple(part for name in (*names, OURS) for part in ("--only", name))


SHORT = ("--seconds", "4")
GROWTH = _few(others.BASELINE, others.UVICORN, others.NODE, others.FLOOR)
MANY = ("--viewers", "10000", "--rate", "2")
QUESTIONS = (
    Question("own_run", "What does a run of its own for each viewer cost?", "own_run.py", quick=SHORT),
    Question("own_run_100", "The same, few viewers", "own_run.py", ("--viewers", "100", *GROWTH), SHORT, 3),
    Question("own_run_5000", "More viewers", "own_run.py", ("--viewers", "5000", "--rate", "2", *GROWTH), SHORT, 3),
    Question("own_run_10000", "Many viewers", "own_run.py", (*MANY, *GROWTH), SHORT, 3),
    Question("own_run_tls", "A run for each viewer, over TLS", "own_run.py", ("--tls",), SHORT, 3),
    Question(
        "own_run_stores",
        "A run for each viewer, with each store",
        "own_run.py",
        ("--store", "memory", "--store", "sqlite", "--folder", ".", "--only", OURS),
        SHORT,
        3,
        realTime=False,
    ),
    Question("fan_out", "What does one published stream with many viewers cost?", "fan_out.py", quick=SHORT),
    Question(
        "fan_out_10000",
        "The same, many viewers",
        "fan_out.py",
        (*MANY, *_few(others.BASELINE, others.UVICORN, others.NODE, others.NCHAN)),
        SHORT,
        3,
    ),
    Question("fan_out_tls", "The same, over TLS", "fan_out.py", ("--tls",), SHORT, 3),
    Question("relay", "What does it cost to relay the answers of an upstream?", "relay.py", quick=SHORT),
    Question("short", "What does a short stream cost, with its connection?", "short.py", quick=("--seconds", "3")),
    Question("idle", "What do viewers cost to whom nothing is sent?", "idle.py", quick=("--seconds", "17"), rounds=1),
    Question("idle_1000", "The same, fewer", "idle.py", ("--viewers", "1000"), ("--seconds", "17"), 1),
    Question("storm", "How long until all viewers are back who come at once?", "storm.py", rounds=3),
    Question(
        "first_byte",
        "How long does a new viewer wait, while the server is at work?",
        "first_byte.py",
        quick=("--seconds", "4", "--probes", "100"),
        rounds=3,
    ),
    Question("catch_up", "How fast does a viewer get a long stream that is kept?", "catch_up.py", rounds=3),
    Question(
        "publish",
        "What does publishing cost, with each store?",
        "publish.py",
        ("--folder", "."),
        ("--seconds", "3"),
        3,
        realTime=False,
    ),
    Question(
        "store", "How many entries a second does the SQLite store take?", "store.py", (), SHORT, 3, realTime=False
    ),
    Question("program", "How fast does the output of a program get to a viewer?", "program.py", rounds=2),
    Question("memory", "What stays in memory for each viewer, for each token?", "memory.py", rounds=0),
)

PANELS = (
    picture.Panel("own_run", "A stream of its own for each of 1,000 viewers", (others.FLOOR,), "CPU µs an event"),
    picture.Panel("fan_out", "One stream for 1,000 viewers", (others.NCHAN,), "CPU µs a delivery"),
    picture.Panel("relay", "Relaying 500 answers of an upstream", (relay.NGINX,), "CPU µs a token"),
    picture.Panel("short", "Connect, 20 tokens, closed", (others.FLOOR,), "CPU µs a stream", paced=False),
)


@dataclass(frozen=True, slots=True)
class Goal:
    """
    What shall be reached.

    Args:
        work: What is done.
        question: Where it is measured.
        limit: The most that it may be.
        unit: Of the limit.
        value: What was measured; `None`: nothing that could be compared.
    """

    work: str
    question: str
    limit: float
    unit: str
    value: Callable[[list[Any]], float | None]

    def row(self, results: Results) -> list[str]:
        """
        Its line of the table.
        """
        value = self.value(results[self.question]["runs"]) if self.question in results else None
        met = "not measured" if value is None else "reached" if value <= self.limit else "missed"
        return [self.work, f"{figure(self.limit)} {self.unit}", "-" if value is None else figure(value), met]


def figure(value: float) -> str:
    """
    Three digits, and all of those before the point.
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cpuAgainst(peer: str, ours: str = OURS) -> Callable[[list[Any]], float | None]:
    """
    Our CPU time in relation to another server's: median of the rounds.
    """

    def value(runs: list[Any]) -> float | None:
        samples = [rounds.Sample(*(run[name] for name in rounds.Sample.__slots__)) for run in runs]
        found = rounds.ratios(samples, ours, peer)
        return median(found) if found else None

    return value


def lagAgainst(peer: str) -> Callable[[list[Any]], float | None]:
    """
    Our p99 of the lag in relation to another server's: median of the rounds.
    """

    def value(runs: list[Any]) -> float | None:
        lag = {(run["server"], run["round"]): run["outcome"]["lag"]["p99"] for run in runs}
        found = [own / lag[peer, turn] for (name, turn), own in lag.items() if name == OURS and (peer, turn) in lag]
        return median(found) if found else None

    return value


def ownMedian(part: str) -> Callable[[list[Any]], float | None]:
    """
    A figure of ours: median of the rounds.
    """

    def value(runs: list[Any]) -> float | None:
        found = [run[part] for run in runs if run["server"] == OURS]
        return median(found) if found else None

    return value


GOALS = (
    Goal("own run, 1,000 x 20/s: CPU", "own_run", 1.5, "x floor (C)", cpuAgainst(others.FLOOR)),
    Goal("own run, 1,000 x 20/s: CPU", "own_run", 0.6, "x uvicorn", cpuAgainst(others.UVICORN)),
    Goal("own run, 1,000 x 20/s: p99 of the lag", "own_run", 1.0, "x uvicorn", lagAgainst(others.UVICORN)),
    Goal("fan-out to 1,000: CPU", "fan_out", 1.05, "x nchan", cpuAgainst(others.NCHAN)),
    Goal("relay, 500 x 20/s: CPU", "relay", 1.8, "x nginx", cpuAgainst(relay.NGINX)),
    Goal("relay: CPU", "relay", 1 / 15, "x LiteLLM", cpuAgainst(relay.LITELLM)),
    Goal("short streams: CPU", "short", 1.2, "x uvicorn", cpuAgainst(others.UVICORN)),
    Goal("idle viewer: memory", "idle", 5000, "bytes", ownMedian("memory")),
    Goal("10,000 viewers back after a storm", "storm", 10, "s", ownMedian("seconds")),
)


def goals(results: Results) -> str:
    """
    The table of the goals.
    """
    return rounds.markdown(["work", "goal: at most", "measured", ""], [goal.row(results) for goal in GOALS])


def ask(question: Question, options: argparse.Namespace) -> Any:
    """
    Run a question's script, which prints what it does.

    Returns:
        Its result; `None`: it failed.
    """
    script, *arguments = question.command(options.quick, options.rounds)
    if "--rounds" in arguments:
        arguments += ["--patience", str(options.patience)]
    print(f"\n# {question.text} ({script} {shlex.join(arguments)})\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        command = [sys.executable, str(HERE / script), *arguments, "--json", str(file)]
        ended = subprocess.run(command, check=False, preexec_fn=None if question.realTime else normal).returncode
        if ended or not file.exists():
            print(f"{question.name}: failed with {ended}", flush=True)
            return None
        result = json.loads(file.read_text())
    # A passing file of this machine.
    result["options"].pop("json", None)
    return {**result, "command": f"python benchmarks/{script} {shlex.join(arguments)}"}


def normal() -> None:
    """
    This process is scheduled as any other.
    """
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def page(results: Results) -> str:
    """
    All tables, in Markdown.
    """
    parts = ["# Results", "Written by `python benchmarks/all.py`; [what the columns mean](README.md).", goals(results)]
    for question in QUESTIONS:
        if question.name in results:
            result = results[question.name]
            parts += [f"## {question.text}", f"{result['title']}: `{result['command']}`", *result["tables"]]
            parts.append(rounds.place(result["machine"]))
    return "\n\n".join(parts) + "\n"


def keep(options: argparse.Namespace, results: Results) -> None:
    """
    Write all that is known.
    """
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(page(results))
    if not options.picture:
        return
    newest = max((result["machine"] for result in results.values()), key=lambda machine: str(machine["date"]))
    missing = picture.draw(results, PANELS, options.picture, rounds.place(newest))
    if missing:
        print(f"no picture: {missing}", flush=True)


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, short windows")
    parser.add_argument("--rounds", type=int, default=5, help="of the questions that have a goal")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds to wait for a quiet machine, each time")
    parser.add_argument("--only", action="append", help="only the question of this name, or those with this in it")
    parser.add_argument("--list", action="store_true", help="print the questions and end")
    files = {"json": HERE / "results.json", "markdown": HERE / "results.md", "picture": ROOT / "docs" / "benchmark.svg"}
    for name, file in files.items():
        parser.add_argument(f"--{name}", type=Path, help=f"default, without --quick: {file.relative_to(ROOT)}")
    options = parser.parse_args()
    if not options.quick:
        for name, file in files.items():
            setattr(options, name, getattr(options, name) or file)
    return options


def chosen(options: argparse.Namespace) -> Sequence[Question]:
    """
    Those that are to be asked.
    """
    names = {one.name for one in QUESTIONS}
    return [
        one
        for one in QUESTIONS
        if not options.only or any(part == one.name if part in names else part in one.name for part in options.only)
    ]


def main() -> int:
    """
    Ask all, write what comes; fail when a question did.
    """
    options = parseArguments()
    if options.list:
        for question in chosen(options):
            print(f"{question.name:16} python benchmarks/{shlex.join(question.command(options.quick, options.rounds))}")
        return 0
    results: Results = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    failed = []
    for question in chosen(options):
        result = ask(question, options)
        if result is None:
            failed.append(question.name)
        else:
            results[question.name] = result
            keep(options, results)
    print(f"\n# Goals\n\n{goals(results)}\n")
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
