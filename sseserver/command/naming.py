"""
The names of options as people type them: the nearest known one, in the message about one that there is not.
"""

from __future__ import annotations

import difflib

from sseserver.options import OPTIONS
from sseserver.options.types import ENDPOINT, FLAG


def explainName(name: str, others: frozenset[str]) -> str:
    """
    Return why an option could not be read, with the nearest known option.

    Args:
        name: As it was typed, without dashes.
        others: Names of the options of `twistd`.
    """
    names = {option.name: option for option in OPTIONS}
    typed = f"--{name}" if len(name) > 1 else f"-{name}"
    known = names.get(name) or next((option for option in names.values() if option.short == name), None)
    if known is not None:
        return f"{typed} {'takes no value' if known.type is FLAG else f'needs a value: {known.type.metavar}'}"
    starts = [f"--{full}" for full in names if full.startswith(name)]
    if len(name) > 1 and len(starts) > 1:
        return f"{typed} may be {', '.join(starts[:-1])} or {starts[-1]}"
    meant = next((full for full, option in names.items() if name in option.otherNames), None)
    if meant is None and name in others:
        return f"{typed} is an option of twistd: write it before the word sseserver"
    close = [meant] if meant else difflib.get_close_matches(name, names, 1, 0.6)
    if not close:
        return f"there is no option {typed}; see --help"
    valueType = names[close[0]].type
    example = "tcp:8000" if valueType is ENDPOINT else valueType.metavar
    return f"there is no option {typed}; did you mean {f'--{close[0]} {example}'.rstrip()}?"
