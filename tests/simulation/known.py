"""
Known faults of the server that the simulation finds, by their identifiers in the list of faults.

A fault that is fixed leaves this table. `python -m tests.simulation --strict` ignores the table.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.history import Violation

#: Tells whether a broken promise is due to a known fault.
Matcher = Callable[[Violation], bool]

#: The known faults, by identifier.
KNOWN: dict[str, Matcher] = {}


def isKnown(violation: Violation) -> bool:
    """Return whether a broken promise is due to a known fault."""
    return any(matches(violation) for matches in KNOWN.values())
