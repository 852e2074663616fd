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
from sseserver.timing.ages import Ages
from sseserver.timing.ticker import Ticker
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
        self._ages = Ages(sweep, self._findDue, self._endOldest)

    def __len__(self) -> int:
        """Number of streams."""
        return len(self._used)

    def use(self, name: str) -> None:
        """Note that a stream is used now."""
        if self._limit is None:
            return
        self._used.pop(name, None)
        self._used[name] = self._sweep.seconds()
        self._ages.start()

    def forget(self, name: str) -> None:
        """Note that a stream has ended. Harmless if it is not known."""
        self._used.pop(name, None)

    def stop(self) -> None:
        """Forget all streams."""
        self._used.clear()
        self._ages.stop()

    def _findDue(self) -> float | None:
        """Return when the stream that was used longest ago is to be ended; `None` if there is no stream."""
        return next(iter(self._used.values())) + (self._limit or 0) if self._used else None

    def _endOldest(self) -> None:
        """End the stream that was used longest ago."""
        name = next(iter(self._used))
        del self._used[name]
        self._describe(name).addCallback(self._check).addErrback(self._retry, name)

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
