"""
Journal: what clients have seen and what went wrong, for the checker of `tests.reliability` and for readers.
"""

from __future__ import annotations

from typing import Any

from tests.simulation.history import History
from tests.simulation.world import START, World


class Journal:
    """
    Args:
        world: Tells the time.
        history: Gets a line for each record.

    Attributes:
        records: The records that the checker reads.
    """

    def __init__(self, world: World, history: History) -> None:
        self.records: list[dict[str, Any]] = []
        self._world = world
        self._history = history
        self._faults = 0

    @property
    def now(self) -> float:
        """Seconds since the start of the world."""
        return round(self._world.now - START, 6)

    def note(self, do: str, **fields: Any) -> None:
        """Write one record."""
        self.records.append({"t": self.now, "do": do, **fields})
        self._history.add(do, " ".join(str(each)[:150] for each in fields.values()))

    def tell(self, who: str, what: str) -> None:
        """Write something that only readers want to know."""
        self._history.add(who, what)

    def begin(self, name: str, **fields: Any) -> int:
        """Write that a fault begins; return its number."""
        self._faults += 1
        self.note("fault", name=name, number=self._faults, **fields)
        return self._faults

    def end(self, number: int) -> None:
        """Write that a fault is over."""
        self.note("healed", number=number)
