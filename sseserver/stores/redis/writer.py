"""
Writer: appends the new entries of this process's runs to Redis, the entries of many streams in one command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.counting import Durations
from sseserver.errors import StoreUnavailable
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.connection import Argument, Disconnected
from sseserver.stores.redis.damage import DAMAGED
from sseserver.stores.redis.scripts import APPEND
from sseserver.stores.redis.shards import Shards
from sseserver.stores.redis.streams import SharedStream, StreamTerms
from sseserver.timing.ticker import Ticker
from sseserver.values import State

log = Logger(__name__)

#: Number. Most streams of one command, and most entries after which it gets no further stream.
GROUP_STREAMS, GROUP_ENTRIES = 64, 1000

#: Bytes. Data after which a command gets no further stream.
GROUP_BYTES = 256 * 1024

#: Seconds. Pause after a group, for every tenth stream that it had, and the longest pause: see
#: `sseserver.stores.groupwriter`.
PAUSE, LONGEST_PAUSE = 0.001, 0.005

#: Seconds. Time until a stream is written again that could not be.
RETRY = 1.0

#: Seconds. Bounds of the histogram of commits.
COMMITS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

#: Refusals after which a run is not written any more.
_FINAL = frozenset({b"ended", b"missing", b"owner", b"moved"})

#: Begin of the refusal of a stream that a foreign hand has changed; its key follows.
_DAMAGED = DAMAGED.encode("ascii")


@dataclass(slots=True)
class Batch:
    """
    Entries that leave in one command.

    Attributes:
        now: Time at which streams end that have their terminal entry here, in seconds since 1970.
        began: When the batch was sent, on the ticker's clock.
        streams: The streams.
        keys: Keys of the command.
        arguments: The arguments of all streams.
        entries: Number of entries.
        size: Bytes of their data.
    """

    now: float
    began: float
    streams: list[SharedStream] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    arguments: list[Argument] = field(default_factory=list)
    entries: int = 0
    size: int = 0

    @property
    def isFull(self) -> bool:
        """Whether no further stream should be added."""
        return len(self.streams) >= GROUP_STREAMS or self.entries >= GROUP_ENTRIES or self.size >= GROUP_BYTES

    def add(self, stream: SharedStream) -> None:
        """Add the entries of a stream that Redis does not have."""
        buffer, first = stream.log.buffer, stream.stored + 1
        last = min(buffer.appended, stream.stored + GROUP_ENTRIES)
        self.streams.append(stream)
        self.keys += stream.keys
        if first == last:
            data = buffer.entry(first)
            self.arguments += (stream.epoch, first, bytes((buffer.kind(first),)), data)
            self.size += len(data)
        else:
            segment = buffer.segment(first, last) if first <= last else None
            kinds = b"" if segment is None else bytes(segment.kinds)
            self.arguments += (stream.epoch, first, kinds)
            if segment is not None:
                self.arguments += segment.entries
                self.size += len(segment.data)
        self.entries += last + 1 - first


class Writer:
    """
    Appends entries of runs.

    Args:
        clock: The reactor, or a `task.Clock`.
        ticker: Tells the time.
        client: The Redis.
        shards: Renews shards.
        terms: The limits of streams.
        onRefused: Called with a stream that this process must not write any more, and the word of the script.

    Attributes:
        commits: Seconds from the begin of a write to its end, of each group that was stored.
        failures: Number of groups that could not be stored.
        node: ID of this process.
    """

    def __init__(
        self,
        clock: Any,
        ticker: Ticker,
        client: Client,
        shards: Shards,
        terms: StreamTerms,
        onRefused: Callable[[SharedStream, bytes], object],
    ) -> None:
        self.commits = Durations(COMMITS)
        self.failures = 0
        self.node = b""
        self._problem: str | None = None
        self._clock = clock
        self._ticker = ticker
        self._client = client
        self._shards = shards
        self._terms = terms
        self._onRefused = onRefused
        self._dirty: dict[SharedStream, None] = {}
        self._flying = 0
        self._next: IDelayedCall | None = None
        self._stopped = True

    @property
    def isIdle(self) -> bool:
        """Whether Redis has everything."""
        return not self._dirty and not self._flying

    @property
    def problem(self) -> str | None:
        """The reason why the last group could not be stored; `None` if it was, or if nothing of it must be any more."""
        return None if self.isIdle else self._problem

    def awaits(self, stream: SharedStream) -> bool:
        """Return whether the entries of a stream will be written, or compared with those that Redis has."""
        return stream in self._dirty

    def write(self, stream: SharedStream) -> None:
        """Append the new entries of a stream, soon."""
        if not stream.writing:
            self._dirty[stream] = None
            if self._next is None:
                self.schedule()

    def ask(self, stream: SharedStream) -> None:
        """Ask Redis whether this process still writes a run: another one may have ended it, or taken it over."""
        # Entries that are on their way may have been stored before.
        stream.asked = stream.writing
        self.write(stream)

    def schedule(self, delay: float = 0.0) -> None:
        """
        Write the next group.

        Args:
            delay: Seconds until then, unless that is scheduled.
        """
        # The answers of groups that are on their way come after the stop, too.
        if self._next is None and not self._stopped:
            self._next = self._clock.callLater(delay, self._writeGroups)

    def postpone(self, stream: SharedStream) -> None:
        """Write a stream after a while."""
        self._dirty[stream] = None
        self.schedule(RETRY)

    def forget(self, stream: SharedStream) -> None:
        """Write no entries of this stream any more."""
        self._dirty.pop(stream, None)

    def start(self, node: bytes) -> None:
        """
        Begin to write.

        Args:
            node: ID of this process, until the next start.
        """
        self.node = node
        self._stopped = False

    def stop(self) -> list[SharedStream]:
        """Write nothing any more. Returns the streams with entries that Redis does not have."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
        dirty, self._dirty = list(self._dirty), {}
        return dirty

    def _writeGroups(self) -> None:
        self._next = None
        if not self._client.up:
            # The store schedules the next group when the connection is there.
            return
        dirty, self._dirty = self._dirty, {}
        # A command of a cluster has streams of one shard.
        clustered = self._client.clustered
        batches: dict[int, Batch] = {}
        for stream in dirty:
            if stream.gone or stream.writing:
                continue
            place = stream.place
            if clustered and not self._client.reaches(place.generation):
                self._dirty[stream] = None
                continue
            group = place.shard if clustered else 0
            batch = batches.get(group)
            if batch is None:
                batch = batches[group] = self._makeBatch()
            batch.add(stream)
            stream.writing = True
            if batch.isFull:
                self._send(batches.pop(group))
        for batch in batches.values():
            self._send(batch)

    def _makeBatch(self) -> Batch:
        return Batch(self._ticker.wall(), self._ticker.seconds())

    def _send(self, batch: Batch) -> None:
        self._flying += 1
        head = (self.node, repr(batch.now), self._terms.window, self._terms.keep)
        answered = self._client.run(APPEND, batch.keys, (*head, *batch.arguments))
        answered.addCallbacks(self._note, self._fail, callbackArgs=(batch,), errbackArgs=(batch,))
        answered.addErrback(lambda failure: log.failure("A group of the store broke", failure))

    def _note(self, results: list[Any], batch: Batch) -> None:
        self._flying -= 1
        self._problem = None
        self.commits.note(self._ticker.seconds() - batch.began)
        for stream, result in zip(batch.streams, results, strict=True):
            stream.writing = False
            if type(result) is int:
                self._commit(stream, result, batch.now)
            else:
                self._refuse(stream, result[0], result[1])
        if self._dirty:
            self.schedule(min(PAUSE * (len(batch.streams) // 10), LONGEST_PAUSE))

    def _commit(self, stream: SharedStream, last: int, now: float) -> None:
        """Make entries visible that Redis has."""
        stream.stored = last
        if stream.gone:
            return
        streamLog = stream.log
        if last > streamLog.last:
            streamLog.commit(last)
            if streamLog.state is not State.OPEN:
                streamLog.ended = now
            if stream.reaching:
                stream.answerReached()
        if streamLog.buffer.appended > last or stream.asked:
            stream.asked = False
            self._dirty[stream] = None

    def _refuse(self, stream: SharedStream, word: bytes, last: int) -> None:
        if stream.gone:
            return
        streamLog = stream.log
        if word == b"generation":
            renewed = self._shards.renew(stream.place.shard)
            renewed.addBoth(lambda _: self.write(stream))
        elif word == b"moved" and streamLog.buffer.first - 1 <= last <= streamLog.buffer.appended:
            # A reply was lost, or Redis has lost entries: these are appended again.
            self._commit(stream, last, self._ticker.wall())
        elif word in _FINAL or word.startswith(_DAMAGED):
            self._onRefused(stream, word)
        else:
            self._complain(word.decode("utf-8", "replace"))
            self.postpone(stream)

    def _fail(self, failure: Failure, batch: Batch) -> None:
        """Write the entries of a group again: whether Redis has them will be seen then."""
        self._flying -= 1
        self.failures += 1
        for stream in batch.streams:
            stream.writing = False
            if not stream.gone:
                self._dirty[stream] = None
        if not failure.check(Disconnected):
            text = getattr(failure.value, "text", failure.getErrorMessage())
            self._complain(text)
        if self._client.up:
            # It may be a server of a cluster that is missing. Otherwise the connection is awaited.
            self.schedule(RETRY)
        failure.trap(StoreUnavailable)

    def _complain(self, text: str) -> None:
        if self._problem is None:
            log.error("The store cannot write; it will try again: {text}", text=text)
        self._problem = "The store cannot write now."
