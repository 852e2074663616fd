"""
Repeats: entries that were published with a key and stand twice in a stream that drops its oldest entries.

A key is forgotten with the last of its entries. So the second copy is right only if the window dropped the first one
before: if what was published from the first to the second fills the window, but for the sixteenth that is dropped at a
time.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from tests.simulation.facts import Epoch
from tests.simulation.history import History
from tests.simulation.payloads import Sent

#: Bytes that an entry takes in the window beside its content and type, at most.
_ENTRY = 16

#: Bytes that a key takes in the window beside its characters.
_KEY = 320


class Repeats:
    """
    Judges the copies of entries with keys.

    Args:
        history: Takes the verdicts.

    Attributes:
        window: Bytes that a stream keeps.
        refused: Whether the disk has refused entries: they were in the window for a while.
    """

    def __init__(self, history: History) -> None:
        self.window = 0
        self.refused = False
        self._history = history

    def judge(self, epochs: Mapping[str, Epoch], sent: Mapping[str, Sent]) -> None:
        """
        Judge all copies.

        Args:
            epochs: The streams.
            sent: The entries, by their markers.
        """
        for epoch, known in epochs.items() if not self.refused else ():
            for marker, places in known.places.items():
                if len(places) > 1 and marker in sent and sent[marker].key:
                    for first, second in pairwise(sorted(places)):
                        self._compare(epoch, marker, first, self._measure(known, sent, first, second))

    def _compare(self, epoch: str, marker: str, first: int, size: int | None) -> None:
        if size is not None and size < self.window * 15 // 16:
            text = f"{marker} with a key stands at {epoch}-{first} and again, {size} bytes later"
            self._history.blame("doubled", text)

    def _measure(self, known: Epoch, sent: Mapping[str, Sent], first: int, second: int) -> int | None:
        """Return the bytes from one place up to another, at most; `None` if nobody has seen all of them."""
        size, keys = 0, set[str]()
        for number in range(first, second):
            entry = sent.get(known.items.get(number, ""))
            if entry is None:
                return None
            size += len(entry.text.encode()) + len(entry.type or "") + _ENTRY
            keys.add(entry.key)
        return size + sum(_KEY + len(key) for key in keys - {""})
