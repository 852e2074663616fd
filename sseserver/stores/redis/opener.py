"""
Opener: finds streams in Redis and fills logs of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.python.failure import Failure

from sseserver.errors import GapError, StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog, StreamDescription
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.connection import unwrap
from sseserver.stores.redis.follower import Follower, append
from sseserver.stores.redis.layout import Layout
from sseserver.stores.redis.reader import ReadStream, SharedState, askState, readStream
from sseserver.stores.redis.streams import Reaching, SharedStream, Tracking
from sseserver.stores.redis.table import StreamTable
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.keeper import Keeper
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import State

#: Makes an empty log of a name, an epoch, whether it is published, the time when it was made, and a question.
MakeLog = Callable[[str, str, bool, float, str], StreamLog]


def bindLogs(ticker: Ticker, window: int, keeper: Keeper) -> MakeLog:
    """
    Return a function that makes the logs of a store.

    Args:
        ticker: The ticker of the logs.
        window: Bytes that each stream keeps.
        keeper: The store.
    """

    def makeLog(name: str, epoch: str, published: bool, created: float, question: str) -> StreamLog:
        streamLog = StreamLog(name, epoch, ticker, window, keeper, published=published)
        streamLog.created, streamLog.question = created, question
        return streamLog

    return makeLog


class Opener:
    """
    Finds streams.

    Args:
        client: The Redis.
        layout: Names of the keys.
        table: The streams of this process.
        follower: Fills the logs.
        makeLog: Makes an empty log.
    """

    def __init__(
        self, client: Client, layout: Layout, table: StreamTable, follower: Follower, makeLog: MakeLog
    ) -> None:
        self._client = client
        self._layout = layout
        self._table = table
        self._follower = follower
        self._makeLog = makeLog

    def find(self, name: str) -> Deferred[IStreamLog]:
        """
        Find a stream; see `IStreamStore.find`.

        Args:
            name: Its name.
        """
        stream = self._table.find(name)
        if stream is not None:
            if stream.leaving:
                return fail(StreamNotFound(name))
            stream.usedAt = self._follower.seconds()
            if stream.finding is not None:
                found: Deferred[IStreamLog] = Deferred()
                stream.finding.append(found)
                return found
            if stream.isCurrent or not self._client.up:
                return succeed(stream.log)
        asked = askState(self._client, name, self._layout.locate(name))
        return asked.addCallbacks(self._open, self._noteMissing, (name,), errbackArgs=(name,))

    def findFor(self, name: str, lastEventID: str) -> Deferred[IStreamLog]:
        """
        Find a stream for a viewer that returns; see `ISharedStore.findFor`.

        Args:
            name: Its name.
            lastEventID: The last event ID of the viewer.
        """
        return self.find(name).addCallback(self._catchUp, lastEventID)

    def describe(self, name: str, key: str | None) -> Deferred[StreamDescription]:
        """
        Describe a stream; see `IStreamStore.describe`.

        Args:
            name: Its name.
            key: An idempotency key.
        """
        stream = self._table.find(name)
        if stream is not None and stream.leaving:
            return fail(StreamNotFound(name))
        viewers = 0 if stream is None else stream.log.viewers
        place = self._layout.locate(name)
        asked = [askState(self._client, name, place)]
        if key is not None:
            asked.append(self._client.ask("HEXISTS", place.keys, key))
        answered: Deferred[list[Any]] = gatherResults(asked, consumeErrors=True)
        return answered.addCallbacks(
            lambda results: makeDescription(name, results[0], viewers, results[-1] == 1), unwrap
        )

    def reach(self, name: str, number: int) -> Deferred[None]:
        """
        Wait until an entry that Redis has is visible in the log of a stream, if that is in memory.

        Args:
            name: Name of the stream.
            number: Number of the entry.
        """
        stream = self._table.find(name)
        if stream is None or stream.leaving or stream.log.last >= number or self._client.problem is not None:
            return succeed(None)
        if stream.own and stream.log.buffer.appended < number:
            # Another process has taken the run, or a foreign hand has changed it: that is seen at the next write.
            return succeed(None)
        reached: Deferred[None] = Deferred()
        stream.reaching.append(Reaching(number, reached))
        if stream.tracking is Tracking.NONE and not stream.own:
            self._follower.read(stream)
        # Otherwise its message is on the way.
        return reached

    def giveUp(self, stream: SharedStream) -> Deferred[IStreamLog | None]:
        """
        Read how somebody else has ended a run of this process.

        Args:
            stream: The stream.

        Returns:
            Fires with its log when that has the end; with `None` if the run itself had ended it.

        Raises:
            StreamNotFound: (errback) The stream is gone.
            StoreDamaged: (errback) A foreign hand has changed it.
            StoreUnavailable: (errback) It cannot be read now.
        """
        stream.writing = True
        reading = readStream(self._client, stream.name, stream.place, stream.log.last)
        return reading.addCallbacks(self._settle, _release, (stream,), errbackArgs=(stream,))

    def _catchUp(self, streamLog: IStreamLog, lastEventID: str) -> IStreamLog | Deferred[IStreamLog]:
        """Look again if the log lacks what the viewer has: another process may have told it before this one knew."""
        name = streamLog.name
        if not isBehind(streamLog, lastEventID):
            return streamLog
        asked = askState(self._client, name, self._layout.locate(name))
        return asked.addCallbacks(self._openWhole, self._noteMissing, (name,), errbackArgs=(name,))

    def _openWhole(self, state: SharedState, name: str) -> Deferred[IStreamLog]:
        """Find a log that has everything that the state knows."""
        opened: Deferred[IStreamLog] = succeed(state).addCallback(self._open, name)
        return opened.addCallback(requireEntries, state.last)

    def _open(self, state: SharedState, name: str) -> IStreamLog | Deferred[IStreamLog]:
        stream = self._table.find(name)
        if stream is not None and not self._follower.keepsEpoch(stream, state.epoch, state.epochs):
            stream = None
        if stream is not None and stream.leaving:
            raise StreamNotFound(name)
        if stream is not None and stream.finding is None:
            return self.reach(name, state.last).addCallback(self._giveLog, stream)
        found: Deferred[IStreamLog] = Deferred()
        if stream is None:
            stream = self._makeStream(state, name)
            stream.finding = [found]
            if state.ended is None:
                self._follower.join(stream)
            else:
                self._follower.read(stream)
        elif stream.finding is not None:
            stream.finding.append(found)
        return found

    def _giveLog(self, _: None, stream: SharedStream) -> IStreamLog | Deferred[IStreamLog]:
        """Return the log of a stream, or another one if it has left the store meanwhile."""
        return self.find(stream.name) if stream.gone else stream.log

    def _makeStream(self, state: SharedState, name: str) -> SharedStream:
        streamLog = self._makeLog(name, state.epoch, state.published, state.created, state.question)
        stream = SharedStream(name, self._layout.locate(name), streamLog, own=False)
        stream.usedAt = self._follower.seconds()
        self._table.add(stream)
        return stream

    def _noteMissing(self, failure: Failure, name: str) -> Any:
        stream = self._table.find(name)
        if failure.check(StreamNotFound) and stream is not None and not stream.leaving:
            self._follower.onGone(stream)
        return failure

    def _settle(self, read: ReadStream, stream: SharedStream) -> IStreamLog | None:
        """Replace the entries that only this process has by those that Redis has, unless they are the same."""
        stream.writing = False
        if stream.gone or not self._follower.keepsEpoch(stream, read.state.epoch, read.state.epochs):
            return None
        if read.state.ended is None:
            raise StreamNotFound(stream.name)
        streamLog, entries = stream.log, read.entries
        first, last = streamLog.last + 1, streamLog.buffer.appended
        if streamLog.last >= read.state.last and streamLog.state is State.OPEN:
            raise self._client.complaints.report(stream.place.stream)
        stream.stored = read.state.last
        if streamLog.last >= read.state.last:
            return None
        if entries.first > first:
            # A foreign hand has deleted entries that were not visible here yet.
            self._follower.onLost(stream)
            return None
        if entries.last <= last:
            here = streamLog.buffer.segment(first, entries.last)
            if bytes(here.kinds) == bytes(entries.kinds) and bytes(here.data) == bytes(entries.data):
                streamLog.commit(entries.last)
                streamLog.ended = read.state.ended
                if streamLog.buffer.appended == entries.last:
                    return None
        streamLog.refuse(StoreUnavailable("The stream was ended by another process."))
        missing = entries.select(streamLog.last + 1, entries.last)
        if missing.kinds:
            append(stream, missing, read.state.ended)
        return streamLog


def isBehind(streamLog: IStreamLog, lastEventID: str) -> bool:
    """
    Return whether a log seems to have lost what a viewer has.

    Args:
        streamLog: The log.
        lastEventID: The last event ID of the viewer.
    """
    try:
        streamLog.locate(lastEventID)
    except GapError as gap:
        return gap.reason == "lost"
    return False


def requireEntries(streamLog: IStreamLog, last: int) -> IStreamLog:
    """
    Return a log if it has the entries up to a number.

    Args:
        streamLog: The log.
        last: The number.

    Raises:
        StoreUnavailable: It gets them later.
    """
    if streamLog.last < last:
        raise StoreUnavailable(f"This server does not know all of the stream {streamLog.name} yet; retry.")
    return streamLog


def makeDescription(name: str, state: SharedState, viewers: int, keyUsed: bool) -> StreamDescription:
    """
    Describe a stream.

    Args:
        name: Its name.
        state: Its state.
        viewers: Number of its viewers in this process.
        keyUsed: See `StreamDescription`.
    """
    size = state.size + ENTRY_COST * (state.last + 1 - state.first) + state.keyBytes
    return StreamDescription(
        name,
        state.epoch,
        state.published,
        state.question,
        state.state,
        state.first,
        state.last,
        size,
        viewers,
        state.created,
        state.ended,
        keyUsed,
    )


def _release(failure: Failure, stream: SharedStream) -> Failure:
    """Let the run go on: it could not be read how the stream has ended."""
    stream.writing = False
    return failure
