"""
Account: the size of many streams together.

A `Keeper` has one for each kind of streams. Logs add their bytes to it; stores count the streams.
"""

from __future__ import annotations

from sseserver.values import State


class Account:
    """
    Size of the streams of one kind in a store: of those that runs write, or of those that are published into.

    Attributes:
        used: Bytes: see `IStreamLog.size`.
        count: Number of streams.
        open: Number of those that are open.
        done: Number of streams that have ended `done` while they were counted here.
        failed: The same for `failed`.
        cancelled: The same for `cancelled`.
    """

    __slots__ = ("cancelled", "count", "done", "failed", "open", "used")

    def __init__(self) -> None:
        self.used = 0
        self.count = self.open = 0
        self.done = self.failed = self.cancelled = 0

    def add(self, size: int, isOpen: bool = False) -> None:
        """
        Count a stream.

        Args:
            size: Bytes: see `IStreamLog.size`.
            isOpen: Whether it is open.
        """
        self.count += 1
        self.open += isOpen
        self.used += size

    def subtract(self, size: int, isOpen: bool = False) -> None:
        """
        Count a stream no longer.

        Args:
            size: See `add`.
            isOpen: See `add`.
        """
        self.count -= 1
        self.open -= isOpen
        self.used -= size

    def end(self, state: State) -> None:
        """Count the end of a stream that was open."""
        self.open -= 1
        if state is State.DONE:
            self.done += 1
        elif state is State.FAILED:
            self.failed += 1
        else:
            self.cancelled += 1
