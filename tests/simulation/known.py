"""
Known faults of the server that the simulation finds, by their identifiers in the list of faults.

A fault that is fixed leaves this table. `python -m tests.simulation --strict` ignores the table.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.history import Violation

#: Tells whether a broken promise is due to a known fault.
Matcher = Callable[[Violation], bool]

#: Words of the violations by a run that does not go on.
_STUCK = ("does not end", "completion", "chat")

#: The known faults.
KNOWN: dict[str, Matcher] = {
    "F19": lambda violation: (
        violation.rule == "life"
        and "no viewers" not in violation.text
        and any(word in violation.text for word in _STUCK)
    ),
    "F65": lambda violation: violation.rule == "content" and "is '\\n" in violation.text,
    "F24": lambda violation: violation.rule == "204 at /",
}


def isKnown(violation: Violation) -> bool:
    """Return whether a broken promise is due to a known fault."""
    return any(matches(violation) for matches in KNOWN.values())
