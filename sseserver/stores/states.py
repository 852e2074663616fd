"""
States of a `PersistentStore`, and the steps that are legal between them.

`PersistentStore` and the Redis store take every step by the table.
"""

from __future__ import annotations

from sseserver.steps import StateEnum


class StoreState(StateEnum):
    """The life of a store. It takes changes while it is OPEN or STOPPING."""

    CLOSED = "closed"  # before `start`, and again after `stop`
    OPEN = "open"
    STOPPING = "stopping"  # `stop` was called, and the last changes are being written
    CLOSING = "closing"  # everything is written, and the persistence is being stopped

    @property
    def takesChanges(self) -> bool:
        """Whether a store in this state takes changes."""
        return self is StoreState.OPEN or self is StoreState.STOPPING


#: Legal steps of a store.
STORE_STEPS = {
    StoreState.CLOSED: frozenset({StoreState.OPEN}),
    StoreState.OPEN: frozenset({StoreState.STOPPING}),
    StoreState.STOPPING: frozenset({StoreState.CLOSING}),
    StoreState.CLOSING: frozenset({StoreState.CLOSED}),
}
