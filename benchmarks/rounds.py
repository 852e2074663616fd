"""
Servers measured in turn, round after round, and the table that comes of it: what `own_run.py` and `fan_out.py` share.

Printed for each server, as medians of the rounds:

* CPU time of its process in µs for each delivered event, and the ratio to another server in the same round ("-" when
  there is no round in which both were undisturbed, see "no core");
* CPU: CPU time of its process / length of the window. A server near 100 % falls behind and works in larger turns, which
  look cheap: its µs are too low, its lag says so, and it should be asked again with fewer viewers;
* pace: delivered events / those that were due;
* lag in milliseconds;
* faults (the worst round): all that should be 0, see `journal.Check`;
* memory for each viewer: anonymous memory with all viewers at the end of the window, less that after one first viewer,
  divided by the viewers;
* no core (the worst round): time in which the server was ready but had no core / length of the window. Above a tenth
  the round is disturbed: its lags mean nothing, its µs little; do it again when the machine is quiet;
* client (the worst round): the load client's CPU time / length of the window, see `load.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import process
import servers
from journal import Outcome
from load import LoadError

# Share of the window. A server that waits for its core does its work in fewer, larger turns: sseserver, which makes up
# for late ticks, then looked up to twice as cheap (12 to 32 µs); bare Twisted, which skips them, came to 35 to 67 µs.
DISTURBED = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """
    What one server cost in one round.

    Args:
        server: Its name.
        round: The round, from 0.
        cpu: CPU time of the server in µs for each of what it was asked for: events, streams ...
        share: CPU time of the server / length of the window.
        waited: Time in which the server was ready but had no core / length of the window.
    """

    server: str
    round: int
    cpu: float
    share: float
    waited: float

    @property
    def disturbed(self) -> bool:
        """
        Whether other work kept the server waiting so long that its figures mean little.
        """
        return self.waited > DISTURBED

    def describe(self) -> str:
        """
        One line.
        """
        return (
            f"round {self.round} {self.server:20} {self.cpu:7.1f} µs, "
            f"server {self.share:.0%} (without a core {self.waited:.0%})"
        )


@dataclass(frozen=True, slots=True)
class Run(Sample):
    """
    One server in one round, in which events were delivered; `cpu` is for each of them.

    Args:
        memory: Bytes of anonymous memory for each viewer, see `process.Memory`.
        outcome: What the viewers got.
    """

    memory: float
    outcome: Outcome

    def describe(self) -> str:
        """
        One line.
        """
        outcome = self.outcome
        return (
            f"{Sample.describe(self)}, {outcome.events} events, pace {outcome.pace}, "
            f"client {outcome.clientShare:.0%} (without a core {outcome.clientWaited:.0%})"
        )


Measured = TypeVar("Measured", bound=Sample)


class Meter:
    """
    Reads a server's clocks at both ends of the window, and its memory at the end.

    Args:
        server: The process. Its memory now is what it has without viewers.
    """

    def __init__(self, server: process.ServerProcess) -> None:
        self._server = server
        self._idle = server.memory().anonymous
        self.cpu = self.waited = self.began = 0.0
        self.memory = 0

    def begin(self) -> None:
        """
        The window begins.
        """
        self.began, self.waited = self._server.cpuSeconds(), self._server.waitedSeconds()

    def end(self) -> None:
        """
        The window ends: the attributes are now what was used in it, and the anonymous memory in bytes that was added
        (`began` stays the CPU time of the server when the window began).
        """
        self.cpu = self._server.cpuSeconds() - self.began
        self.waited = max(0.0, self._server.waitedSeconds() - self.waited)
        self.memory = self._server.memory().anonymous - self._idle

    def figures(self, done: int, length: float) -> dict[str, float]:
        """
        Those of a `Sample`.

        Args:
            done: Of what it was asked for.
            length: Of the window in seconds.
        """
        return {
            "cpu": round3(self.cpu * 1e6 / max(1, done)),
            "share": round3(self.cpu / length),
            "waited": round3(self.waited / length),
        }

    def run(self, server: str, round: int, outcome: Outcome, viewers: int, length: float) -> Run:
        """
        All figures of a window of this length in seconds.
        """
        figures = self.figures(outcome.events, length)
        return Run(server, round, **figures, memory=round3(self.memory / viewers), outcome=outcome)


def round3(value: float) -> float:
    """
    Three decimals are more than the measurements bear.
    """
    return float(f"{value:.3f}")


def connectRate(viewers: int) -> float:
    """
    Connections opened each second, so that thousands take ten seconds and a few do not come all at once.
    """
    return max(500.0, viewers / 10)


def choose(makers: dict[str, Callable[[], servers.Server]], only: Sequence[str] | None) -> list[servers.Server]:
    """
    The servers that can be measured here; the reason is printed for those that cannot.

    Args:
        makers: What makes each of them, by its name.
        only: Only those with one of these in their name.
    """
    chosen = []
    for name, make in makers.items():
        if only and not any(part.lower() in name.lower() for part in only):
            continue
        try:
            chosen.append(make())
        except servers.SkipError as reason:
            print(f"{name}: skipped: {reason}")
    return chosen


def inTurn(
    chosen: list[servers.Server], rounds: int, patience: float, measure: Callable[[servers.Server, int], Measured]
) -> list[Measured]:
    """
    All rounds; each starts with another server. One that fails is left out of the round, and the reason printed.
    """
    runs = []
    for number in range(rounds):
        first = number % max(1, len(chosen))
        for server in chosen[first:] + chosen[:first]:
            process.waitForQuiet(patience)
            try:
                runs.append(measure(server, number))
            except (process.ServerError, LoadError, OSError) as reason:
                # One that breaks under the load must not take the others' figures with it.
                print(f"round {number} {server.name}: failed: {reason}", flush=True)
            else:
                print(runs[-1].describe(), flush=True)
    return runs


def ratios(runs: Iterable[Sample], name: str, baseline: str) -> list[float]:
    """
    CPU time in relation to another server's in the same round, for each round in which neither was disturbed.
    """
    cpu = {(run.server, run.round): run.cpu for run in runs if not run.disturbed}
    base = {number: value for (server, number), value in cpu.items() if server == baseline}
    return [value / base[number] for (server, number), value in cpu.items() if server == name and number in base]


def costs(runs: Sequence[Sample], name: str, baselines: Sequence[str]) -> list[str]:
    """
    The first cells of a server's line: its name, µs as the median of the rounds with both ends, and the ratios.
    """
    cpu = [run.cpu for run in runs if run.server == name]
    against = [ratios(runs, name, baseline) for baseline in baselines]
    return [
        name,
        f"{median(cpu):.1f} ({min(cpu):.1f} - {max(cpu):.1f})",
        *(f"{median(values):.2f}" if values else "-" for values in against),
    ]


def row(runs: list[Run], name: str, baselines: Sequence[str]) -> list[str]:
    """
    One server's line of the table: medians of its rounds, and the worst of what must not be.
    """
    own = [run for run in runs if run.server == name]
    lag = {part: median(run.outcome.lag[part] for run in own) for part in ("p50", "p99", "p99.9", "max")}
    return [
        *costs(runs, name, baselines),
        f"{median(run.share for run in own):.0%}",
        f"{median(run.outcome.pace for run in own):.3f}",
        *(f"{value:.1f}" for value in lag.values()),
        str(max(run.outcome.check.faults() for run in own)),
        f"{median(run.memory for run in own) / 1000:.1f}",
        f"{max(run.waited for run in own):.0%}",
        f"{max(run.outcome.clientShare for run in own):.0%}",
    ]


def present(runs: Iterable[Sample], baselines: Sequence[str]) -> list[str]:
    """
    Those of some servers that were measured.
    """
    names = {run.server for run in runs}
    return [name for name in baselines if name in names]


def table(runs: list[Run], baselines: Sequence[str]) -> str:
    """
    The table, with a column of ratios to each of some servers that were measured.
    """
    baselines = present(runs, baselines)
    ratio = [f"/ {baseline}" for baseline in baselines]
    lag = ["lag p50 ms", "p99", "p99.9", "max"]
    head = ["server", "µs/event", *ratio, "CPU", "pace", *lag, "faults", "kB/viewer", "no core", "client"]
    names = dict.fromkeys(run.server for run in runs)
    return markdown(head, [row(runs, name, baselines) for name in names])


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """
    A table in Markdown; all columns but the first are figures.
    """
    lines = [" | ".join(cells) for cells in (head, ["---", *["---:"] * (len(head) - 1)], *rows)]
    return "\n".join(f"| {line} |" for line in lines)


def machine() -> dict[str, str | int | None]:
    """
    Where and when this was measured, and whether other work could disturb it.
    """
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": models[0].partition(": ")[2] if models else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "twisted": version("twisted"),
        "sseserver": build(),
        "scheduling": "real-time" if os.sched_getscheduler(0) in {os.SCHED_RR, os.SCHED_FIFO} else "normal",
    }


def build() -> str:
    """
    Which sseserver is measured: its version, and whether it is compiled.
    """
    # Here and not above: most of the scripts need nothing of it in their own process, which is measured, too.
    try:
        import sseserver
    except ImportError:
        return "not installed"
    return f"{sseserver.__version__} ({'compiled' if sseserver.compiled else 'pure Python'})"


def place(machine: Mapping[str, Any]) -> str:
    """
    Where and when something was measured, in a line.
    """
    return (
        f"{machine['date'][:10]}; {machine['cores']} cores of {machine['processor']}, Linux {machine['kernel']}, "
        f"Python {machine['python']}, Twisted {machine['twisted']}, "
        # Results of before there were two builds do not say it.
        f"sseserver {machine.get('sseserver', '(pure Python)')}; {machine['scheduling']} scheduling."
    )


def addOptions(parser: argparse.ArgumentParser, rounds: int = 3) -> None:
    """
    The options that all scripts with rounds have.
    """
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument(
        "--patience", type=float, default=30.0, help="seconds to wait for a quiet machine before each run"
    )
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="do not bind client and server to two cores")


def addRest(parser: argparse.ArgumentParser) -> None:
    """
    The option for `Plan.rest`.
    """
    parser.add_argument(
        "--rest", type=float, default=0.001, help="seconds that the client sleeps after each look at its sockets"
    )


def addOnly(parser: argparse.ArgumentParser) -> None:
    """
    The option for `choose`.
    """
    parser.add_argument("--only", action="append", help="only servers with this in their name; may be repeated")


def pin(options: argparse.Namespace) -> int | None:
    """
    Bind this process to its core; give the server's, `None` when nothing is bound.
    """
    client, server = process.cores() if options.pin else (None, None)
    if client is not None:
        os.sched_setaffinity(0, {client})
    return server


def report(options: argparse.Namespace, runs: Sequence[object], title: str, *tables: str) -> None:
    """
    Print the tables, and write all figures to the file of `--json`, if there is one.

    Args:
        options: What was given.
        runs: Dataclasses.
        title: What was measured.
        tables: In Markdown.
    """
    where = machine()
    print("", title, *tables, place(where), sep="\n\n")
    if options.json:
        given = {name: str(value) for name, value in vars(options).items()}
        figures = [asdict(run) for run in runs if is_dataclass(run) and not isinstance(run, type)]
        result = {"machine": where, "options": given, "title": title, "tables": tables, "runs": figures}
        options.json.write_text(json.dumps(result, indent=2) + "\n")
