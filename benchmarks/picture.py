"""
The picture of the results: CPU time of each server as bars, for each question with a `panel`.
"""

from html import escape
from statistics import median
from typing import Any

import rounds
from questions import QUESTIONS, Question
from servers import FLOOR, NCHAN, NGINX, OURS

#: Share of its core above which a server falls behind.
LIMIT = 0.9

#: Pixels. Width of the names, of the longest bar and of the picture; height of a line.
NAMES, LONGEST, WIDTH, LINE = 160, 460, 760, 19


def _text(x: int, y: int, size: int, anchor: str, text: str, weight: str = "normal") -> str:
    style = f'font-size="{size}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x}" y="{y}" {style}>{escape(text)}</text>'


def draw(results: dict[str, Any]) -> str:
    """Return the picture of all panels that were measured, as SVG."""
    parts, y, machines = list[str](), 0, []
    for question in QUESTIONS:
        if question.panel and question.name in results:
            result = results[question.name]
            parts.append(_text(4, y + LINE + 8, 13, "start", question.panel))
            y = _drawBars(parts, question, result["runs"], y + LINE + 16)
            machines.append(result["machine"])
    newest = max(machines, key=lambda machine: machine["date"])
    parts.append(_text(WIDTH - 4, y + LINE, 9, "end", rounds.place(newest)))
    size = f'width="{WIDTH}" height="{y + LINE + 8}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif"><rect {size} fill="white"/>'
    return "\n".join([head, *parts, "</svg>", ""])


def _drawBars(parts: list[str], question: Question, runs: list[dict[str, Any]], y: int) -> int:
    """Draw the servers' medians, the least first, from `y` on, and return its end. A very long bar is cut."""
    values = {
        name: [median(run[figure] for run in runs if run["server"] == name) for figure in ("cpu", "share")]
        for name in dict.fromkeys(run["server"] for run in runs)
    }
    ordered = sorted(values.items(), key=lambda item: item[1])
    lengths = [cpu for _, (cpu, _) in ordered]
    edge = min(lengths[-1], 1.25 * lengths[-2]) if len(lengths) > 1 else lengths[0]
    isPaced = any(column.figure == "pace" for column in question.columns)
    for name, (cpu, share) in ordered:
        isOurs = name.startswith(OURS)
        colour = "#d1495b" if isOurs else "#2b2d42" if name in {FLOOR, NCHAN, NGINX} else "#8d99ae"
        length, weight = round(LONGEST * min(cpu, edge) / edge), "bold" if isOurs else "normal"
        text = f"{cpu:.0f}" if cpu >= 100 else f"{cpu:.1f}"
        text += ", at its limit" * (isPaced and share > LIMIT) + " (bar cut)" * (cpu > edge)
        parts.append(f'<rect x="{NAMES}" y="{y}" width="{length}" height="{LINE - 5}" fill="{colour}"/>')
        parts.append(_text(NAMES - 6, y + 11, 11, "end", name, weight))
        parts.append(_text(NAMES + length + 5, y + 11, 11, "start", text, weight))
        y += LINE
    return y
