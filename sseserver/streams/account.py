"""
Account: the size of many streams together.

A `Keeper` has one for each kind of streams. Logs add their bytes to it; stores count the streams.
"""

from __future__ import annotations


class Account:
    """
    Size of the streams of one kind in a store: of those that runs write, or of those that are published into.

    Attributes:
        used: Bytes: see `IStreamLog.size`.
        count: Number of streams.
    """

    __slots__ = ("count", "used")

    def __init__(self) -> None:
        self.used = 0
        self.count = 0

    def add(self, size: int) -> None:
        """Count a stream of this size in bytes."""
        self.count += 1
        self.used += size

    def subtract(self, size: int) -> None:
        """Count a stream of this size in bytes no longer."""
        self.count -= 1
        self.used -= size
