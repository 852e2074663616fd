"""
Reference cycles: the objects that an action leaves to the garbage collector.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Container

#: Number of times that an action may leave objects before they are taken for its own. Objects of earlier tests, which
#: end at any time, are left once only.
ATTEMPTS = 12


def findCycles(act: Callable[[], object], among: Container[str] | None = None) -> Counter[str]:
    """
    Count the objects that are unreachable after an action and yet not freed, by the names of their types.

    Args:
        act: The action. What it keeps on purpose is not counted. It is called twice before, because the first call of
            anything fills caches.
        among: Names of the types that count; all by default.
    """
    left = Counter[str]()
    # The collector would walk a dozen times over all modules, and over what earlier tests have left since they were
    # kept from it (tests/conftest.py).
    gc.collect()
    gc.freeze()
    for _ in range(2):
        act()
    for _ in range(ATTEMPTS):
        left = Counter({name: count for name, count in _countLeft(act).items() if among is None or name in among})
        if not left:
            break
    return left


def _countLeft(act: Callable[[], object]) -> Counter[str]:
    """Count what one call of an action leaves."""
    flags = gc.get_debug()
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        act()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return Counter(type(one).__qualname__ for one in gc.garbage)
    finally:
        gc.set_debug(flags)
        gc.garbage.clear()
        if enabled:
            gc.enable()
