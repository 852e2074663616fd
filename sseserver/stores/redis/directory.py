"""
RedisDirectory: keys under which all processes find the streams of runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from sseserver.errors import KeyReused, StoreUnavailable, StreamNotFound
from sseserver.interfaces import IKeyDirectory, KeyedStream
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.connection import Reply
from sseserver.stores.redis.layout import Layout
from sseserver.stores.redis.scripts import CLAIM, RELEASE

log = Logger(__name__)

#: Milliseconds. A claim whose process dies is free after this time.
CLAIM_TIME = 30_000

#: Milliseconds. A key is kept for this time after it was bound. Streams are usually gone much earlier.
BOUND_TIME = 86_400_000

#: Seconds between two looks at a key that another process has claimed.
LOOK = 0.25

#: Keys of one stream. A further key replaces the oldest: a client can repeat a request with ever new chats.
MAX_KEYS = 16

#: Streams whose keys a process remembers, to drop them with the stream.
MAX_STREAMS = 10_000


@implementer(IKeyDirectory)
class RedisDirectory:
    """
    The keys of one purpose.

    Args:
        clock: The reactor.
        client: The Redis.
        layout: Names of the keys.
        purpose: A word.
        findNode: Returns the ID of this process.
    """

    def __init__(self, clock: Any, client: Client, layout: Layout, purpose: str, findNode: Callable[[], bytes]) -> None:
        self._clock = clock
        self._client = client
        self._layout = layout
        self._purpose = purpose
        self._findNode = findNode
        # The claims of this process, with the calls that wait for their ends.
        self._claims: dict[str, list[_Waiting]] = {}
        # The keys of each stream that was bound here, by its epoch; the oldest first.
        self._keys: dict[str, list[str]] = {}

    def claim(self, key: str, digest: bytes) -> Deferred[KeyedStream | None]:
        """See `IKeyDirectory.claim`."""
        claimed: Deferred[KeyedStream | None] = Deferred()
        self._try(_Waiting(claimed, digest), key)
        return claimed

    def bind(self, key: str, stream: KeyedStream) -> Deferred[None]:
        """See `IKeyDirectory.bind`."""
        keys = self._keys.setdefault(stream.epoch, [])
        keys.append(key)
        if len(keys) > MAX_KEYS:
            self.release(keys[0], stream.epoch)
        if len(self._keys) > MAX_STREAMS:
            del self._keys[next(iter(self._keys))]
        place = self._locate(key)
        bound = self._client.ask("HSET", place, "name", stream.name, "epoch", stream.epoch)
        self._client.ask("PEXPIRE", place, BOUND_TIME).addErrback(_trap)
        for waiting in self._claims.pop(key, ()):
            waiting.claimed.callback(stream)
        return bound.addCallback(lambda _: None)

    def find(self, key: str) -> Deferred[KeyedStream]:
        """See `IKeyDirectory.find`."""

        def read(fields: list[bytes | None]) -> KeyedStream:
            name, epoch = fields
            if name is None or epoch is None:
                raise StreamNotFound(key)
            return KeyedStream(name.decode("utf-8"), epoch.decode("ascii"))

        return self._client.ask("HMGET", self._locate(key), "name", "epoch").addCallback(read)

    def release(self, key: str, epoch: str = "", error: Exception | None = None) -> None:
        """See `IKeyDirectory.release`."""
        if epoch:
            known = self._keys.get(epoch, [])
            if key in known:
                known.remove(key)
        elif key not in self._claims:
            return
        waiting = self._claims.pop(key, []) if not epoch else []
        released = self._client.run(RELEASE, [self._locate(key)], (epoch, self._findNode()))
        released.addErrback(_trap)
        for each in waiting:
            if error is not None:
                each.claimed.errback(error)
            else:
                self._try(each, key)

    def forget(self, epoch: str) -> None:
        """See `IKeyDirectory.forget`."""
        for key in self._keys.pop(epoch, ()):
            self.release(key, epoch)

    def _locate(self, key: str) -> bytes:
        return self._layout.nameKey(self._purpose, key)

    def _try(self, waiting: _Waiting, key: str) -> None:
        arguments = (waiting.digest.hex(), self._findNode(), CLAIM_TIME)
        asked = self._client.run(CLAIM, [self._locate(key)], arguments)
        asked.addCallback(self._note, waiting, key).addErrback(waiting.claimed.errback)

    def _note(self, reply: Reply, waiting: _Waiting, key: str) -> None:
        word = reply[0]
        if word == b"reused":
            waiting.claimed.errback(KeyReused("This idempotency key was used with another body."))
        elif word == b"mine":
            self._claims[key] = []
            waiting.claimed.callback(None)
        elif word == b"bound":
            waiting.claimed.callback(KeyedStream(reply[1].decode("utf-8"), reply[2].decode("ascii")))
        elif key in self._claims:
            self._claims[key].append(waiting)
        else:
            self._clock.callLater(LOOK, self._try, waiting, key)


class _Waiting:
    """
    A call that wants a key.

    Args:
        claimed: Fires when it has the key, or the stream of the key.
        digest: Hash of its request.
    """

    __slots__ = ("claimed", "digest")

    def __init__(self, claimed: Deferred[KeyedStream | None], digest: bytes) -> None:
        self.claimed = claimed
        self.digest = digest


def _trap(failure: Failure) -> None:
    """Ignore the loss of the connection: the key expires."""
    if not failure.check(StoreUnavailable):
        log.failure("A key could not be dropped", failure)
