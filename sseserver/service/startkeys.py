"""
StartKeys: the idempotency keys that runs were started with.

A client that repeats its request with the same key gets the stream of the first one.

`RunStarter` asks it.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sseserver.errors import StreamNotFound
from sseserver.interfaces import IKeyDirectory, IStreamLog, KeyedStream
from sseserver.service.keptstreams import checkEpoch, reportUnbound
from sseserver.values import Kind, Reason


class StartKeys:
    """
    The keys of all runs whose streams are kept.

    Args:
        directory: Keeps the keys.
        find: Finds a stream in the store by its name, as `StreamService.find` does.
    """

    def __init__(self, directory: IKeyDirectory, find: Callable[[str], Deferred[IStreamLog]]) -> None:
        self._directory = directory
        self._find = find
        # The keys of the runs of this process that have not ended, by the epochs of their streams.
        self._keyOf: dict[str, str] = {}

    def join(self, key: str, digest: bytes) -> Deferred[IStreamLog | None]:
        """
        Take a key for a run, or find the run that was started with it.

        Args:
            key: The idempotency key.
            digest: Hash of the request.

        Returns:
            Fires with `None` if the caller has the key now: it starts a run and calls `remember`. Otherwise fires with
            the stream log of the first start, when that is made.

        Raises:
            KeyReused: (errback) The key was used with another request.
            SSEServerError: (errback) The first start was under way, and has failed with this error.
            StoreUnavailable: (errback) The store cannot look it up now.
        """
        return self._directory.claim(key, digest).addCallback(self._findStream, key, digest)

    def remember(self, key: str, created: Deferred[IStreamLog]) -> Deferred[IStreamLog]:
        """
        Keep a key as long as the stream that is being created for it.

        Args:
            key: The idempotency key, which the caller has by `join`.
            created: Fires with the stream log. If it fails, the key is free again.

        Returns:
            The same Deferred.
        """
        return created.addCallbacks(self._keep, self._drop, (key,), {}, (key,))

    def endRun(self, streamLog: IStreamLog) -> None:
        """
        Free the key of a run that has ended without an answer: a retry gets a new run.

        Args:
            streamLog: The stream of any run.
        """
        if not streamLog.sealed:
            return
        # A run that another process has ended has a new epoch.
        for epoch in (streamLog.epoch, *streamLog.earlier):
            key = self._keyOf.pop(epoch, None)
            if key is not None and _mayRepeat(streamLog):
                self._directory.release(key, epoch)

    def adopt(self, key: str, streamLog: IStreamLog) -> None:
        """
        Free a key when a run ends without an answer that another process has begun.

        Args:
            key: The key, which the directory has with one of the stream's epochs.
            streamLog: The stream of the run.
        """
        self._keyOf.update((epoch, key) for epoch in (streamLog.epoch, *streamLog.earlier))

    def leave(self, streamLog: IStreamLog) -> None:
        """Forget the key of a run that another process has taken over, or that was deleted."""
        for epoch in (streamLog.epoch, *streamLog.earlier):
            self.forget(epoch)

    def forget(self, epoch: str) -> None:
        """Note that the stream of a run was deleted."""
        self._keyOf.pop(epoch, None)

    def _keep(self, streamLog: IStreamLog, key: str) -> IStreamLog:
        stream = KeyedStream(streamLog.name, streamLog.epoch)
        self._keyOf[stream.epoch] = key
        self._directory.bind(key, stream).addErrback(reportUnbound)
        # The run of a source that fails at once has ended before.
        self.endRun(streamLog)
        return streamLog

    def _drop(self, failure: Failure, key: str) -> Failure:
        self._directory.release(key, error=failure.value)
        return failure

    def _findStream(self, stream: KeyedStream | None, key: str, digest: bytes) -> Deferred[IStreamLog | None] | None:
        if stream is None:
            return None
        found: Deferred[IStreamLog] = self._find(stream.name).addCallback(checkEpoch, stream.epoch)
        return found.addCallback(_checkAnswer).addErrback(self._findAnother, key, digest, stream.epoch)

    def _findAnother(self, failure: Failure, key: str, digest: bytes, epoch: str) -> Deferred[IStreamLog | None]:
        """Free the key of a stream that the store does not have any more, or that another process has ended."""
        failure.trap(StreamNotFound)
        self._directory.release(key, epoch)
        return self.join(key, digest)


def _checkAnswer(streamLog: IStreamLog) -> IStreamLog:
    """
    Return the stream of a run that goes on, or has an answer. Nobody has freed the key if its process is gone.

    Raises:
        StreamNotFound: The run has ended without an answer.
    """
    if streamLog.sealed and _mayRepeat(streamLog):
        raise StreamNotFound(streamLog.name)
    return streamLog


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
