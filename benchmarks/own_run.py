"""
The question: what does a run of its own for each viewer cost?

    python benchmarks/own_run.py [--viewers 1000] [--rate 20] [--seconds 10] [--rounds 3] [--only NAME] [--json FILE]

1,000 viewers, each with a stream of its own of 20 tokens a second, in format `events`. Measured in turn, round after
round, with a new server process each time: bare Twisted (the baseline), a C program (the floor), sseserver. All send
the same tokens at the same pace; each round starts with another server.

Printed for each server, as medians of the rounds:

* CPU time of its process in µs for each delivered event, and the ratio to the baseline in the same round ("-" when
  there is no round in which both were undisturbed, see "no core");
* pace: delivered events / those that were due;
* lag: how much later than the viewer's most punctual event, see `journal.paceLags`;
* faults (the worst round): tokens missing or twice, wrong texts, gaps, streams that ended;
* memory for each viewer: anonymous memory with all viewers at the end of the window, less that after one first viewer,
  divided by the viewers. In sseserver's there is what the streams keep by then; `memory.py` takes it apart;
* no core (the worst round): time in which the server was ready but had no core / length of the window. Above a tenth
  the round is disturbed: its lags mean nothing, its µs little; do it again when the machine is quiet;
* client (the worst round): the load client's CPU time / length of the window, see `load.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import process
import servers
from journal import Outcome, judge
from load import OPENING_PATIENCE, Load, Plan

# Share of the window. A server that waits for its core does its work in fewer, larger turns: sseserver, which makes up
# for late ticks, then looked up to twice as cheap (12 to 32 µs); bare Twisted, which skips them, came to 35 to 67 µs.
DISTURBED = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """
    One server in one round.

    Args:
        server: Its name.
        round: The round, from 0.
        cpu: CPU time of the server in µs for each event delivered in the window.
        share: CPU time of the server / length of the window.
        waited: Time in which the server was ready but had no core / length of the window.
        memory: Bytes of anonymous memory for each viewer, see `process.Memory`.
        outcome: What the viewers got.
    """

    server: str
    round: int
    cpu: float
    share: float
    waited: float
    memory: float
    outcome: Outcome

    @property
    def disturbed(self) -> bool:
        """
        Whether other work kept the server waiting so long that its figures mean little.
        """
        return self.waited > DISTURBED


class Meter:
    """
    Reads a server's clocks at both ends of the window, and its memory at the end.

    Args:
        server: The process.
    """

    def __init__(self, server: process.ServerProcess) -> None:
        self._server = server
        self.cpu = self.waited = 0.0
        self.memory = 0

    def begin(self) -> None:
        """
        The window begins.
        """
        self.cpu, self.waited = self._server.cpuSeconds(), self._server.waitedSeconds()

    def end(self) -> None:
        """
        The window ends: the attributes are now what was used in it, and the anonymous memory in bytes.
        """
        self.cpu = self._server.cpuSeconds() - self.cpu
        self.waited = self._server.waitedSeconds() - self.waited
        self.memory = self._server.memory().anonymous


def measure(server: servers.Server, round: int, options: argparse.Namespace, text: str) -> Run:
    """
    Start a server, measure it, end it.
    """
    port = process.freePort()
    core = process.cores()[1] if options.pin else None
    plan = Plan(port, options.viewers, post=server.post, seconds=options.seconds)
    with process.ServerProcess(server.command(port), port, core, server.environment) as child:
        # One viewer first: what the server loads or builds at its first request is not the viewers'.
        Load(Plan(port, 1, post=server.post, settle=0, seconds=0.3)).run()
        idle, meter = child.memory().anonymous, Meter(child)
        journal = Load(plan, meter.begin, meter.end).run()
    outcome = judge(journal, plan.viewers, options.rate, text.encode())
    length = journal.end - journal.begin
    return Run(
        server=server.name,
        round=round,
        cpu=round3(meter.cpu * 1e6 / max(1, outcome.events)),
        share=round3(meter.cpu / length),
        waited=round3(meter.waited / length),
        memory=round3((meter.memory - idle) / plan.viewers),
        outcome=outcome,
    )


def round3(value: float) -> float:
    """
    Three decimals are more than the measurements bear.
    """
    return float(f"{value:.3f}")


def choose(options: argparse.Namespace, folder: Path, text: str) -> list[servers.Server]:
    """
    The servers that can be measured here; the reason is printed for those that cannot.
    """
    textFile = folder / "words.txt"
    textFile.write_text(text)
    makers: dict[str, Callable[[], servers.Server]] = {
        servers.BASELINE: lambda: servers.bareTwisted(options.rate),
        servers.FLOOR: lambda: servers.floor(options.rate, folder),
        servers.OURS: lambda: servers.sseserver(1 / options.rate, textFile),
    }
    chosen = []
    for name, make in makers.items():
        if options.only and not any(only.lower() in name.lower() for only in options.only):
            continue
        try:
            chosen.append(make())
        except servers.SkipError as reason:
            print(f"{name}: skipped: {reason}")
    return chosen


def measureAll(options: argparse.Namespace) -> list[Run]:
    """
    All rounds.
    """
    seconds = options.viewers / 500 + OPENING_PATIENCE + options.seconds
    text = servers.words(int(options.rate * seconds * 2))
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        chosen = choose(options, Path(folder), text)
        for number in range(options.rounds):
            first = number % max(1, len(chosen))
            for server in chosen[first:] + chosen[:first]:
                process.waitForQuiet(options.patience)
                runs.append(measure(server, number, options, text))
                print(describe(runs[-1]), flush=True)
    return runs


def describe(run: Run) -> str:
    """
    One line on one run.
    """
    outcome = run.outcome
    return (
        f"round {run.round} {run.server:14} {run.cpu:6.1f} µs/event, {outcome.events} events, pace {outcome.pace}, "
        f"server {run.share:.0%} (without a core {run.waited:.0%}), "
        f"client {outcome.clientShare:.0%} (without a core {outcome.clientWaited:.0%})"
    )


def ratios(runs: Iterable[Run], name: str) -> list[float]:
    """
    CPU for an event in relation to the baseline of the same round, for each round in which neither was disturbed.
    """
    cpu = {(run.server, run.round): run.cpu for run in runs if not run.disturbed}
    baseline = {number: value for (server, number), value in cpu.items() if server == servers.BASELINE}
    return [
        value / baseline[number] for (server, number), value in cpu.items() if server == name and number in baseline
    ]


def row(runs: list[Run], name: str) -> str:
    """
    One server's line of the table: medians of its rounds, and the worst of what must not be.
    """
    own = [run for run in runs if run.server == name]
    against = ratios(runs, name)
    lag = {part: median(run.outcome.lag[part] for run in own) for part in ("p50", "p99", "p99.9", "max")}
    cells = [
        name,
        f"{median(run.cpu for run in own):.1f} ({min(run.cpu for run in own):.1f} - {max(run.cpu for run in own):.1f})",
        f"{median(against):.2f}" if against else "-",
        f"{median(run.outcome.pace or 0 for run in own):.3f}",
        *(f"{value:.1f}" for value in lag.values()),
        str(max(run.outcome.check.faults() for run in own)),
        f"{median(run.memory for run in own) / 1000:.1f}",
        f"{max(run.waited for run in own):.0%}",
        f"{max(run.outcome.clientShare for run in own):.0%}",
    ]
    return "| " + " | ".join(cells) + " |"


def table(runs: list[Run]) -> str:
    """
    The table, in Markdown.
    """
    head = (
        "| server | µs/event | ratio | pace | lag p50 ms | p99 | p99.9 | max | faults | kB/viewer | no core | client |"
    )
    names = dict.fromkeys(run.server for run in runs)
    return "\n".join([head, "| --- |" + " ---: |" * 11, *(row(runs, name) for name in names)])


def machine() -> dict[str, str | int | None]:
    """
    Where and when this was measured.
    """
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": models[0].partition(": ")[2] if models else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "twisted": version("twisted"),
    }


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20.0, help="tokens each second of each stream")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the window")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--patience", type=float, default=30.0, help="seconds to wait for a quiet machine before each run"
    )
    parser.add_argument("--only", action="append", help="only servers with this in their name; may be repeated")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="do not bind client and server to two cores")
    return parser.parse_args()


def main() -> None:
    """
    Measure, print the table, write the JSON.
    """
    options = parseArguments()
    core = process.cores()[0]
    if options.pin and core is not None:
        os.sched_setaffinity(0, {core})
    runs = measureAll(options)
    print(f"\n{options.viewers} viewers, {options.rate:g} tokens/s each, {options.rounds} x {options.seconds:g} s\n")
    print(table(runs))
    if options.json:
        given = {name: str(value) for name, value in vars(options).items()}
        figures = {"machine": machine(), "options": given, "runs": [asdict(run) for run in runs]}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
