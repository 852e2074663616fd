"""
KeptStreams: streams that an API finds again by a key of its own.

The mount point finds the runs that it started, the chats of the Vercel AI SDK find the newest answer of each chat. The
store is asked for the log, so a stream is found for as long as it is kept, whether or not its log is in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StreamNotFound
from sseserver.interfaces import IKeyDirectory, IStreamLog, KeyedStream

log = Logger(__name__)


class KeptStreams:
    """
    The streams of runs, by keys of one API.

    Args:
        directory: Keeps the keys.
        find: Finds a stream in the store by its name, as `StreamService.find` does.
    """

    def __init__(self, directory: IKeyDirectory, find: Callable[[str], Deferred[IStreamLog]]) -> None:
        self._directory = directory
        self._find = find

    def add(self, key: str, streamLog: IStreamLog) -> Deferred[None]:
        """
        Keep a key for as long as the store keeps a stream.

        Args:
            key: An older stream of this key is no longer found.
            streamLog: The stream of a run.

        Returns:
            Fires when every process finds the stream by the key, or when the key cannot be stored, which is logged.
        """
        bound = self._directory.bind(key, KeyedStream(streamLog.name, streamLog.epoch))
        # Most have fired.
        isBound = bound.called and not isinstance(bound.result, Failure)
        return bound if isBound else bound.addErrback(reportUnbound)

    def find(self, key: str) -> Deferred[IStreamLog]:
        """
        Find the stream of a key.

        Raises:
            StreamNotFound: (errback) There is none, or it is no longer kept.
            StoreUnavailable: (errback) The store cannot look it up now.
        """
        return self._directory.find(key).addCallback(self._findStream)

    def _findStream(self, stream: KeyedStream) -> Deferred[IStreamLog]:
        return self._find(stream.name).addCallback(checkEpoch, stream.epoch)


def reportUnbound(failure: Failure) -> None:
    """Report that a key is not kept: its stream will not be found by it."""
    log.failure("A key could not be stored", failure)


def checkEpoch(streamLog: IStreamLog, epoch: str) -> IStreamLog:
    """
    Return the stream of a run that was found by its name.

    Args:
        streamLog: The log that was found.
        epoch: Epoch of the run, now or before.

    Raises:
        StreamNotFound: It is another one: a published stream was given this name later.
    """
    if epoch != streamLog.epoch and epoch not in streamLog.earlier:
        raise StreamNotFound(epoch)
    return streamLog
