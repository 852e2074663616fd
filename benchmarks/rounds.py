"""
From the figures of all rounds to tables: medians, and medians of the ratios within a round.
"""

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from journal import Figures
from questions import GOALS, QUESTIONS, Column, Question
from servers import OURS, Installation

#: Share of the window. A server that waits longer for its core works in fewer, larger turns and looks up
#: to twice as cheap, or skips ticks: no ratio is formed with such a round.
DISTURBED = 0.1

Runs = Sequence[dict[str, Any]]


def describe(question: Question, figures: Figures) -> str:
    """Return the figures of one server in one round, in a line."""
    shown = [column for column in question.columns if column.figure in figures]
    return ", ".join(f"{column.title} {column.form.format(figures[column.figure])}" for column in shown)


def ratios(runs: Runs, name: str, baseline: str, figure: str) -> list[float]:
    """Return a figure's ratio to another server's in the same round, for all rounds without disturbance."""
    good = [run for run in runs if figure in run and run.get("waited", 0) <= DISTURBED]
    value = {(run["server"], run["round"]): run[figure] for run in good}
    base = {number: one for (server, number), one in value.items() if server == baseline and one}
    return [one / base[number] for (server, number), one in value.items() if server == name and number in base]


def _cell(runs: Runs, name: str, column: Column, isFirst: bool) -> str:
    values = [run[column.figure] for run in runs if run["server"] == name and column.figure in run]
    if not values:
        return "-"
    text = column.form.format(column.pick(values))
    if isFirst and len(values) > 1:
        text += f" ({column.form.format(min(values))} - {column.form.format(max(values))})"
    return text


def table(question: Question, runs: Runs) -> str:
    """Return the table of a question: its columns, and the ratios of the compared figures to each baseline."""
    names, head = {run["server"]: run.get("variant", "") for run in runs}, ["server"]
    present = [one for one in question.baselines if any(name.startswith(one) for name in names)]
    rows = [[name] for name in names]
    for index, column in enumerate(question.columns):
        head.append(column.title)
        for row in rows:
            row.append(_cell(runs, row[0], column, index == 0))
        for baseline in present if column.figure in question.divided else ():
            head.append(f"/ {baseline}")
            for row in rows:
                same = f"{baseline}, {names[row[0]]}"
                found = ratios(runs, row[0], same if same in names else baseline, column.figure)
                row.append(f"{median(found):.2f}" if found else "-")
    return markdown(head, rows)


def comparison(question: Question, runs: Runs, ours: Sequence[Installation]) -> str:
    """Return the table of the installations beside the first one: medians and ends of the ratios within a round."""
    first, rows = ours[0].name, []
    for name, variant in {run["server"]: run["variant"] for run in runs}.items():
        end = f", {variant}" if variant else ""
        for other in ours[1:]:
            if name == other.name + end:
                cells = [ratios(runs, name, first + end, figure) for figure in question.compared]
                form = "{:.3f} ({:.3f} - {:.3f})".format
                rows.append([name, *(form(median(one), min(one), max(one)) if one else "-" for one in cells)])
    return markdown([f"beside {first}", *question.compared], rows)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; all columns but the first are numbers."""
    lines = [" | ".join(cells) for cells in (head, ["---", *["---:"] * (len(head) - 1)], *rows)]
    return "\n".join(f"| {line} |" for line in lines)


def goals(results: dict[str, Any]) -> str:
    """Return the table of the goals of the questions that were measured."""
    rows = []
    for goal in GOALS:
        if goal["question"] not in results:
            continue
        runs, figure, peer = results[goal["question"]]["runs"], goal["figure"], goal.get("peer")
        name = goal.get("server", OURS)
        own = [run[figure] for run in runs if run["server"] == name]
        found = ratios(runs, name, peer, figure) if peer else own
        met = "not measured" if not found else "reached" if median(found) <= goal["limit"] else "missed"
        limit = f"{_digits(goal['limit'])}{f' x {peer}' if peer else ''}"
        rows.append([goal["work"], limit, _digits(median(found)) if found else "-", met])
    return markdown(["work", "goal: at most", "measured", ""], rows)


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def page(results: dict[str, Any]) -> str:
    """Return all tables."""
    origin = "Written by `python benchmarks/main.py --save`; [the columns](README.md)."
    parts = ["# Results", origin, goals(results)]
    for question in QUESTIONS:
        if question.name in results:
            result = results[question.name]
            parts += [f"## {question.text}", f"`{question.name}`: {result['title']}", *result["tables"]]
            parts.append(place(result["machine"]))
    return "\n\n".join(parts) + "\n"


def machine(ours: Sequence[Installation]) -> dict[str, Any]:
    """Return place and time of a measurement."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": models[0].partition(": ")[2] if models else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "twisted": version("twisted"),
        "sseserver": ", ".join(one.build if len(ours) == 1 else f"{one.name} {one.build}" for one in ours),
        "scheduling": "real-time" if os.sched_getscheduler(0) in {os.SCHED_RR, os.SCHED_FIFO} else "normal",
    }


def place(machine: dict[str, Any]) -> str:
    """Return place and time of a measurement in a line."""
    return (
        f"{machine['date'][:10]}; {machine['cores']} cores of {machine['processor']}, Linux {machine['kernel']}, "
        f"Python {machine['python']}, Twisted {machine['twisted']}, sseserver {machine['sseserver']}; "
        f"{machine['scheduling']} scheduling."
    )
