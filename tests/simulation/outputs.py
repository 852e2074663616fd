"""
Outputs: the text of a program, put together from the pieces that viewers have seen.

A program's tokens begin and end anywhere, also within a marker. So a piece is known by the numbers around it, and all
pieces of a stream must be parts of one text.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.facts import Epoch, Work
from tests.simulation.history import History
from tests.simulation.payloads import findMarkers


@dataclass(slots=True)
class Output:
    """
    The text of one stream, as far as its places are known.

    Attributes:
        text: All that the program has written, or was going to.
        offsets: Number of characters up to each place that is known.
    """

    text: str = ""
    offsets: dict[int, int] = field(default_factory=lambda: {0: 0})

    def read(self, after: int, upto: int) -> str | None:
        """Return the text between two places; `None` if one of them is unknown."""
        if after in self.offsets and upto in self.offsets:
            return self.text[self.offsets[after] : self.offsets[upto]]
        return None


def judgeOutput(epoch: str, known: Epoch, works: dict[str, Work], history: History) -> Output:
    """
    Put the pieces of a stream together, and compare them with what its program has written.

    Args:
        epoch: The stream.
        known: What is known about it.
        works: The programs, by the first part of their markers.
        history: Takes the verdicts.

    Returns:
        The text; an empty one if no piece names its program.
    """
    output = Output()
    runs = {marker.partition(".")[0] for text in known.pieces.values() for marker in findMarkers(text)}
    if len(runs) > 1:
        history.blame("run", f"{epoch} has the output of {sorted(runs)}")
    if len(runs) != 1:
        return output
    (run,) = runs
    work, offsets = works[run], output.offsets
    output.text = work.text
    for (after, number), text in sorted(known.pieces.items()):
        begin = offsets.get(after)
        if begin is None:
            if text not in work.text:
                history.blame("text", f"{epoch}-{after} to {number} is {text!r}, which {run} does not write")
            continue
        expected = work.text[begin : begin + len(text)]
        if text != expected or offsets.setdefault(number, begin + len(text)) != begin + len(text):
            history.blame("text", f"{epoch}-{after} to {number} is {text!r}, must be {expected!r}")
    _judgeEnd(epoch, known, work, output, history)
    return output


def _judgeEnd(epoch: str, known: Epoch, work: Work, output: Output, history: History) -> None:
    """Check that a program whose stream is done has succeeded, and that all of its output is there."""
    end = output.offsets.get(known.terminal - 1)
    if end is not None:
        output.offsets[known.terminal] = end
    if known.end == "done":
        if work.end != "ok":
            history.blame("success is shown", f"{epoch} is done, and its program ended {work.end!r}")
        if end is not None and end != len(work.text):
            history.blame("text", f"{epoch} is done after {end} of {len(work.text)} characters")
        if known.tokens not in (None, known.terminal - 1):
            history.blame("end", f"{epoch} is done after {known.terminal - 1} tokens, and says {known.tokens}")
