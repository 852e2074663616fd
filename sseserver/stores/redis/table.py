"""
StreamTable: the streams whose logs are in the memory of this process.
"""

from __future__ import annotations

from collections.abc import Callable

from sseserver.stores.redis.streams import SharedStream

#: Seconds. A log that nobody has asked for and no viewer follows stays in memory for so long.
HOLD = 10.0


class StreamTable:
    """
    Streams by name.

    Attributes:
        isAwaited: Returns whether a stream may have entries that Redis lacks: its log stays.
        streams: All of them. Those that were asked for longest ago come first, but for their viewers.
    """

    def __init__(self) -> None:
        self.isAwaited: Callable[[SharedStream], bool] = lambda _: False
        self.streams: dict[str, SharedStream] = {}

    def find(self, name: str) -> SharedStream | None:
        """Return the stream of a name, or `None`."""
        return self.streams.get(name)

    def add(self, stream: SharedStream) -> None:
        """Add a stream."""
        self.streams[stream.name] = stream

    def remove(self, stream: SharedStream) -> None:
        """Remove a stream. Harmless if it is not there."""
        if self.streams.get(stream.name) is stream:
            del self.streams[stream.name]

    def release(self, stream: SharedStream) -> None:
        """Drop a log that nobody uses."""
        stream.release()
        self.remove(stream)

    def clear(self, error: Exception) -> None:
        """
        Forget all streams.

        Args:
            error: Errback of the calls that wait for one of them.
        """
        streams, self.streams = list(self.streams.values()), {}
        for stream in streams:
            stream.answer(error)
            stream.answerReached(everything=True)

    def listOwn(self) -> list[SharedStream]:
        """List the streams that runs of this process write or have written."""
        return [stream for stream in self.streams.values() if stream.own]

    def listUnused(self, now: float) -> list[SharedStream]:
        """
        List the streams whose logs may leave memory.

        Args:
            now: The time.
        """
        unused = []
        for stream in self.streams.values():
            if stream.log.viewers:
                stream.usedAt = now
            elif now - stream.usedAt > HOLD and not stream.isBusy and not self.isAwaited(stream):
                unused.append(stream)
        return unused

    def findOldest(self, published: bool) -> SharedStream | None:
        """
        Find the stream of a kind that was not used for longest, and is not used now.

        Args:
            published: Whether it is a published stream; otherwise it is a run.
        """
        unused = [
            stream
            for stream in self.streams.values()
            if stream.log.published is published and not stream.log.viewers and not stream.isBusy and not stream.leaving
        ]
        unused = [stream for stream in unused if not self.isAwaited(stream)]
        return min(unused, key=lambda stream: stream.usedAt, default=None)
