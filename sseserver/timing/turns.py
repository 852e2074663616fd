"""
Long work, cut into turns of the reactor, so that others are served meanwhile.

Requests with a large body are decoded so (`web`), and large prompts packed (`service`) and sent (`sources`).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


def awaitTurn(clock: Any) -> Deferred[None]:
    """
    Wait for another turn of the reactor.

    Args:
        clock: The reactor, or a `task.Clock`.
    """
    turn: Deferred[None] = Deferred()
    clock.callLater(0, turn.callback, None)
    return turn


async def takeTurns(clock: Any, steps: Generator[object, None, T], count: int = 1) -> T:
    """
    Do work in several turns of the reactor. When the Deferred of this coroutine is cancelled, the work ends early.

    Args:
        clock: The reactor, or a `task.Clock`.
        steps: The work. It yields when a step is done.
        count: Number of steps in each turn.

    Returns:
        The result of the generator.

    Raises:
        Exception: An exception of the generator.
    """
    try:
        while True:
            for _ in range(count):
                next(steps)
            await awaitTurn(clock)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()
