"""
Follower: fills logs with the entries that other processes append.

It subscribes to the tail of a stream first, then reads the entries that are there, and then applies the messages that
have come meanwhile. So nothing is missed and nothing is polled, and one connection serves all streams.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StoreDamaged, StoreUnavailable, StreamEnded, StreamNotFound
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.entries import checkEnds, readEntry
from sseserver.stores.redis.messages import TailEntries, parseChange, parseEntries
from sseserver.stores.redis.reader import ReadStream, SharedState, readStream
from sseserver.stores.redis.scripts import COMPARE
from sseserver.stores.redis.streams import SharedStream, Tracking, listAllKeys
from sseserver.streams.entries import countTokens
from sseserver.streams.log import StreamLog
from sseserver.streams.segments import Segment
from sseserver.values import TERMINAL, Kind, PackedEntries, State

log = Logger(__name__)

#: Seconds. A live stream that has heard nothing for so long is compared with Redis: its last message may be lost.
SILENCE = 10.0

#: The kinds that leave a stream open, by their numbers. A look into a dictionary takes less time than a call of `Kind`.
OPEN_KINDS = {int(kind): kind for kind in Kind if kind not in TERMINAL}

#: Seconds. A subscription that is not confirmed by then is made again, and a message that is awaited is asked for.
CONFIRMATION = 3.0


class Follower:
    """
    Follows streams.

    Args:
        client: The Redis.
        seconds: Returns the time.
        onGone: Called with a stream that has been deleted, or replaced by another one.
        onLost: Called with a stream whose log does not fit to what Redis has.
        onDamaged: Called with a stream that a foreign hand has changed, and the error.

    Attributes:
        messages: Number of messages received.
        seconds: See above; so are `onGone`, `onLost` and `onDamaged`.
    """

    def __init__(
        self,
        client: Client,
        seconds: Callable[[], float],
        onGone: Callable[[SharedStream], object],
        onLost: Callable[[SharedStream], object],
        onDamaged: Callable[[SharedStream, StoreDamaged], object],
    ) -> None:
        self.messages = 0
        self.seconds = seconds
        self.onGone, self.onLost, self.onDamaged = onGone, onLost, onDamaged
        self._client = client
        self._tails: dict[bytes, SharedStream] = {}

    def join(self, stream: SharedStream) -> None:
        """Follow a stream from now on. Its log may be empty, or have all entries up to some place."""
        self._tails[stream.place.tail] = stream
        stream.track(Tracking.JOINING, self.seconds())
        self._client.follow(stream.place.tail)

    def leave(self, stream: SharedStream) -> None:
        """Follow a stream no longer. Harmless if it is not followed."""
        if self._tails.get(stream.place.tail) is stream:
            del self._tails[stream.place.tail]
            self._client.leave(stream.place.tail)
        stream.tracking = Tracking.NONE
        stream.messages = []

    def joinAgain(self, concerns: Callable[[bytes], bool]) -> None:
        """
        Follow streams again: a connection was lost, and messages with it, or another server has them now.

        Args:
            concerns: Returns whether the stream with a tail is concerned.
        """
        self._client.follow(*self.noteDeaf(concerns))

    def noteDeaf(self, concerns: Callable[[bytes], bool]) -> list[bytes]:
        """
        Note that messages do not come now: logs must be compared with Redis before anybody gets them.

        Args:
            concerns: Returns whether the stream with a tail is concerned.

        Returns:
            The tails of these streams.
        """
        tails = [tail for tail in self._tails if concerns(tail)]
        for tail in tails:
            self.noteDropped(tail)
        return tails

    def noteDropped(self, channel: bytes) -> None:
        """Note that the messages of a channel come no longer: its stream is followed again soon."""
        stream = self._tails.get(channel)
        if stream is not None and stream.tracking is not Tracking.JOINING:
            stream.track(Tracking.JOINING, self.seconds())

    def confirm(self, channel: bytes) -> None:
        """Read what came before the first message: the channel is subscribed to."""
        stream = self._tails.get(channel)
        if stream is not None and stream.tracking is Tracking.JOINING:
            self.read(stream)

    def read(self, stream: SharedStream) -> Deferred[None]:
        """
        Read the entries that a log does not have.

        Args:
            stream: A stream with a log; it need not be followed.
        """
        stream.track(Tracking.READING, self.seconds())
        reading = readStream(self._client, stream.name, stream.place, stream.log.last)
        return reading.addCallback(self._fill, stream).addErrback(self._noteUnread, stream)

    def receive(self, channel: bytes, message: bytes) -> None:
        """
        Apply a message, or keep it until the entries before are there.

        Args:
            channel: The tail of a stream.
            message: The message.
        """
        self.messages += 1
        stream = self._tails.get(channel)
        if stream is None:
            return
        if stream.tracking is not Tracking.LIVE or stream.writing:
            stream.messages.append(message)
        else:
            self._apply(stream, message)

    def release(self, stream: SharedStream) -> None:
        """Apply the messages that were kept."""
        messages, stream.messages = stream.messages, []
        for message in messages:
            self.receive(stream.place.tail, message)

    def check(self, now: float) -> None:
        """
        Look after streams that have heard nothing for long.

        Args:
            now: The time.
        """
        behind = self._client.problem is not None
        for stream in list(self._tails.values()):
            if behind and stream.reaching:
                # The entries are stored. The log gets them later.
                stream.answerReached(everything=True)
            silent = now - stream.heardAt
            # Somebody waits for an entry whose message should have come at once.
            limit = CONFIRMATION if stream.reaching else SILENCE
            if stream.tracking is Tracking.JOINING and silent > CONFIRMATION:
                stream.heardAt = now
                self._client.follow(stream.place.tail)
            elif stream.tracking is Tracking.LIVE and silent > limit and not stream.writing:
                stream.heardAt = now
                asked = self._client.run(COMPARE, listAllKeys(stream.place), ())
                asked.addCallbacks(self._compare, self._noteUncompared, (stream,), errbackArgs=(stream,))

    def stop(self) -> None:
        """Forget all streams; the connection ends."""
        self._tails.clear()

    def _fill(self, read: ReadStream, stream: SharedStream) -> None:
        """Add what was read to the log."""
        if stream.tracking is not Tracking.READING or stream.gone:
            return
        state, entries, streamLog = read.state, read.entries, stream.log
        if not self.keepsEpoch(stream, state.epoch, state.epochs):
            return
        if stream.finding is None and entries.first > streamLog.last + 1:
            # The entries between were trimmed while they were not read.
            self.onLost(stream)
            return
        if stream.finding is not None:
            restore(stream, streamLog, state, entries)
        elif entries.last > streamLog.last and not streamLog.sealed:
            append(stream, entries.select(streamLog.last + 1, entries.last), state.ended)
        if (state.ended is None) is not (streamLog.state is State.OPEN) and streamLog.last <= state.last:
            raise self._client.complaints.report(stream.place.stream)
        stream.stored = streamLog.last
        if stream.place.tail in self._tails:
            stream.track(Tracking.LIVE, self.seconds())
        else:
            stream.track(Tracking.NONE, self.seconds())
        stream.answer()
        stream.answerReached()
        self.release(stream)

    def keepsEpoch(self, stream: SharedStream, epoch: str, epochs: Mapping[str, int]) -> bool:
        """
        Follow a stream into a new epoch.

        Args:
            stream: The stream.
            epoch: Its epoch in Redis.
            epochs: Its earlier epochs there, each with the last number that is the same in both.

        Returns:
            Whether its log goes on. Otherwise it was dropped.
        """
        if epoch == stream.epoch:
            return True
        if stream.epoch not in epochs and {stream.epoch, *stream.log.earlier}.isdisjoint({epoch, *epochs}):
            self.onGone(stream)
        elif epochs.get(stream.epoch, -1) < stream.log.last:
            # Redis may even have lost the epoch of the log.
            self.onLost(stream)
        else:
            stream.renew(epoch, epochs)
            return True
        return False

    def _noteUnread(self, failure: Failure, stream: SharedStream) -> None:
        if failure.check(StreamNotFound):
            self.onGone(stream)
            return
        if isinstance(failure.value, StoreDamaged):
            self.onDamaged(stream, failure.value)
            return
        if not failure.check(StoreUnavailable):
            log.failure("A stream of the store cannot be read", failure)
        if stream.finding is not None:
            stream.answer(StoreUnavailable("The store cannot read this stream now."))
            self.onGone(stream)
        elif stream.tracking is Tracking.READING:
            # `check` tries again.
            stream.track(Tracking.JOINING if stream.place.tail in self._tails else Tracking.NONE, self.seconds())

    def _compare(self, fields: list[Any], stream: SharedStream) -> None:
        """Read a stream again if Redis has more of it, or another end."""
        streamLog = stream.log
        if stream.tracking is not Tracking.LIVE or stream.writing:
            return
        if not fields:
            self.read(stream)
            return
        epoch, last, state = fields
        if (
            epoch != stream.epoch.encode("ascii")
            or last > streamLog.last
            or state != streamLog.state.value.encode("ascii")
        ):
            self.read(stream)

    def _noteUncompared(self, failure: Failure, stream: SharedStream) -> None:
        """Give up a damaged stream: nothing more will ever come of it."""
        failure.trap(StoreUnavailable)
        if isinstance(failure.value, StoreDamaged):
            self.onDamaged(stream, failure.value)

    def _apply(self, stream: SharedStream, message: bytes) -> None:
        try:
            if message[:1] != b"+":
                self._applyChange(stream, message)
                return
            entries, streamLog = parseEntries(message), stream.log
        except ValueError:
            self._client.complaints.reportMessage(stream.place.tail)
            return
        stream.heardAt = self.seconds()
        if entries.epoch != stream.epoch or entries.first > streamLog.last + 1:
            self.read(stream)
            return
        known = streamLog.last + 1 - entries.first
        if known < len(entries.kinds):
            self._add(stream, streamLog, entries, known)

    def _add(self, stream: SharedStream, streamLog: StreamLog, entries: TailEntries, known: int) -> None:
        """Add the entries of a message, but for those that are known."""
        stream.applying = True
        try:
            for kind, data in zip(entries.kinds[known:], entries.data[known:], strict=True):
                last = streamLog.append(OPEN_KINDS[kind], data)
        except (KeyError, ValueError, StreamEnded):
            # The end of the stream, or a foreign message.
            streamLog.refuse(StoreUnavailable("The entries are looked at once more."))
            if not _addEnd(stream, entries, known):
                self._client.complaints.reportMessage(stream.place.tail)
            return
        finally:
            stream.applying = False
        commit(stream, last, entries.ended)

    def _applyChange(self, stream: SharedStream, message: bytes) -> None:
        """
        Apply a message that has no entries.

        Raises:
            ValueError: It is foreign.
        """
        change = parseChange(message)
        stream.heardAt = self.seconds()
        if change.epoch == stream.epoch and change.isDeleted:
            self.onGone(stream)
        elif change.epoch == stream.epoch and change.renewed and change.last <= stream.log.last:
            self.keepsEpoch(stream, change.renewed, {change.epoch: change.last})
        else:
            self.read(stream)


def append(stream: SharedStream, entries: Segment, ended: float | None) -> None:
    """
    Add entries to the log that follow its last one.

    Args:
        stream: The stream.
        entries: One or more entries.
        ended: When the stream ended; `None` while it is open.
    """
    packed = PackedEntries()
    packed.kinds, packed.data = bytearray(entries.kinds), bytearray(entries.data)
    origin = entries.ends[-1] - len(entries.data)
    packed.ends = array("Q", [end - origin for end in entries.ends]) if origin else entries.ends
    streamLog = stream.log
    stream.applying = True
    try:
        last = streamLog.extend(packed)
    finally:
        stream.applying = False
    commit(stream, last, ended)


def _addEnd(stream: SharedStream, entries: TailEntries, known: int) -> bool:
    """Add the entries of a message that may be foreign; return whether they end the stream, as they must."""
    packed = PackedEntries()
    try:
        packed.add(
            readEntry((b"kind", b"%d" % kind, b"data", data))
            for kind, data in zip(entries.kinds[known:], entries.data[known:], strict=True)
        )
        segment = Segment(entries.first + known, packed.kinds, packed.ends, packed.data)
        checkEnds(segment, Kind(packed.kinds[-1]) if entries.ended is not None else None, isWanted=True)
        append(stream, segment, entries.ended)
    except (ValueError, StreamEnded):
        return False
    return True


def commit(stream: SharedStream, last: int, ended: float | None) -> None:
    """
    Make the newest entries of a log visible: Redis has them.

    Args:
        stream: The stream.
        last: Number of the last entry.
        ended: When the stream ended; `None` while it is open.
    """
    streamLog = stream.log
    stream.stored = last
    streamLog.commit(last)
    if streamLog.state is not State.OPEN:
        streamLog.ended = ended
    if stream.reaching and stream.tracking is not Tracking.READING:
        # After a read it is done when everything else is: whoever waits may stop to follow the stream.
        stream.answerReached()


def restore(stream: SharedStream, streamLog: StreamLog, state: SharedState, entries: Segment) -> None:
    """
    Fill an empty log with what Redis has.

    Args:
        stream: The stream.
        streamLog: Its log.
        state: Its state.
        entries: All its entries.
    """
    before = streamLog.size
    streamLog.restore(entries, state.tokens - countTokens(bytearray(entries.kinds)), {}, state.trimmedCR)
    streamLog.ended, streamLog.earlier = state.ended, state.epochs
    stream.account.used += streamLog.size - before
    if streamLog.state is not State.OPEN:
        stream.account.open -= 1
