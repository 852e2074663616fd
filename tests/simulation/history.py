"""
History: everything that was seen in a simulation, in order. Its digest shows whether two runs were the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from tests.simulation.world import START, World


@dataclass(frozen=True, slots=True)
class Violation:
    """
    A broken promise.

    Attributes:
        time: Seconds since the start.
        rule: Name of the rule.
        text: What was seen instead.
    """

    time: float
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.time:.3f} {self.rule}: {self.text}"


class History:
    """
    The records of one simulation.

    Args:
        world: Tells the time.

    Attributes:
        records: One line for each observation.
        violations: The promises that were broken.
    """

    def __init__(self, world: World) -> None:
        self.records: list[str] = []
        self.violations: list[Violation] = []
        self._world = world
        self._digest = sha256()

    def add(self, actor: str, what: str) -> None:
        """Record an observation."""
        line = f"{self._world.now - START:.6f} {actor}: {what}"
        self.records.append(line)
        self._digest.update(line.encode("utf-8", "surrogatepass"))

    def blame(self, rule: str, text: str) -> None:
        """Record a broken promise."""
        self.add("oracle", f"{rule}: {text}")
        self.violations.append(Violation(self._world.now - START, rule, text))

    @property
    def digest(self) -> str:
        """Hash of all records."""
        return self._digest.hexdigest()
