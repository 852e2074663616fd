"""
Retention: how long ended streams are kept, and how many.

The service reports each stream that ends; retention deletes it from the store when its time is
over, or earlier when the store is full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog, IStreamStore
from sseserver.settings import Settings
from sseserver.timing.ticker import Ticker
from sseserver.values import EndedStream, State

log = Logger()

#: Seconds between two attempts to delete a stream from an unavailable store.
_RETRY = 5.0


class Retention:
    """
    Deletes ended streams, the oldest first.

    Args:
        store: Keeps the streams.
        settings: Limits: `keep`, `maxBytes`, `maxStreams`.
        sweep: Ticker of the deletions. Its clock tells the time of day, in which the store records
            the ends of streams.
        onForget: Called with the epoch of each stream before it is deleted.
    """

    def __init__(
        self, store: IStreamStore, settings: Settings, sweep: Ticker, onForget: Callable[[str], object]
    ) -> None:
        self._store = store
        self._settings = settings
        self._sweep = sweep
        self._onForget = onForget
        # When a stream is to be deleted, its name and its epoch; the oldest first. Plain tuples, since there is one
        # for each stream: Python's collector does not look at them again and again.
        self._kept: deque[tuple[float, str, str]] = deque()
        self._stopped = False

    def start(self, ended: Sequence[EndedStream]) -> None:
        """
        Start or restart.

        Args:
            ended: The ended streams in the store: see `IStreamStore.start`.
        """
        self._stopped = False
        self._kept.clear()
        wall, now = self._sweep.clock.seconds(), self._sweep.seconds()
        for stream in ended:
            self._keep(now - max(0.0, wall - stream.ended), stream.name, stream.epoch)

    def stop(self) -> None:
        """Stop all deletions. The store knows the ended streams at the next start."""
        self._stopped = True
        self._kept.clear()

    def keepAfter(self, streamLog: IStreamLog) -> None:
        """Keep a stream for its time once the store has its terminal entry."""
        if streamLog.state is State.OPEN:
            # If the store refuses the terminal entry, the stream stays open.
            streamLog.awaitStored().addCallbacks(self._keepEnded, lambda _: None, callbackArgs=(streamLog,))
        else:
            self._keepEnded(None, streamLog)

    def hasRoom(self, streams: int = 0) -> bool:
        """
        Whether the store is within its limits.

        Args:
            streams: Number of streams to be created.
        """
        store, settings = self._store, self._settings
        return store.used <= settings.maxBytes and store.count + streams <= settings.maxStreams

    def makeRoom(self, streams: int = 0) -> bool:
        """
        Delete ended streams until the store is within its limits.

        Args:
            streams: Number of streams to be created.

        Returns:
            Whether the store is within its limits now.
        """
        while not self.hasRoom(streams):
            if not self._kept:
                return False
            self._forgetOldest()
        return True

    def _keepEnded(self, _: None, streamLog: IStreamLog) -> None:
        # The run of a stream that is being deleted ends before the stream does.
        if streamLog.state is not State.OPEN:
            self._keep(self._sweep.seconds(), streamLog.name, streamLog.epoch)

    def _keep(self, ended: float, name: str, epoch: str) -> None:
        """Schedule the deletion of a stream; its end is on the ticker's clock."""
        if self._stopped:
            return
        due = ended + self._settings.keep
        self._kept.append((due, name, epoch))
        if len(self._kept) == 1:
            self._sweep.at(due, self._forgetOld)

    def _forgetOld(self, now: float) -> float | None:
        """Delete the streams whose time is over."""
        while self._kept and self._kept[0][0] <= now:
            self._forgetOldest()
        return self._kept[0][0] if self._kept else None

    def _forgetOldest(self) -> None:
        _, name, epoch = self._kept.popleft()
        self._onForget(epoch)
        deleted = self._store.delete(name, epoch)
        deleted.addErrback(self._retryLater, name, epoch)
        deleted.addErrback(lambda failure: log.failure("A stream could not be deleted", failure))

    def _retryLater(self, failure: Failure, name: str, epoch: str) -> None:
        """Try again after a while, unless a client has deleted the stream already."""
        if failure.trap(StreamNotFound, StoreUnavailable) is StoreUnavailable and not self._stopped:
            now = self._sweep.seconds()
            self._sweep.at(now + _RETRY, lambda _: self._keep(now, name, epoch))
