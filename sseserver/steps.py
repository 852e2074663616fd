"""
Steps between the states of an object, taken by a table of the legal ones.

The service, its runs, stores, viewers, bodies and the client's readers take every step through this module: an illegal
one is an exception and never a silent fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar


class StateEnum(Enum):
    """
    Base of the enums that tables of steps are made of.

    Members are hashed by identity. The hash of `Enum` itself is a Python function, which would run at each look-up.
    """

    __hash__ = object.__hash__


S = TypeVar("S", bound=StateEnum)
E = TypeVar("E", bound=StateEnum)


def step(steps: Mapping[S, frozenset[S]], old: S, new: S) -> S:
    """
    Take one step, in a table without names for the steps.

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


def findNext(states: Mapping[S, Mapping[E, S]], old: S, taken: E) -> S:
    """
    Find the state after a step, in a table with names for the steps.

    Args:
        states: The state that follows each state, by the step.
        old: The present state.
        taken: The step.

    Returns:
        The next state.

    Raises:
        RuntimeError: The step is illegal.
    """
    new = states[old].get(taken)
    if new is None:
        raise RuntimeError(f"{type(old).__name__} has no step {taken.name} in the state {old.name}.")
    return new
