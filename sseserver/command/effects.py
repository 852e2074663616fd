"""
The combinations of options: each given one has an effect, and no two exclude each other.

`sseserver.command.parsing` checks them.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import Any

from twisted.python import usage

from sseserver.options import OPTIONS
from sseserver.options.conflicts import CONFLICTS, Conflict


def checkEffects(values: Mapping[str, Any], given: Collection[str]) -> None:
    """
    Check that each given option has an effect.

    Args:
        values: The values of all options.
        given: Names of the options that were given.

    Raises:
        usage.UsageError: An option has none, because another one is missing or excludes it. The message names both.
    """
    for option in OPTIONS:
        if option.name in given and not isNeeded(option.needs, given):
            raise usage.UsageError(f"--{option.name} needs {' or '.join(f'--{other}' for other in option.needs)}")
    conflict = findConflict(values, given)
    if conflict is not None:
        raise usage.UsageError(conflict.message)


def findConflict(values: Mapping[str, Any], given: Collection[str]) -> Conflict | None:
    """
    Return the first pair of options that exclude each other, or `None`.

    Args:
        values: The values of all options.
        given: Names of the options that were given.
    """
    for conflict in CONFLICTS:
        if conflict.option in given and (conflict.other in given if conflict.when is None else conflict.when(values)):
            return conflict
    return None


def isNeeded(needs: Collection[str], given: Collection[str]) -> bool:
    """
    Return whether an option with these needs can have an effect.

    Args:
        needs: Names of options of which one must be given, if there are any.
        given: Names of the options that were given.
    """
    return not needs or any(name in given for name in needs)


def checkInput() -> None:
    """
    Check that there is a standard input, which is streamed as it arrives.

    Raises:
        usage.UsageError: There is none.
    """
    # The descriptor itself says nothing: something else may have it by now.
    if sys.__stdin__ is None:
        raise usage.UsageError("--text -: standard input is closed")
