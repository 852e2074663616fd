"""
Retention: how long ended streams are kept, and how many.

The service reports each stream that ends; retention deletes it from the store when its time is
over, or earlier when the store is full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import msgspec
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable, StreamNotFound
from sseserver.interfaces import ISharedStore, IStreamLog, IStreamStore
from sseserver.service.ledger import Ledger
from sseserver.settings import Settings
from sseserver.timing.ages import Ages
from sseserver.timing.ticker import Ticker
from sseserver.values import EndedStream, State

log = Logger(__name__)

#: Seconds between two attempts to delete a stream from an unavailable store.
_RETRY = 5.0


# There is one for each stream: the garbage collector does not walk over it.
class _Deadline(msgspec.Struct, frozen=True, order=True, gc=False):
    """
    The end of the time that an ended stream is kept.

    Attributes:
        at: Seconds, on the ticker's clock.
        name: Name of the stream.
        epoch: Its epoch.
        published: Whether publishes write it.
    """

    at: float
    name: str
    epoch: str
    published: bool


class Retention:
    """
    Deletes ended streams, the oldest first.

    Args:
        store: Keeps the streams.
        ledger: Tells whether there is room.
        settings: `keep`.
        sweep: Ticker of the deletions. It tells the time of day, too, in which the store records the
            ends of streams.
        onForget: Called with the epoch of each stream before it is deleted.
    """

    def __init__(
        self,
        store: IStreamStore,
        ledger: Ledger,
        settings: Settings,
        sweep: Ticker,
        onForget: Callable[[str], object],
    ) -> None:
        self._store = store
        # A shared store keeps ended streams itself, and makes room by dropping logs that it can load again.
        self._shared = store if ISharedStore.providedBy(store) else None
        self._ledger = ledger
        self._settings = settings
        self._sweep = sweep
        self._onForget = onForget
        # By `published`, the oldest first.
        self._kept: dict[bool, deque[_Deadline]] = {False: deque(), True: deque()}
        self._ages = Ages(sweep, self._findDue, lambda: self._forgetOldest(self._findOldest()))
        self._stopped = False

    def start(self, ended: Sequence[EndedStream]) -> None:
        """
        Start or restart.

        Args:
            ended: The ended streams in the store: see `IStreamStore.start`.
        """
        self._stopped = False
        self._clear()
        wall, now = self._sweep.wall(), self._sweep.seconds()
        for stream in ended:
            self._keep(now - max(0.0, wall - stream.ended), stream.name, stream.epoch, stream.published)

    def stop(self) -> None:
        """Stop all deletions. The store knows the ended streams at the next start."""
        self._stopped = True
        self._clear()

    def keepAfter(self, streamLog: IStreamLog) -> None:
        """Keep a stream for its time once the store has its terminal entry."""
        if streamLog.state is State.OPEN:
            # If the store refuses the terminal entry, the stream stays open.
            streamLog.awaitStored().addCallbacks(self._keepEnded, lambda _: None, callbackArgs=(streamLog,))
        else:
            self._keepEnded(None, streamLog)

    def keep(self, name: str, epoch: str, published: bool) -> None:
        """
        Keep a stream that has just ended for its time.

        Args:
            name: Its name.
            epoch: Its epoch.
            published: Whether entries were published into it.
        """
        self._keep(self._sweep.seconds(), name, epoch, published)

    def makeRoom(self, streams: int = 0, published: bool = False) -> bool:
        """
        Delete ended streams until the others are within their limits.

        Args:
            streams: Number of streams to be created.
            published: Whether the limits of published streams count; otherwise those of runs.

        Returns:
            Whether they are within their limits now.
        """
        kept = self._kept[published]
        while not self._ledger.hasRoom(streams, published):
            if kept:
                self._forgetOldest(kept)
            elif self._shared is None or not self._shared.shed(published):
                return False
        return True

    def _keepEnded(self, _: None, streamLog: IStreamLog) -> None:
        # The run of a stream that is being deleted ends before the stream does.
        if streamLog.state is not State.OPEN:
            self.keep(streamLog.name, streamLog.epoch, streamLog.published)

    def _keep(self, ended: float, name: str, epoch: str, published: bool) -> None:
        """Schedule the deletion of a stream; its end is on the ticker's clock."""
        if self._stopped or self._shared is not None:
            return
        self._kept[published].append(_Deadline(ended + self._settings.keep, name, epoch, published))
        self._ages.start()

    def _clear(self) -> None:
        self._ages.stop()
        for kept in self._kept.values():
            kept.clear()

    def _findOldest(self) -> deque[_Deadline]:
        """Return the streams of the kind whose oldest one ended first; empty if there is no stream."""
        runs, published = self._kept[False], self._kept[True]
        return published if not runs or (published and published[0] < runs[0]) else runs

    def _findDue(self) -> float | None:
        """Return when the next stream is to be deleted, or `None`."""
        oldest = self._findOldest()
        return oldest[0].at if oldest else None

    def _forgetOldest(self, kept: deque[_Deadline]) -> None:
        deadline = kept.popleft()
        self._onForget(deadline.epoch)
        deleted = self._store.delete(deadline.name, deadline.epoch)
        deleted.addErrback(self._retryLater, deadline)
        deleted.addErrback(lambda failure: log.failure("A stream could not be deleted", failure))

    def _retryLater(self, failure: Failure, deadline: _Deadline) -> None:
        """Try again after a while, unless a client has deleted the stream already."""
        if failure.trap(StreamNotFound, StoreUnavailable) is StoreUnavailable and not self._stopped:
            now = self._sweep.seconds()
            self._sweep.at(now + _RETRY, lambda _: self._keep(now, deadline.name, deadline.epoch, deadline.published))
