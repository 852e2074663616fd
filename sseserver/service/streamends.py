"""
StreamEnds: ends and deletes streams from outside, whether or not a run of this process writes them.

Clients cancel and delete streams, published streams come of age, and other processes end the streams of a shared store.

`StreamService` has one.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger

from sseserver.errors import StoreDamaged, StoreUnavailable
from sseserver.interfaces import ISharedStore, IStreamLog, IStreamStore, StreamDescription
from sseserver.service.idle import IdleStreams
from sseserver.service.retention import Retention
from sseserver.service.runqueue import RunQueue
from sseserver.service.streamkeys import StreamKeys
from sseserver.streams.terminal import INTERRUPTED, packCancelled
from sseserver.timing.ticker import Ticker
from sseserver.tracebacks import forgetTraceback
from sseserver.values import Kind, ListedStream, NewEntry, Reason, State

_ASKED, _IDLE = packCancelled(Reason.ASKED), packCancelled(Reason.IDLE)

log = Logger(__name__)


class StreamEnds:
    """
    Ends the streams of a service.

    Args:
        store: Keeps the streams.
        runs: The runs of this process.
        retention: Keeps the streams that have ended.
        keys: The keys of streams, which are dropped with them.
        age: Seconds after which an open published stream ends that nobody uses.
        sweep: Ticker of these ends.

    Attributes:
        idle: The open published streams, and when each was used last.
    """

    def __init__(
        self,
        store: IStreamStore,
        runs: RunQueue,
        retention: Retention,
        keys: StreamKeys,
        age: float,
        sweep: Ticker,
    ) -> None:
        self._store = store
        self._runs = runs
        self._retention = retention
        self._keys = keys
        # Several processes may use one stream: only the store that they share knows when nobody does.
        limit = None if ISharedStore.providedBy(store) else age
        self.idle = IdleStreams(limit, sweep, store.describe, partial(self._end, entry=_IDLE))

    def start(self) -> None:
        """Count the time of the open published streams in the store from now on, and watch for ends elsewhere."""
        store = self._store
        if ISharedStore.providedBy(store):
            store.onEnded = self._stopRun
            return
        listed = store.list(store.count).addCallback(self._useOpen)
        listed.addErrback(lambda failure: log.failure("The open streams could not be listed", failure))

    @inlineCallbacks
    def cancel(self, name: str) -> Generator[Deferred[Any], Any, StreamDescription]:
        """See `StreamService.cancel`."""
        stream: StreamDescription = yield self._store.describe(name)
        if stream.state is not State.OPEN:
            return stream
        run = self._runs.find(name)
        if run is not None:
            run.stop(_ASKED)
            yield run.streamLog.awaitStored()
        else:
            yield self._end(stream, _ASKED)
        stream = yield self._store.describe(name)
        return stream

    @inlineCallbacks
    def delete(self, name: str) -> Generator[Deferred[Any], Any, None]:
        """See `StreamService.delete`."""
        stream: StreamDescription | None = None
        try:
            stream = yield self._store.describe(name)
        except StoreDamaged as damaged:
            # It can be deleted all the same.
            forgetTraceback(damaged)
        run = self._runs.find(name)
        if run is not None:
            run.stop(None)
        try:
            yield self._store.delete(name)
        except StoreUnavailable:
            # The stream stays, so the run that was stopped needs a terminal entry. The store takes it when it can.
            if run is not None and not run.streamLog.sealed:
                run.streamLog.append(*_ASKED)
                self._retention.keepAfter(run.streamLog)
            raise
        self.idle.forget(name)
        if stream is not None:
            self._keys.forget(stream.epoch)
        if run is not None:
            # One that was taken over has earlier epochs.
            self._keys.starts.leave(run.streamLog)

    def _end(self, stream: StreamDescription, entry: NewEntry) -> Deferred[None]:
        """End a stream that no run of this process writes; fire when the end is visible."""
        return self._store.end(stream.name, entry, stream.epoch).addCallback(self._keep, stream)

    def _keep(self, ended: bool, stream: StreamDescription) -> None:
        self.idle.forget(stream.name)
        if ended:
            self._retention.keep(stream.name, stream.epoch, stream.published)

    def _useOpen(self, streams: Sequence[ListedStream]) -> None:
        for stream in streams:
            if stream.published and stream.ended is None:
                self.idle.use(stream.name)

    def _stopRun(self, streamLog: IStreamLog) -> None:
        """Stop the run of a stream that another process has ended or taken over. See `ISharedStore.onEnded`."""
        run = self._runs.find(streamLog.name)
        if run is None or run.streamLog is not streamLog:
            return
        if not streamLog.sealed:
            run.stop(INTERRUPTED, appends=False)
            self._keys.starts.leave(streamLog)
        else:
            buffer = streamLog.buffer
            run.stop(NewEntry(Kind(buffer.kind(buffer.appended)), buffer.entry(buffer.appended)))
