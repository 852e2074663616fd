"""
Facts: the values in which `Truth` keeps what is known about a stream.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True)
class Epoch:
    """
    One stream log.

    Attributes:
        name: Name of its stream.
        items: What stands at the numbers that anybody saw: a marker, or the terminal event.
        places: The numbers of each marker.
        terminal: Number of the terminal entry; 0 if nobody saw it.
        end: Type of the terminal event.
        reason: Reason in the terminal event.
        tokens: Number of tokens in the terminal event `done`; `None` if nobody saw it.
        trimmed: Number of the newest entry that was reported as trimmed.
        replaced: Whether another epoch may have taken its place.
        pieces: Texts of the output of a program, by the numbers before their first and of their last entry.
    """

    name: str
    items: dict[int, str] = field(default_factory=dict)
    places: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    terminal: int = 0
    end: str = ""
    reason: str = ""
    tokens: int | None = None
    trimmed: int = 0
    replaced: bool = False
    pieces: dict[tuple[int, int], str] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """Number of the newest entry that anybody saw."""
        return max(self.items, default=0)


@dataclass(frozen=True, slots=True)
class Promise:
    """
    An entry whose publish was answered 2xx.

    Attributes:
        epoch: The stream.
        number: The number in the answer.
        marker: What was published.
    """

    epoch: str
    number: int
    marker: str


@dataclass(frozen=True, slots=True)
class Span:
    """
    The text that a viewer saw between two places, in a format without the events or the numbers in between.

    Attributes:
        who: The viewer.
        epoch: The stream.
        after: Number before the first entry.
        upto: Number of the last entry; `None` if it is unknown.
        text: The text.
        raw: Whether the text has its line ends unchanged.
        complete: Whether it is the whole text of a stream that is done.
        late: Whether its start may be missing: a new viewer starts at the first entry that is kept.
    """

    who: str
    epoch: str
    after: int
    upto: int | None
    text: str
    raw: bool
    complete: bool = False
    late: bool = False


@dataclass(slots=True)
class Work:
    """
    One call of the token source.

    Attributes:
        prompt: The prompt.
        life: Life of the server.
        written: Number of tokens written.
        end: How the source ended: `ok`, `fail`, or empty if it did not end by itself.
        text: All that it writes, if its tokens may begin and end anywhere.
    """

    prompt: str
    life: int = 0
    written: int = 0
    end: str = ""
    text: str = ""
