"""
LocalCounts: what each client has at a time in this process.

`ClientLimits` uses it, unless a store shares the counts of several processes.
"""

from __future__ import annotations

from zope.interface import implementer

from sseserver.interfaces import ICounts


@implementer(ICounts)
class LocalCounts:
    """Numbers by the names of clients. Those that are 0 take no memory."""

    def __init__(self) -> None:
        # No `Counter`, whose methods take twice as long for a number that comes from 0 or goes to it.
        self._counts: dict[str, int] = {}

    @property
    def count(self) -> int:
        """See `ICounts.count`."""
        return len(self._counts)

    def get(self, client: str) -> int:
        """See `ICounts.get`."""
        return self._counts.get(client, 0)

    def add(self, client: str) -> None:
        """See `ICounts.add`."""
        self._counts[client] = self._counts.get(client, 0) + 1

    def remove(self, client: str) -> None:
        """See `ICounts.remove`."""
        count = self._counts.pop(client, 0) - 1
        if count > 0:
            self._counts[client] = count
