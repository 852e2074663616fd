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
from sseserver.streams.account import Account

#: Bytes. Memory of a key beside its characters: its places in the tables.
KEPT_COST = 512

#: Keys of one stream. A further key replaces the oldest: a client can repeat a request with ever new chats.
MAX_KEYS = 16


class KeptStreams:
    """
    The epochs of kept streams of runs, by keys of one API.

    Args:
        find: Finds a stream in the store by its name, as `StreamService.find` does.
        account: Counts the keys.
    """

    def __init__(self, find: Callable[[str], Deferred[IStreamLog]], account: Account) -> None:
        self._find = find
        self._account = account
        # The epoch and the name of each key's stream in one text, with a space between them.
        self._places: dict[str, str] = {}
        # The keys of each stream, the oldest first. The garbage collector does not walk over tuples of strings.
        self._keys: dict[str, tuple[str, ...]] = {}

    def __len__(self) -> int:
        """Number of keys."""
        return len(self._places)

    def add(self, key: str, streamLog: IStreamLog) -> None:
        """
        Keep a key for as long as the store keeps a stream.

        Args:
            key: An older stream of this key is no longer found.
            streamLog: The stream of a run.
        """
        epoch = streamLog.epoch
        place = f"{epoch} {streamLog.name}"
        if self._places.get(key) == place:
            return
        self._drop(key)
        self._places[key] = place
        self._account.add(KEPT_COST + len(key))
        keys = self._keys[epoch] = (*self._keys.get(epoch, ()), key)
        if len(keys) > MAX_KEYS:
            self._drop(keys[0])

    def find(self, key: str) -> Deferred[IStreamLog]:
        """
        Find the stream of a key.

        Raises:
            StreamNotFound: (errback) There is none, or it is no longer kept.
            StoreUnavailable: (errback) The store cannot look it up now.
        """
        epoch, _, name = self._places.get(key, "").partition(" ")
        return self._find(name).addCallback(checkEpoch, epoch) if epoch else fail(StreamNotFound(key))

    def forget(self, epoch: str) -> None:
        """
        Drop the keys of a stream that is deleted.

        Args:
            epoch: Epoch of the stream.
        """
        for key in self._keys.get(epoch, ()):
            self._drop(key)

    def _drop(self, key: str) -> None:
        """Drop a key. Harmless if it is not known."""
        epoch = self._places.pop(key, "").partition(" ")[0]
        if epoch:
            self._account.subtract(KEPT_COST + len(key))
            others = tuple(other for other in self._keys.pop(epoch) if other != key)
            if others:
                self._keys[epoch] = others


def checkEpoch(streamLog: IStreamLog, epoch: str) -> IStreamLog:
    """
    Return the stream of a run that was found by its name.

    Args:
        streamLog: The log that was found.
        epoch: Epoch of the run.

    Raises:
        StreamNotFound: It is another one: a published stream was given this name later.
    """
    if epoch != streamLog.epoch and epoch not in streamLog.earlier:
        raise StreamNotFound(epoch)
    return streamLog
