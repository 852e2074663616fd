"""
StreamLog: the record of one stream.

The log gives each entry its number, keeps the newest entries in memory, trims the oldest ones to the window of the
stream, and has the viewers woken when there is more to read (`sseserver.streams.followed`). Stores create logs; runs
and publishers append to them; formats read them. A log knows nothing of HTTP, of formats or of token sources.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import classImplements

from sseserver.errors import GapError, StoreUnavailable, StreamEnded
from sseserver.interfaces import IStreamLog, Origin
from sseserver.streams.buffer import ENTRY_COST, EntryBuffer
from sseserver.streams.cost import findExcess, measureKey, measureKeys, measureStream
from sseserver.streams.entries import countTokens, findRestart
from sseserver.streams.followed import FollowedLog
from sseserver.streams.ids import parseID
from sseserver.streams.keeper import Keeper
from sseserver.streams.segments import Segment
from sseserver.streams.terminal import packCancelled
from sseserver.timing.ticker import IDLE, Ticker
from sseserver.values import TERMINAL, KeyUse, Kind, PackedEntries, Reason, State

# The kinds that leave a stream open, the most frequent first.
_GOES_ON = tuple(kind for kind in Kind if kind not in TERMINAL)

# Looked up for each token.
_OPEN = State.OPEN
_TOKEN = Kind.TOKEN
_COST = ENTRY_COST
_IDLE = IDLE

#: Earlier epochs of a stream that has none. It is never changed.
_NONE: dict[str, int] = {}


class StreamLog(FollowedLog):
    """
    The record of one stream: an ordered log of entries.

    Args:
        name: Name of the stream in URLs.
        epoch: Epoch of the stream, from `makeEpoch`.
        ticker: See `FollowedLog`.
        window: Bytes to keep of entries and keys, `ENTRY_COST` for each entry and `KEY_COST` for each key included. The
            oldest entries are trimmed; the newest visible entry is kept however large it is.
        keeper: The store of the log; by default the log has no store.
        published: Whether entries are published into the stream. Otherwise a run writes it.

    Attributes:
        account: Account to which the log adds its bytes.
        buffer: The entries in memory.
        kept: What its keeper knows of the stream, if that is anything.

    The other attributes are described in `IStreamLog`.
    """

    __slots__ = (
        "__weakref__",
        "_awaiting",
        "_durable",
        "_keeper",
        "_window",
        "account",
        "buffer",
        "created",
        "earlier",
        "ended",
        "epoch",
        "kept",
        "keyBytes",
        "keys",
        "last",
        "name",
        "origin",
        "published",
        "question",
        "sealed",
    )

    def __init__(
        self,
        name: str,
        epoch: str,
        ticker: Ticker,
        window: int,
        keeper: Keeper | None = None,
        *,
        published: bool = False,
    ) -> None:
        super().__init__(ticker)
        self.name = name
        self.epoch = epoch
        self.earlier = _NONE
        self.published = published
        self.question = ""
        self.origin: Origin | None = None
        self.sealed = False
        self.buffer = EntryBuffer()
        self.last = 0
        self.keys: dict[str, KeyUse] = {}
        self.keyBytes = 0
        self.created: float = ticker.wall()
        self.ended: float | None = None
        self._window = window  # Bytes of entries to keep: what the keys leave.
        self._keeper: Keeper = Keeper() if keeper is None else keeper
        self.kept: Any = None
        self.account = self._keeper.account(published)
        self._durable = self._keeper.durable
        # The callers of `awaitStored`, each with the number of its last entry; `None` if there was none yet.
        self._awaiting: list[tuple[int, Deferred[None]]] | None = None

    @property
    def size(self) -> int:
        """See `IStreamLog.size`."""
        return measureStream(self.name, self.question) + self.buffer.size + self.keyBytes

    @property
    def answered(self) -> int:
        """See `IStreamLog.answered`."""
        kinds = self.buffer.kinds
        restart = findRestart(kinds, len(kinds))
        return self.buffer.tokens if restart < 0 else countTokens(kinds, restart)

    def append(self, kind: Kind, data: bytes) -> int:
        """See `IStreamLog.append`."""
        if self.sealed:
            raise StreamEnded(f"The stream {self.name} has ended; no entry can be added.")
        number = self.buffer.add(kind, data)
        self.account.used += len(data) + _COST
        if kind is not _TOKEN and kind not in _GOES_ON:
            self.sealed = True
        if self._durable:
            self._keeper.write(self)
        else:
            self.commit(number)
        return number

    def extend(self, entries: PackedEntries) -> int:
        """See `IStreamLog.extend`."""
        if self.sealed:
            raise StreamEnded(f"The stream {self.name} has ended; no entry can be added.")
        number = self.buffer.extend(entries)
        self.account.used += len(entries.data) + ENTRY_COST * len(entries)
        self.sealed = self.buffer.kind(number) not in _GOES_ON
        if self._durable:
            self._keeper.write(self)
        else:
            self.commit(number)
        return number

    def commit(self, number: int) -> None:
        """
        Make entries visible and wake the viewers.

        Args:
            number: Number of the last entry that the store has.
        """
        self.last = number
        if self.sealed and number == self.buffer.appended:
            self.state = TERMINAL[Kind(self.buffer.kind(number))]
            self.ended = self._ticker.wall()
            self.account.end(self.state)
        if self.buffer.size > self._window:
            self._trim()
        awaiting = self._awaiting
        while awaiting and awaiting[0][0] <= number:
            awaiting.pop(0)[1].callback(None)
        # A stopped ticker has forgotten its ticks. The end is announced at once: no entry follows it.
        followed = self.sole is not None or self._viewers
        if followed and (self._flushing is None or self._flushing.slot == _IDLE or self.state is not _OPEN):
            self._announce()

    def refuse(self, error: StoreUnavailable) -> None:
        """
        Drop the entries that are not visible, because the store cannot take them.

        Args:
            error: Errback of the calls of `awaitStored` that are not answered yet.
        """
        self.account.used -= self.buffer.cut(self.last)
        self.sealed = self.state is not _OPEN
        self.keys = {key: use for key, use in self.keys.items() if use.last <= self.last}
        self._charge(measureKeys(self.keys) - self.keyBytes)
        awaiting, self._awaiting = self._awaiting, None
        for _, stored in awaiting or ():
            stored.errback(error)

    def awaitStored(self) -> Deferred[None]:
        """See `IStreamLog.awaitStored`."""
        appended = self.buffer.appended
        if self.last == appended:
            return succeed(None)
        stored: Deferred[None] = Deferred()
        if self._awaiting is None:
            self._awaiting = []
        self._awaiting.append((appended, stored))
        return stored

    def remember(self, key: str, digest: bytes, first: int) -> None:
        """See `IStreamLog.remember`."""
        self._charge(0 if key in self.keys else measureKey(key))
        self.keys[key] = KeyUse(digest, first, self.buffer.appended)
        # Otherwise `commit` trims, once the entries are visible.
        if self.buffer.size > self._window and self.last == self.buffer.appended:
            self._trim()

    def restore(self, segment: Segment, tokensBefore: int, keys: dict[str, KeyUse], trimmedCR: bool = False) -> None:
        """
        Give a new log the entries that the store kept. Their bytes are in the store's account already.

        They may be larger than the window: the end of an interrupted run was added to them, or the window was larger.
        Nothing is trimmed before the next append, so a restart drops no entry that viewers have seen.

        Args:
            segment: All entries kept.
            tokensBefore: Number of tokens among the entries before them.
            keys: Uses of idempotency keys.
            trimmedCR: Whether the text of the entries before them ends with CR.
        """
        # Nobody has the empty one: the log is not in use yet.
        self.buffer = EntryBuffer(segment, tokensBefore, trimmedCR)
        self.keys, self.keyBytes = keys, measureKeys(keys)
        self._window -= self.keyBytes
        self.last = self._place = segment.last
        if segment.kinds:
            self.state = TERMINAL.get(Kind(segment.kinds[-1]), _OPEN)
        self.sealed = self.state is not _OPEN

    def release(self) -> int:
        """
        Leave the memory of the store, which keeps the stream elsewhere. Nobody uses the log any more.

        Returns:
            The bytes that the log took: its size until now.
        """
        size = self.size
        self._keeper = Keeper()
        self.kept = None
        self.account = self._keeper.runs
        self._durable = False
        return size

    def drop(self) -> int:
        """
        Leave the store, which forgets this stream.

        Viewers that are still here read on from memory. An open stream ends `cancelled` for them.

        Returns:
            The bytes that the log took: its size until now.
        """
        size = self.release()
        if not self.sealed:
            end = packCancelled(Reason.DELETED)
            self.append(end.kind, end.data)
        return size

    def renew(self, epoch: str) -> None:
        """
        Give the stream another epoch, because its store may have lost entries after the last one.

        Viewers go on: up to the last entry the IDs of both epochs mean the same.

        Args:
            epoch: The new epoch, from `makeEpoch`.
        """
        self.earlier = {**self.earlier, self.epoch: self.last}
        self.epoch = epoch
        for rendering in self._renderings.values():
            rendering.renew()

    def locate(self, lastEventID: str) -> int:
        """See `IStreamLog.locate`."""
        start = self.buffer.first - 1
        parsed = parseID(lastEventID)
        if parsed is None:
            raise GapError("unknown", start, None)
        epoch, number = parsed
        if number > (self.last if epoch == self.epoch else min(self.last, self.earlier.get(epoch, -1))):
            raise GapError("lost", start, None)
        if number < start:
            raise GapError("trimmed", start, start - number)
        return number

    def measureAhead(self) -> int:
        """See `IStreamLog.measureAhead`."""
        buffer = self.buffer
        return buffer.measure(max(self.findFastest() + 1, buffer.first), buffer.appended)

    def _trim(self) -> None:
        """
        Drop the oldest entries.

        A sixteenth of the window is dropped at a time: dropping single entries would move all the others each time.
        """
        # Entries that are not visible yet stay, and so does the newest visible entry.
        buffer = self.buffer
        excess = buffer.size - self._window + (self._window + self.keyBytes) // 16
        excess = findExcess(buffer, self.keys, excess)
        cost = buffer.shed(excess, self.last - buffer.first)
        if cost:
            self.account.used -= cost
            if self.keys:
                self.keys = {key: use for key, use in self.keys.items() if use.last >= buffer.first}
                self._charge(measureKeys(self.keys) - self.keyBytes)
            self._keeper.trim(self)

    def _charge(self, cost: int) -> None:
        """Count the bytes of new keys, or of forgotten ones, which is a negative number."""
        self.keyBytes += cost
        self._window -= cost
        self.account.used += cost


classImplements(StreamLog, IStreamLog)
