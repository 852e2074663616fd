"""
Payloads: texts that name themselves, so that every copy of them can be told from every other.

A text contains its marker, such as `{p3.17}`: the 17th entry of publisher 3. `r5.2` is the second token of the fifth
run, `t5.2` the second word of a text, `x5.2` a part of the output of a program. Around the marker stand the characters
that framing, line ends and UTF-8 get wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

_MARKER = re.compile(r"\{([prtx][0-9]+\.[0-9]+)\}")

_BEFORE = ("", "", "", " ", "\n", "\r\n", "data: ", ":", "\ufeff", "\u2028", "[DONE]", "id: x\n")
_AFTER = ("", "", "", " ", " word", "\r", "\n", "\r\n", "\n\n", "\u0085", "\x0b", "🚀", "é", "\x00", "\r\r", '"\\')


@dataclass(frozen=True, slots=True)
class Sent:
    """
    An entry that an actor has sent, or a source has written.

    Attributes:
        marker: Its marker, without the brackets.
        text: The text of a token, or the data of an event.
        type: The type of an event; `None` for a token.
        key: Idempotency key of its publish; empty for none.
    """

    marker: str
    text: str
    type: str | None = None
    key: str = ""

    @property
    def run(self) -> str:
        """The publisher or run: the marker without its number."""
        return self.marker.partition(".")[0]

    @property
    def index(self) -> int:
        """The number in the marker."""
        return int(self.marker.partition(".")[2])


def wrap(marker: str) -> str:
    """Return a marker as it stands in texts."""
    return f"{{{marker}}}"


def makeText(chance: Random, marker: str, size: int = 0) -> str:
    """Make the text for a marker; with a size, of about so many characters."""
    filler = "x" * size
    return f"{chance.choice(_BEFORE)}{wrap(marker)}{filler}{chance.choice(_AFTER)}"


def findMarkers(text: str) -> list[str]:
    """Return the markers in a text, in order."""
    return _MARKER.findall(text)


def withoutCR(text: str) -> str:
    """Return a text with the only line end that an event stream has."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
