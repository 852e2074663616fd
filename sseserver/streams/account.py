"""
Account: the size of many streams together.

A `Keeper` has one for each kind of streams. Logs add their bytes to it; stores count the streams.
"""

from __future__ import annotations


class Account:
    """
    Size of the streams of one kind in a store: of those that runs write, or of those that are published into.

    Attributes:
        used: Bytes, `ENTRY_COST` for each entry included.
        count: Number of streams.
    """

    __slots__ = ("count", "used")

    def __init__(self) -> None:
        self.used = 0
        self.count = 0
