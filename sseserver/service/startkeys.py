"""
StartKeys: the idempotency keys that runs were started with.

A client that repeats its request with the same key gets the stream of the first one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sseserver.errors import KeyReused
from sseserver.interfaces import IStreamLog
from sseserver.values import Kind, Reason

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Start:
    """
    The start of a run with a key.

    Attributes:
        digest: Hash of the request.
        created: Fires with the run's stream log.
    """

    digest: bytes
    created: Deferred[IStreamLog]


class StartKeys:
    """The keys of all runs whose streams are kept."""

    def __init__(self) -> None:
        self._starts: dict[str, _Start] = {}
        self._keyOf: dict[str, str] = {}

    def join(self, key: str, digest: bytes) -> Deferred[IStreamLog] | None:
        """
        Find the run that was started with a key.

        Args:
            key: The idempotency key.
            digest: Hash of the request.

        Returns:
            `None` if the key is new; otherwise a Deferred that fires as the first start does, which
            may be under way.

        Raises:
            KeyReused: The key was used with another request.
        """
        start = self._starts.get(key)
        if start is None:
            return None
        if start.digest != digest:
            raise KeyReused("This idempotency key was used with another request.")
        return _branch(start.created)

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
        self._starts[key] = _Start(digest, created)

        def keep(streamLog: IStreamLog) -> IStreamLog:
            self._keyOf[streamLog.epoch] = key
            # The run of a source that fails at once has ended before.
            if streamLog.sealed and mayRepeat(streamLog):
                self.forget(streamLog.epoch)
            return streamLog

        def drop(failure: Failure) -> Failure:
            del self._starts[key]
            # Each branch reports the failure.
            created.addErrback(lambda _: None)
            return failure

        return _branch(created).addCallbacks(keep, drop)

    def forget(self, epoch: str) -> None:
        """
        Free the key of a stream that is deleted.

        Args:
            epoch: Epoch of the stream.
        """
        self._starts.pop(self._keyOf.pop(epoch, ""), None)


def mayRepeat(streamLog: IStreamLog) -> bool:
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
