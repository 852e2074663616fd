"""
LocalCounts: what each client has at a time in this process.
"""

from __future__ import annotations

from collections import Counter

from zope.interface import implementer

from sseserver.interfaces import ICounts


@implementer(ICounts)
class LocalCounts:
    """Numbers by the names of clients. Those that are 0 take no memory."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """See `ICounts.count`."""
        return len(self._counts)

    def get(self, client: str) -> int:
        """See `ICounts.get`."""
        return self._counts[client]

    def add(self, client: str) -> None:
        """See `ICounts.add`."""
        self._counts[client] += 1

    def remove(self, client: str) -> None:
        """See `ICounts.remove`."""
        self._counts[client] -= 1
        if self._counts[client] <= 0:
            del self._counts[client]
