"""
The picture of the results: for some questions the CPU time of every server as bars, ours among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from servers import OURS

LIMIT = 0.9  # share of its core above which a server falls behind
OURS_COLOUR, OTHERS_COLOUR, FLOOR_COLOUR = "#d1495b", "#8d99ae", "#2b2d42"


@dataclass(frozen=True, slots=True)
class Panel:
    """
    One question in the picture.

    Args:
        question: Its name in the results.
        title: What is shown.
        floors: The servers that are written in C.
        unit: Of the values.
        paced: Whether a server that uses all of its core cannot keep up: it is marked then, for it looks too cheap.
    """

    question: str
    title: str
    floors: Sequence[str]
    unit: str
    paced: bool = True


@dataclass(frozen=True, slots=True)
class Bar:
    """
    One server's.

    Args:
        name: Its name.
        value: Its CPU time.
        share: How much of its core it used.
    """

    name: str
    value: float
    share: float


def bars(runs: Iterable[Mapping[str, Any]]) -> list[Bar]:
    """
    Each server's median, the least first.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        found.setdefault(run["server"], []).append(run)
    medians = [
        Bar(name, median(run["cpu"] for run in own), median(run["share"] for run in own)) for name, own in found.items()
    ]
    return sorted(medians, key=lambda bar: bar.value)


def draw(results: Mapping[str, Any], panels: Sequence[Panel], file: Path, note: str) -> str | None:
    """
    Draw those panels whose question has been measured.

    Args:
        results: What was measured, by question.
        panels: The whole picture.
        file: SVG, or whatever its name ends with.
        note: Where and when that was.

    Returns:
        Why there is no picture; `None`: there is one.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        return "no matplotlib here (pip install 'sseserver[benchmark]')"
    mpl.use("svg")
    # The same figures give the same file, and text stays text.
    mpl.rcParams.update({"svg.hashsalt": "sseserver", "svg.fonttype": "none", "font.family": "sans-serif"})
    import matplotlib.pyplot as plt

    measured = [panel for panel in panels if panel.question in results]
    if not measured:
        return "nothing was measured that it shows"
    heights = [len(bars(results[panel.question]["runs"])) + 1.6 for panel in measured]
    figure, axes = plt.subplots(
        len(measured), 1, figsize=(8, sum(heights) * 0.27 + 0.4), height_ratios=heights, squeeze=False
    )
    for panel, axis in zip(measured, axes[:, 0], strict=True):
        drawPanel(axis, panel, bars(results[panel.question]["runs"]))
    figure.text(0.99, 0.004, note, ha="right", va="bottom", fontsize=7, color="#666666")
    figure.tight_layout(rect=(0, 0.015, 1, 1))
    figure.savefig(file, metadata={"Date": None}, facecolor="white")
    plt.close(figure)
    return None


def drawPanel(axis: Any, panel: Panel, shown: Sequence[Bar]) -> None:
    """
    One question's bars. One that is far longer than all others is broken, which is to be seen.
    """
    lengths, names = [bar.value for bar in shown], [bar.name for bar in shown]
    edge = max(lengths) if len(lengths) < 2 else min(lengths[-1], 1.25 * lengths[-2])
    colours = [
        OURS_COLOUR if name.startswith(OURS) else FLOOR_COLOUR if name in panel.floors else OTHERS_COLOUR
        for name in names
    ]
    axis.barh(names, [min(length, edge) for length in lengths], color=colours, height=0.72)
    for place, bar in enumerate(shown):
        weight = "bold" if bar.name.startswith(OURS) else "normal"
        text = f"{bar.value:.0f}" if bar.value >= 100 else f"{bar.value:.1f}"
        text += ", at its limit" if panel.paced and bar.share > LIMIT else ""
        if bar.value > edge:
            axis.barh(place, edge * 0.015, left=edge * 0.9, color="white", height=1)
            text += " (bar broken)"
        axis.text(min(bar.value, edge) + edge * 0.008, place, text, va="center", fontsize=8, fontweight=weight)
    for label in axis.get_yticklabels():
        label.set_fontsize(8)
        label.set_fontweight("bold" if label.get_text().startswith(OURS) else "normal")
    axis.invert_yaxis()
    axis.set_title(f"{panel.title} ({panel.unit})", fontsize=9, loc="left")
    axis.set_xlim(0, edge * 1.2)
    axis.tick_params(length=0)
    axis.xaxis.set_visible(False)
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)
