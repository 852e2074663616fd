"""
IdleStreams: ends open published streams that nobody uses any more.

A publisher that is gone never ends its streams. Without an age they would count towards the limits for ever.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable, StreamNotFound
from sseserver.interfaces import StreamDescription
from sseserver.timing.ticker import Tick, Ticker
from sseserver.values import State


class IdleStreams:
    """
    The open published streams, and when each was used last.

    Args:
        limit: Seconds. A stream is ended after this time without publishes and viewers; `None` if the store does that.
        sweep: Ticker of the ends.
        describe: Describes a stream; see `IStreamStore.describe`.
        end: Ends a stream. Fires when its end is visible.
    """

    def __init__(
        self,
        limit: float | None,
        sweep: Ticker,
        describe: Callable[[str], Deferred[StreamDescription]],
        end: Callable[[StreamDescription], Deferred[None]],
    ) -> None:
        self._limit = limit
        self._sweep = sweep
        self._describe = describe
        self._end = end
        # Times on the ticker's clock, by name; the stream that was used longest ago first.
        self._used: dict[str, float] = {}
        self._tick: Tick | None = None

    def __len__(self) -> int:
        """Number of streams."""
        return len(self._used)

    def use(self, name: str) -> None:
        """Note that a stream is used now."""
        if self._limit is None:
            return
        self._used.pop(name, None)
        self._used[name] = self._sweep.seconds()
        if self._tick is None:
            self._tick = self._sweep.at(self._dueTime(), self._endOld)

    def forget(self, name: str) -> None:
        """Note that a stream has ended. Harmless if it is not known."""
        self._used.pop(name, None)

    def stop(self) -> None:
        """Forget all streams."""
        self._used.clear()
        if self._tick is not None:
            self._sweep.cancel(self._tick)
            self._tick = None

    def _dueTime(self) -> float:
        """Return when the stream that was used longest ago is to be ended."""
        return next(iter(self._used.values())) + (self._limit or 0)

    def _endOld(self, now: float) -> float | None:
        """End the streams whose time is over."""
        while self._used and self._dueTime() <= now:
            name = next(iter(self._used))
            del self._used[name]
            self._describe(name).addCallback(self._check).addErrback(self._retry, name)
        if self._used:
            return self._dueTime()
        self._tick = None
        return None

    def _check(self, stream: StreamDescription) -> Deferred[None] | None:
        """End a stream, unless it has viewers."""
        if not stream.published or stream.state is not State.OPEN:
            return None
        if stream.viewers:
            self.use(stream.name)
            return None
        return self._end(stream)

    def _retry(self, failure: Failure, name: str) -> None:
        """Look at a stream again after its time if the store cannot find or end it now."""
        if failure.trap(StreamNotFound, StoreUnavailable) is StoreUnavailable:
            self.use(name)
