"""
StreamKeys: everything under which streams are found again, beside their names.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from sseserver.interfaces import IStreamLog
from sseserver.service.keptstreams import KeptStreams
from sseserver.service.startkeys import StartKeys
from sseserver.streams.account import Account


class StreamKeys:
    """
    The keys of streams: idempotency keys of runs, and the keys of the APIs.

    Args:
        find: Finds a stream in the store by its name.
        account: Counts the keys.

    Attributes:
        starts: The idempotency keys under which runs were started.
    """

    def __init__(self, find: Callable[[str], Deferred[IStreamLog]], account: Account) -> None:
        self.starts = StartKeys(find, account)
        self._find = find
        self._account = account
        self._kept: list[KeptStreams] = []

    def makeKept(self) -> KeptStreams:
        """Make an empty set of keys under which an API finds streams of runs again, as long as they are kept."""
        kept = KeptStreams(self._find, self._account)
        self._kept.append(kept)
        return kept

    def forget(self, epoch: str) -> None:
        """
        Drop all keys of a stream that is deleted.

        Args:
            epoch: Epoch of the stream.
        """
        self.starts.forget(epoch)
        for kept in self._kept:
            kept.forget(epoch)
