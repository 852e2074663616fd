"""
Replicas: the logs in memory of streams that are kept, and perhaps written, elsewhere.

A store that several processes share fills them, with what it is told and what it reads. A log is dropped from memory
when nobody has used it for a while; the stream is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sseserver.streams.account import Account
from sseserver.streams.keeper import Keeper
from sseserver.streams.log import StreamLog
from sseserver.streams.segments import Segment, makeSegment
from sseserver.timing.ticker import Tick, Ticker
from sseserver.values import PackedEntries, State, StoredEntries, StoredStream

#: Seconds. A log without viewers that nobody has asked for in this time leaves memory.
UNUSED = 30.0


class Replicas(Keeper):
    """
    The logs of a shared store that no run of this process writes, or whose runs have ended.

    Entries of these logs are visible at once: the shared store has them.

    Args:
        ticker: Ticker of the logs, and of their drops.
        window: Bytes that each log keeps; see `StreamLog`.
        runs: Account of the streams of runs in memory.
        published: Account of the published streams in memory.
        onDrop: Called with each log that leaves memory, so that the store no longer follows its stream.
    """

    def __init__(
        self, ticker: Ticker, window: int, runs: Account, published: Account, onDrop: Callable[[StreamLog], object]
    ) -> None:
        super().__init__()
        self.runs, self.published = runs, published
        self._ticker = ticker
        self._window = window
        self._onDrop = onDrop
        # When each was used last, on the ticker's clock; the log that was used longest ago first.
        self._used: dict[StreamLog, float] = {}
        self._logs: dict[str, StreamLog] = {}
        self._tick: Tick | None = None

    def __len__(self) -> int:
        """Return the number of logs."""
        return len(self._logs)

    def __iter__(self) -> Iterator[StreamLog]:
        """Iterate over the logs of this moment."""
        return iter(tuple(self._logs.values()))

    def find(self, name: str) -> StreamLog | None:
        """Return the log of a stream, which is used now; `None` if it is not in memory."""
        streamLog = self._logs.get(name)
        if streamLog is not None:
            self._use(streamLog)
        return streamLog

    def load(self, stored: StoredStream, entries: StoredEntries) -> StreamLog:
        """
        Make the log of a stream that is not in memory.

        Args:
            stored: The stream.
            entries: All entries that are kept, as of the same moment.

        Raises:
            ValueError: Entries are missing.
        """
        known = entries.entries
        segment = known if isinstance(known, Segment) else makeSegment(stored.first, known)
        if segment.last != stored.last:
            raise ValueError(f"The entries of {stored.name} after {segment.last} are missing.")
        streamLog = StreamLog(stored.name, stored.epoch, self._ticker, self._window, self, published=stored.published)
        streamLog.created, streamLog.question, streamLog.ended = stored.created, stored.question, stored.ended
        streamLog.earlier = dict(stored.earlier)
        streamLog.restore(segment, stored.tokensBefore, dict(entries.keys), stored.trimmedCR)
        self.account(stored.published).add(streamLog.size, streamLog.state is State.OPEN)
        self.add(streamLog)
        return streamLog

    def add(self, streamLog: StreamLog) -> None:
        """Take over a log that is counted already: its run has ended, or it is new."""
        self._logs[streamLog.name] = streamLog
        self._use(streamLog)

    def receive(self, streamLog: StreamLog, first: int, entries: PackedEntries) -> bool:
        """
        Add entries to a log and wake its viewers.

        Args:
            streamLog: The log. Entries that it has already are left out.
            first: Number of the first entry.
            entries: The entries.

        Returns:
            Whether they are in the log. Otherwise entries before them are missing, which the store must read first.
        """
        known = streamLog.last + 1 - first
        if known < 0:
            return False
        if known < len(entries) and not streamLog.sealed:
            streamLog.extend(PackedEntries(entries[known:]) if known else entries)
        return True

    def lose(self, streamLog: StreamLog) -> None:
        """Drop a log of which the shared store has lost entries. Its viewers return, and learn what they have lost."""
        self._forget(streamLog)
        streamLog.dismiss()
        self._release(streamLog)

    def delete(self, streamLog: StreamLog) -> None:
        """Drop the log of a stream that was deleted. Viewers of an open one get the end."""
        self._forget(streamLog)
        isOpen = streamLog.state is State.OPEN
        self.account(streamLog.published).subtract(streamLog.drop(), isOpen)
        self._onDrop(streamLog)

    def shed(self, published: bool) -> bool:
        """See `ISharedStore.shed`."""
        for streamLog in self._used:
            if streamLog.published == published and not streamLog.viewers:
                self._drop(streamLog)
                return True
        return False

    def stop(self) -> None:
        """Drop all logs."""
        for streamLog in self:
            self._drop(streamLog)
        if self._tick is not None:
            self._ticker.cancel(self._tick)
            self._tick = None

    def _use(self, streamLog: StreamLog) -> None:
        self._used.pop(streamLog, None)
        self._used[streamLog] = self._ticker.seconds()
        if self._tick is None:
            self._tick = self._ticker.at(self._ticker.seconds() + UNUSED, self._dropUnused)

    def _dropUnused(self, now: float) -> float | None:
        """Drop the logs that nobody has used for a while."""
        while self._used:
            streamLog, used = next(iter(self._used.items()))
            if used + UNUSED > now:
                return used + UNUSED
            if streamLog.viewers:
                self._use(streamLog)
            else:
                self._drop(streamLog)
        self._tick = None
        return None

    def _drop(self, streamLog: StreamLog) -> None:
        self._forget(streamLog)
        self._release(streamLog)

    def _forget(self, streamLog: StreamLog) -> None:
        del self._used[streamLog]
        del self._logs[streamLog.name]

    def _release(self, streamLog: StreamLog) -> None:
        isOpen = streamLog.state is State.OPEN
        self.account(streamLog.published).subtract(streamLog.release(), isOpen)
        self._onDrop(streamLog)
