"""
GroupingKeeper: gathers the changes of the logs of a store. Each token of a run passes through it.

`PersistentStore` derives from it.
"""

from __future__ import annotations

from typing import Any, Protocol

from sseserver.stores.groups import PendingChanges
from sseserver.streams.keeper import Keeper


class Writer(Protocol):
    """Writes the changes that are pending; `GroupWriter` is one."""

    def schedule(self) -> None:
        """Write the next group soon."""


class GroupingKeeper(Keeper):
    """
    Gathers the changes of the logs of a `PersistentStore`, which derives from it.

    Attributes:
        pending: Its changes that are not written yet.
        writer: Writes them.
    """

    __slots__ = ("pending", "writer")

    writer: Writer

    def __init__(self) -> None:
        super().__init__(durable=True)
        self.pending = PendingChanges()

    def write(self, streamLog: Any) -> None:
        """See `Keeper.write`."""
        dirty = self.pending.dirty
        # Otherwise a group is scheduled, or is being written, and the next one follows it.
        if not dirty:
            self.writer.schedule()
        dirty[streamLog.kept] = streamLog

    def trim(self, streamLog: Any) -> None:
        """See `Keeper.trim`."""
        self.pending.trimmed[streamLog.kept] = streamLog
        self.writer.schedule()
