"""
KeptStreams: streams that an API finds again by a key of its own.

The mount point finds the runs that it started, the chats of the Vercel AI SDK find the newest answer of each chat. The
store is asked for the log, so a stream is found for as long as it is kept, whether or not its log is in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail

from sseserver.errors import StreamNotFound
from sseserver.interfaces import IStreamLog


class KeptStreams:
    """
    The epochs of kept streams of runs, by keys of one API.

    Args:
        find: Finds a stream in the store by its name, as `StreamService.find` does.
    """

    def __init__(self, find: Callable[[str], Deferred[IStreamLog]]) -> None:
        self._find = find
        self._epochs: dict[str, str] = {}
        # A stream can have several keys.
        self._keys: dict[str, list[str]] = {}

    def __len__(self) -> int:
        """Number of keys."""
        return len(self._epochs)

    def add(self, key: str, streamLog: IStreamLog) -> None:
        """
        Keep a key for as long as the store keeps a stream.

        Args:
            key: An older stream of this key is no longer found.
            streamLog: The stream of a run, whose name is its epoch.
        """
        epoch = streamLog.epoch
        if self._epochs.get(key) != epoch:
            self._epochs[key] = epoch
            self._keys.setdefault(epoch, []).append(key)

    def find(self, key: str) -> Deferred[IStreamLog]:
        """
        Find the stream of a key.

        Raises:
            StreamNotFound: (errback) There is none, or it is no longer kept.
            StoreUnavailable: (errback) The store cannot look it up now.
        """
        epoch = self._epochs.get(key)
        if epoch is None:
            return fail(StreamNotFound(key))

        def check(streamLog: IStreamLog) -> IStreamLog:
            # A published stream can have been given this name later.
            if streamLog.epoch != epoch:
                raise StreamNotFound(key)
            return streamLog

        return self._find(epoch).addCallback(check)

    def forget(self, epoch: str) -> None:
        """
        Drop the keys of a stream that is deleted.

        Args:
            epoch: Epoch of the stream.
        """
        for key in self._keys.pop(epoch, ()):
            if self._epochs.get(key) == epoch:
                del self._epochs[key]
