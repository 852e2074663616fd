"""
StreamKeys: everything under which streams are found again, beside their names.

`StreamService` has one, which forgets a stream in all of them.
"""

from __future__ import annotations

from sseserver.interfaces import IKeyDirectory, ISharedStore, IStreamStore
from sseserver.service.keptstreams import KeptStreams
from sseserver.service.localdirectory import LocalDirectory
from sseserver.service.startkeys import StartKeys
from sseserver.streams.account import Account


class StreamKeys:
    """
    The keys of streams: idempotency keys of runs, and the keys of the APIs.

    Args:
        store: Finds the streams by their names. If it is shared, it keeps the keys, too.
        account: Counts the keys that are in memory.

    Attributes:
        starts: The idempotency keys under which runs were started.
    """

    def __init__(self, store: IStreamStore, account: Account) -> None:
        self._store = store
        self._directories: list[IKeyDirectory] = []
        self._account = account
        self.starts = StartKeys(self._makeDirectory("starts"), store.find)

    def makeKept(self, purpose: str) -> KeptStreams:
        """
        Make an empty set of keys under which an API finds streams of runs again, as long as they are kept.

        Args:
            purpose: A word of the API, the same in all processes.
        """
        return KeptStreams(self._makeDirectory(purpose), self._store.find)

    def forget(self, epoch: str) -> None:
        """
        Drop all keys of a stream that is deleted.

        Args:
            epoch: Epoch of the stream.
        """
        self.starts.forget(epoch)
        for directory in self._directories:
            directory.forget(epoch)

    def _makeDirectory(self, purpose: str) -> IKeyDirectory:
        store = self._store
        directory: IKeyDirectory = (
            store.makeDirectory(purpose) if ISharedStore.providedBy(store) else LocalDirectory(self._account)
        )
        self._directories.append(directory)
        return directory
