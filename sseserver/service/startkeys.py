"""
StartKeys: the idempotency keys that runs were started with.

A client that repeats its request with the same key gets the stream of the first one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sseserver.errors import KeyReused, StreamNotFound
from sseserver.interfaces import IStreamLog
from sseserver.service.keptstreams import checkEpoch
from sseserver.streams.account import Account
from sseserver.values import Kind, Reason

T = TypeVar("T")


#: Bytes. Memory of a key beside its characters: the hash of its request, and its places in the tables.
START_COST = 512


@dataclass(slots=True)
class _Start:
    """
    The start of a run with a key.

    Attributes:
        digest: Hash of the request.
        created: Fires with the run's stream log; `None` when it has.
        epoch: Epoch of the stream; empty before.
        name: Name of the stream; empty before.
    """

    digest: bytes
    created: Deferred[IStreamLog] | None
    epoch: str = ""
    name: str = ""


class StartKeys:
    """
    The keys of all runs whose streams are kept.

    Args:
        find: Finds a stream in the store by its name, as `StreamService.find` does.
        account: Counts the keys.
    """

    def __init__(self, find: Callable[[str], Deferred[IStreamLog]], account: Account) -> None:
        self._find = find
        self._account = account
        self._starts: dict[str, _Start] = {}
        self._keyOf: dict[str, str] = {}

    def join(self, key: str, digest: bytes) -> Deferred[IStreamLog] | None:
        """
        Find the run that was started with a key.

        Args:
            key: The idempotency key.
            digest: Hash of the request.

        Returns:
            `None` if the key is new; otherwise a Deferred that fires with the stream log of the first start, which may
            be under way. It fails as that start does, with `StreamNotFound` if the stream is being deleted, which frees
            the key, or with `StoreUnavailable` if the store cannot look it up now.

        Raises:
            KeyReused: The key was used with another request.
        """
        start = self._starts.get(key)
        if start is None:
            return None
        if start.digest != digest:
            raise KeyReused("This idempotency key was used with another request.")
        if start.created is not None:
            return _branch(start.created)
        return self._find(start.name).addCallback(checkEpoch, start.epoch).addErrback(self._gone, start.epoch)

    def remember(self, key: str, digest: bytes, created: Deferred[IStreamLog]) -> Deferred[IStreamLog]:
        """
        Keep a key as long as the stream that is being created for it.

        Args:
            key: The idempotency key.
            digest: Hash of the request.
            created: Fires with the stream log. If it fails, the key is free again.

        Returns:
            A Deferred that fires as `created` does.
        """
        start = self._starts[key] = _Start(digest, created)
        self._account.add(START_COST + len(key))

        def keep(streamLog: IStreamLog) -> IStreamLog:
            start.created, start.epoch, start.name = None, streamLog.epoch, streamLog.name
            self._keyOf[streamLog.epoch] = key
            # The run of a source that fails at once has ended before.
            self.endRun(streamLog)
            return streamLog

        def drop(failure: Failure) -> Failure:
            self._release(key)
            # Each branch reports the failure.
            created.addErrback(lambda _: None)
            return failure

        return _branch(created).addCallbacks(keep, drop)

    def endRun(self, streamLog: IStreamLog) -> None:
        """
        Free the key of a run that has ended without an answer: a retry gets a new run.

        Args:
            streamLog: The stream of any run.
        """
        if streamLog.epoch in self._keyOf and streamLog.sealed and _mayRepeat(streamLog):
            self.forget(streamLog.epoch)

    def forget(self, epoch: str) -> None:
        """
        Free the key of a stream that is deleted.

        Args:
            epoch: Epoch of the stream.
        """
        key = self._keyOf.pop(epoch, None)
        if key is not None:
            self._release(key)

    def _release(self, key: str) -> None:
        del self._starts[key]
        self._account.subtract(START_COST + len(key))

    def _gone(self, failure: Failure, epoch: str) -> Failure:
        """Free the key of a stream that the store does not have any more."""
        if failure.check(StreamNotFound):
            self.forget(epoch)
        return failure


def _mayRepeat(streamLog: IStreamLog) -> bool:
    """
    Tell whether the request of a run that has ended may be tried again: it failed, or its client was lost.

    Args:
        streamLog: The stream of the run. Its terminal entry may not be visible yet.
    """
    buffer = streamLog.buffer
    kind, data = buffer.kind(buffer.appended), buffer.entry(buffer.appended)
    if kind == Kind.CANCELLED:
        return bool(json.loads(data).get("reason") == Reason.LINGER)
    return kind == Kind.FAILED


def _branch(deferred: Deferred[T]) -> Deferred[T]:
    """Return a Deferred that fires as another one does, and leave that one its result."""
    branch: Deferred[T] = Deferred()

    def tell(result: T) -> T:
        branch.callback(result)
        return result

    def fail(failure: Failure) -> Failure:
        branch.errback(failure)
        return failure

    deferred.addCallbacks(tell, fail)
    return branch
