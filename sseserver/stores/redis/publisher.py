"""
Publisher: appends entries to streams that any process may write, and ends streams of other processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sseserver.errors import KeyReused, Overloaded, StoreUnavailable, StreamNotFound
from sseserver.interfaces import Publication
from sseserver.stores.publishing import checkOpen, makeDigest
from sseserver.stores.redis.connection import Argument, Reply
from sseserver.stores.redis.layout import Layout
from sseserver.stores.redis.scripts import END, PUBLISH
from sseserver.stores.redis.shards import Shards, isRefusedBy
from sseserver.stores.redis.streams import SharedStream, StreamTerms, listAllKeys
from sseserver.streams.ids import makeEpoch
from sseserver.streams.terminal import packDone
from sseserver.timing.ticker import Ticker
from sseserver.values import TERMINAL, Kind, NewEntry, PackedEntries, Reason, State

#: Data of the entry `done`; the script puts in the number of tokens, which only Redis knows.
DONE = packDone(Reason.STOP, 0).data.replace(b"0", b"%d")

_MOVED = "Another process has written the stream meanwhile; retry."


class PublishTerms(NamedTuple):
    """
    The terms of a publish.

    Attributes:
        close: Whether to end the stream `done` after the entries.
        key: An idempotency key.
        room: Whether there is room for new entries.
        expected: Number that the first entry must get; 0 for any.
    """

    close: bool = False
    key: str | None = None
    room: bool = True
    expected: int = 0


class End(NamedTuple):
    """
    The end of a stream.

    Attributes:
        number: Number of the last entry.
        mine: Whether this call has ended the stream.
    """

    number: int
    mine: bool


class Publisher:
    """
    Publishes entries.

    Args:
        ticker: Tells the time.
        shards: Runs the scripts.
        layout: Names of keys and channels.
        terms: The limits of streams.
    """

    def __init__(self, ticker: Ticker, shards: Shards, layout: Layout, terms: StreamTerms) -> None:
        self._ticker = ticker
        self._shards = shards
        self._layout = layout
        self._terms = terms

    def publish(self, name: str, entries: Sequence[NewEntry], terms: PublishTerms) -> Deferred[Publication]:
        """
        Publish entries; see `IStreamStore.publish`.

        Args:
            name: Name of the stream.
            entries: The entries.
            terms: Everything else.
        """
        key, close = terms.key, terms.close
        place = self._layout.locate(name)
        packed = entries if isinstance(entries, PackedEntries) else PackedEntries(entries)
        digest = makeDigest(packed, close).hex() if key is not None else ""
        arguments: list[Argument] = [*self._listTerms(), key or "", digest, terms.expected, int(close), int(terms.room)]
        arguments += [self.findUnused(), DONE, bytes(packed.kinds), *[data for _, data in packed]]
        published = self._shards.run(PUBLISH, place.shard, listAllKeys(place), arguments)
        return published.addCallback(self._readPublication, name)

    def findUnused(self) -> str:
        """Return the time at which a published stream ends that is used now, and not any more."""
        return repr(self._ticker.wall() + self._terms.idle)

    def end(self, name: str, entry: NewEntry, epoch: str = "", owner: bytes = b"", unused: str = "") -> Deferred[End]:
        """
        End a stream, whoever writes it.

        Args:
            name: Name of the stream.
            entry: The terminal entry.
            epoch: End it only if it has this epoch.
            owner: End it only if this node writes it.
            unused: End it only if its time without use is over at this time.

        Returns:
            Fires with the end, which may be that of an earlier call. Nothing has happened if `owner` or `unused` do not
            allow it.

        Raises:
            StreamNotFound: (errback) There is no such stream.
            StoreUnavailable: (errback) It cannot be ended now.
        """
        place = self._layout.locate(name)
        head = (*self._listTerms(), self._layout.nameControl(b""), owner, epoch, unused)
        arguments = (*head, bytes((entry.kind,)), entry.data, makeEpoch())
        return self._shards.run(END, place.shard, listAllKeys(place), arguments).addCallback(_readEnd, name)

    def _readPublication(self, reply: Reply, name: str) -> Publication:
        try:
            return _readPublication(reply, name)
        except ValueError:
            raise self._shards.complaints.report(self._layout.locate(name).stream) from None

    def _listTerms(self) -> tuple[Argument, ...]:
        """Return the arguments with which every change begins."""
        return (repr(self._ticker.wall()), self._terms.window, self._terms.keep)

    def offer(self, stream: SharedStream, onDone: Callable[[SharedStream], object]) -> None:
        """
        Publish entries that were appended to a log of this process which it does not own.

        Messages wait meanwhile. If another process was faster, the entries are refused.

        Args:
            stream: The stream.
            onDone: Called with the stream when the entries are visible or refused.
        """
        streamLog = stream.log
        first, last = streamLog.last + 1, streamLog.buffer.appended
        entries = [
            NewEntry(Kind(streamLog.buffer.kind(number)), streamLog.buffer.entry(number))
            for number in range(first, last + 1)
        ]
        stream.writing = True
        now = self._ticker.wall()
        if len(entries) == 1 and entries[0].kind in TERMINAL:
            ended = self.end(stream.name, entries[0], stream.epoch)
            offered: Deferred[int] = ended.addCallback(lambda end: end.number if end.mine else 0)
        else:
            published = self.publish(stream.name, entries, PublishTerms(expected=first))
            offered = published.addCallback(lambda publication: publication.last)

        def note(number: int) -> None:
            if number != last:
                raise StoreUnavailable(_MOVED)
            streamLog.commit(last)
            if streamLog.sealed:
                streamLog.ended = now

        def refuse(failure: Failure) -> None:
            error = failure.value
            streamLog.refuse(error if isinstance(error, StoreUnavailable) else StoreUnavailable(_MOVED))

        def finish(_: object) -> None:
            stream.writing = False
            onDone(stream)

        offered.addCallback(note).addErrback(refuse).addBoth(finish)


def _readPublication(reply: Reply, name: str) -> Publication:
    if len(reply) == 4:
        epoch, first, last, repeated = reply
        return Publication(epoch.decode("ascii"), first, last, bool(repeated))
    if isRefusedBy(reply, "run"):
        checkOpen(name, False, State.OPEN)
    if isRefusedBy(reply, "ended"):
        checkOpen(name, True, State(reply[1].decode("ascii")))
    if isRefusedBy(reply, "reused"):
        raise KeyReused("This idempotency key was used with another body.")
    if isRefusedBy(reply, "room"):
        raise Overloaded("The limit of bytes of published streams is reached; retry later.")
    if isRefusedBy(reply, "moved"):
        raise StoreUnavailable(_MOVED)
    raise StreamNotFound(name)


def _readEnd(reply: Reply, name: str) -> End:
    if type(reply) is int:
        return End(reply, True)
    if isRefusedBy(reply, "missing"):
        raise StreamNotFound(name)
    return End(reply[1], False)
