"""
Retention: how long streams are kept after their end, and how many in all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog, IStreamStore
from sseserver.settings import Settings
from sseserver.timing.ticker import Ticker
from sseserver.values import State

log = Logger()

#: Seconds after which a store is asked again to forget a stream.
_AGAIN = 5.0


class Retention:
    """
    Forgets streams that have ended: when their time is over, or when there is
    no room for others, the oldest first.

    Args:
        clock: Tells the time of day, in which the ends of streams are stored.
        store: What keeps the streams.
        settings: The service's: how long, how many, how much.
        sweep: The ticker that makes old streams go.
        onForget: Called with the epoch of each stream that goes.
    """

    def __init__(
        self,
        clock: IReactorTime,
        store: IStreamStore,
        settings: Settings,
        sweep: Ticker,
        onForget: Callable[[str], object],
    ) -> None:
        self._clock = clock
        self._store = store
        self._settings = settings
        self._sweep = sweep
        self._onForget = onForget
        # The ended streams that are kept yet: until when, name, epoch; the oldest first.
        self._kept: deque[tuple[float, str, str]] = deque()
        self._stopped = False

    def start(self, ended: Sequence[tuple[float, str, str]]) -> None:
        """
        Begin, or begin again.

        Args:
            ended: What the store has of ended streams: see L{IStreamStore.start}.
        """
        self._stopped = False
        self._kept.clear()
        self._keep(ended)

    def stop(self) -> None:
        """Time nothing any more: the next start asks the store what it has."""
        self._stopped = True
        self._kept.clear()

    def keepAfter(self, streamLog: IStreamLog) -> None:
        """Count how long a stream is kept from when its end is in the log."""
        if streamLog.state is State.OPEN:
            # An end that the store refused is no end.
            streamLog.settled().addCallbacks(self._keepEnded, lambda _: None, callbackArgs=(streamLog,))
        else:
            self._keepEnded(None, streamLog)

    def _keepEnded(self, _: None, streamLog: IStreamLog) -> None:
        # The run of a stream that is being deleted ends before the stream does.
        if streamLog.state is not State.OPEN:
            self._keep([(self._clock.seconds(), streamLog.name, streamLog.epoch)])

    def makeRoom(self, streams: int = 0) -> bool:
        """
        Forget ended streams as far as the bounds want it.

        Args:
            streams: How many are to be made.

        Returns:
            Whether there is room then.
        """
        store, settings = self._store, self._settings
        while store.used > settings.maxBytes or store.count + streams > settings.maxStreams:
            if not self._kept:
                return False
            self._forgetOldest()
        return True

    def _keep(self, ended: Sequence[tuple[float, str, str]]) -> None:
        """Keep streams that ended at these times (seconds since 1970) as long as the settings say."""
        if self._stopped:
            return
        idle = not self._kept
        wall, now = self._clock.seconds(), self._sweep.seconds()
        for when, name, epoch in ended:
            self._kept.append((now + self._settings.keep - max(0.0, wall - when), name, epoch))
        if idle and self._kept:
            self._sweep.at(self._kept[0][0], self._forgetOld)

    def _forgetOld(self, now: float) -> float | None:
        """Forget the streams that were kept long enough."""
        while self._kept and self._kept[0][0] <= now:
            self._forgetOldest()
        return self._kept[0][0] if self._kept else None

    def _forgetOldest(self) -> None:
        _, name, epoch = self._kept.popleft()
        self._onForget(epoch)
        deleted = self._store.delete(name, epoch)
        deleted.addErrback(self._notForgotten, name, epoch)
        deleted.addErrback(lambda failure: log.failure("A stream could not be forgotten", failure))

    def _notForgotten(self, failure: Failure, name: str, epoch: str) -> None:
        """What the store cannot do now it is asked again, after a while."""
        # It may also be deleted already, at somebody's request.
        if failure.trap(StreamNotFound, StoreUnavailable) is StoreUnavailable and not self._stopped:
            ended = [(self._clock.seconds(), name, epoch)]
            self._sweep.at(self._sweep.seconds() + _AGAIN, lambda _: self._keep(ended))
