"""
Steps between the states of an object, taken by a table of the legal ones.

The service, its runs and the stores take every step through `step`: an illegal one is an exception and never a silent
fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

S = TypeVar("S", bound=Enum)


def step(steps: Mapping[S, frozenset[S]], old: S, new: S) -> S:
    """
    Take one step.

    Args:
        steps: The states that may follow each state.
        old: The present state.
        new: The next state.

    Returns:
        The next state.

    Raises:
        RuntimeError: The step is illegal.
    """
    if new not in steps[old]:
        raise RuntimeError(f"{type(old).__name__} cannot go from {old.name} to {new.name}.")
    return new
