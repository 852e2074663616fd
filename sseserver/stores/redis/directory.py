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

from sseserver.errors import KeyReused, SSEServerError, StoreUnavailable, StreamNotFound
from sseserver.interfaces import IKeyDirectory, KeyedStream
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.connection import Reply
from sseserver.stores.redis.keyscripts import BIND, CLAIM, RELEASE
from sseserver.stores.redis.layout import Layout
from sseserver.stores.redis.patientscript import PatientScript

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
        # The claims that this process has, with their digests, and its calls that wait for a key.
        self._claims: dict[str, bytes] = {}
        self._waiting: dict[str, list[_Waiting]] = {}
        # The keys of each stream that was bound here, by its epoch; the oldest first.
        self._keys: dict[str, list[str]] = {}

    def claim(self, key: str, digest: bytes) -> Deferred[KeyedStream | None]:
        """See `IKeyDirectory.claim`."""
        waiting = _Waiting(Deferred(), digest)
        self._waiting.setdefault(key, []).append(waiting)
        self._try(waiting, key)
        return waiting.claimed

    def bind(self, key: str, stream: KeyedStream) -> Deferred[None]:
        """See `IKeyDirectory.bind`."""
        keys = self._keys.setdefault(stream.epoch, [])
        if key not in keys:
            keys.append(key)
        if len(keys) > MAX_KEYS:
            self.release(keys[0], stream.epoch)
        if len(self._keys) > MAX_STREAMS:
            del self._keys[next(iter(self._keys))]
        place, digest = [self._locate(key)], self._claims.pop(key, b"").hex()
        arguments = (stream.name, stream.epoch, self._findNode(), BOUND_TIME)
        # Without its key the request of a run that works would start another one.
        binding = PatientScript(
            self._client,
            lambda again: self._client.run(BIND, place, (*arguments, int(again), digest)),
            lambda: key in self._keys.get(stream.epoch, ()),
        )
        binding.go()
        for waiting in self._waiting.pop(key, ()):
            waiting.answer(stream)
        return binding.answered

    def find(self, key: str) -> Deferred[KeyedStream]:
        """See `IKeyDirectory.find`."""

        def read(fields: list[bytes | None]) -> KeyedStream:
            name, epoch = fields
            if epoch is None:
                raise StreamNotFound(key)
            return self._readStream(key, name, epoch)

        return self._client.ask("HMGET", self._locate(key), "name", "epoch").addCallback(read)

    def release(self, key: str, epoch: str = "", error: BaseException | None = None) -> None:
        """See `IKeyDirectory.release`."""
        known = self._keys.get(epoch, [])
        if key in known:
            known.remove(key)
        if not epoch and key not in self._claims:
            return
        self._client.run(RELEASE, [self._locate(key)], (epoch, self._findNode())).addErrback(_trap)
        if not epoch:
            self._claims.pop(key, None)
            self._passOn(key, error)

    def forget(self, epoch: str) -> None:
        """See `IKeyDirectory.forget`."""
        for key in self._keys.pop(epoch, ()):
            self.release(key, epoch)

    def _readStream(self, key: str, name: bytes | None, epoch: bytes) -> KeyedStream:
        """
        Read the stream of a key.

        Raises:
            StoreDamaged: A foreign hand has changed it.
        """
        try:
            if not name:
                raise ValueError("There is no name.")
            return KeyedStream(name.decode("utf-8"), epoch.decode("ascii"))
        except ValueError:
            raise self._client.complaints.report(self._locate(key)) from None

    def _locate(self, key: str) -> bytes:
        return self._layout.nameKey(self._purpose, key)

    def _passOn(self, key: str, error: BaseException | None) -> None:
        """Answer the calls of this process that wait for a claim which is released, or let them try again."""
        if error is not None:
            for waiting in self._waiting.pop(key, ()):
                waiting.answer(error)
        for waiting in tuple(self._waiting.get(key, ())):
            if waiting.asking:
                waiting.again = True
            else:
                self._try(waiting, key)

    def _try(self, waiting: _Waiting, key: str) -> None:
        if waiting.isAnswered or waiting.asking:
            return
        waiting.asking, waiting.again = True, False
        arguments = (waiting.digest.hex(), self._findNode(), CLAIM_TIME)
        asked = self._client.run(CLAIM, [self._locate(key)], arguments)
        asked.addCallbacks(self._note, self._fail, (waiting, key), errbackArgs=(waiting, key))
        asked.addErrback(lambda failure: log.failure("A directory of keys broke", failure))

    def _note(self, reply: Reply, waiting: _Waiting, key: str) -> None:
        waiting.asking = False
        word = reply[0]
        if word == b"mine":
            self._claims[key] = waiting.digest
            if waiting.isAnswered:
                # It was answered by a claim of this process that has ended meanwhile.
                self.release(key)
                return
        if waiting.isAnswered:
            return
        if word == b"wait":
            if waiting.again:
                self._try(waiting, key)
            elif key not in self._claims:
                self._clock.callLater(LOOK, self._try, waiting, key)
            return
        self._waiting[key].remove(waiting)
        if not self._waiting[key]:
            del self._waiting[key]
        if word == b"reused":
            waiting.answer(KeyReused("This idempotency key was used with another body."))
        elif word == b"mine":
            waiting.answer(None)
        else:
            try:
                waiting.answer(self._readStream(key, reply[1], reply[2]))
            except SSEServerError as damaged:
                waiting.answer(damaged)

    def _fail(self, failure: Failure, waiting: _Waiting, key: str) -> None:
        waiting.asking = False
        if not waiting.isAnswered:
            self._waiting[key].remove(waiting)
            waiting.answer(failure.value)


class _Waiting:
    """
    A call that wants a key.

    Args:
        claimed: Fires when it has the key, or the stream of the key.
        digest: Hash of its request.

    Attributes:
        asking: Whether Redis is being asked.
        again: Whether to ask once more, since the key was released meanwhile.
    """

    __slots__ = ("again", "asking", "claimed", "digest")

    def __init__(self, claimed: Deferred[KeyedStream | None], digest: bytes) -> None:
        self.claimed = claimed
        self.digest = digest
        self.asking = self.again = False

    @property
    def isAnswered(self) -> bool:
        """Whether the call has its answer."""
        return bool(self.claimed.called)

    def answer(self, result: KeyedStream | BaseException | None) -> None:
        """Answer the call with a stream, with an error, or with `None`: it has the key."""
        if isinstance(result, BaseException):
            self.claimed.errback(result)
        else:
            self.claimed.callback(result)


def _trap(failure: Failure) -> None:
    """Ignore the loss of the connection: the key expires."""
    if not failure.check(StoreUnavailable):
        log.failure("A key could not be dropped", failure)
