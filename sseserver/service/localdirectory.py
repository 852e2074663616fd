"""
LocalDirectory: keys of the streams of one process, in its memory.

The idempotency keys of runs, the chats and the visitors are in one each, unless the store shares them with others.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from sseserver.errors import KeyReused, StreamNotFound
from sseserver.interfaces import IKeyDirectory, KeyedStream
from sseserver.streams.account import Account

#: Bytes. Memory of a key beside its characters: the hash of its request, and its places in the tables.
KEY_COST = 512

#: Keys of one stream. A further key replaces the oldest: a client can repeat a request with ever new chats.
MAX_KEYS = 16


@implementer(IKeyDirectory)
class LocalDirectory:
    """
    Keys in memory. All its Deferreds have fired when they are returned, but for claims that wait.

    Args:
        account: Counts the keys.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        # The epoch and the name of each key's stream in one text, with a space between them.
        self._places: dict[str, str] = {}
        # The keys of each stream, the oldest first. The garbage collector does not walk over tuples of strings.
        self._keys: dict[str, tuple[str, ...]] = {}
        # The digests of the keys that were claimed, and the claims that wait for those that are not bound yet.
        self._digests: dict[str, bytes] = {}
        self._waiting: dict[str, list[Deferred[KeyedStream | None]]] = {}

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._places) + len(self._waiting)

    def claim(self, key: str, digest: bytes) -> Deferred[KeyedStream | None]:
        """See `IKeyDirectory.claim`."""
        known = self._digests.setdefault(key, digest)
        if known != digest:
            return fail(KeyReused("This idempotency key was used with another request."))
        if key in self._places:
            return succeed(self._read(key))
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = []
            self._account.add(KEY_COST + len(key))
            return succeed(None)
        claimed: Deferred[KeyedStream | None] = Deferred()
        waiting.append(claimed)
        return claimed

    def bind(self, key: str, stream: KeyedStream) -> Deferred[None]:
        """See `IKeyDirectory.bind`."""
        place = f"{stream.epoch} {stream.name}"
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            if self._places.get(key) == place:
                return succeed(None)
            self._drop(key)
            self._account.add(KEY_COST + len(key))
        self._places[key] = place
        keys = self._keys[stream.epoch] = (*self._keys.get(stream.epoch, ()), key)
        if len(keys) > MAX_KEYS:
            self._drop(keys[0])
        for claimed in waiting or ():
            claimed.callback(stream)
        return succeed(None)

    def find(self, key: str) -> Deferred[KeyedStream]:
        """See `IKeyDirectory.find`."""
        return succeed(self._read(key)) if key in self._places else fail(StreamNotFound(key))

    def release(self, key: str, epoch: str = "", error: BaseException | None = None) -> None:
        """See `IKeyDirectory.release`."""
        if epoch:
            if key in self._places and self._read(key).epoch == epoch:
                self._drop(key)
            return
        waiting = self._waiting.get(key)
        if waiting is None:
            return
        if waiting and error is None:
            waiting.pop(0).callback(None)
            return
        del self._waiting[key], self._digests[key]
        self._account.subtract(KEY_COST + len(key))
        for claimed in waiting:
            claimed.errback(error)

    def forget(self, epoch: str) -> None:
        """See `IKeyDirectory.forget`."""
        for key in self._keys.get(epoch, ()):
            self._drop(key)

    def _read(self, key: str) -> KeyedStream:
        """Return the stream of a key that is bound."""
        epoch, _, name = self._places[key].partition(" ")
        return KeyedStream(name, epoch)

    def _drop(self, key: str) -> None:
        """Drop a key that is bound. Harmless if it is not known."""
        epoch = self._places.pop(key, "").partition(" ")[0]
        if epoch:
            self._digests.pop(key, None)
            self._account.subtract(KEY_COST + len(key))
            others = tuple(other for other in self._keys.pop(epoch) if other != key)
            if others:
                self._keys[epoch] = others
