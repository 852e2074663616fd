"""
The base of the formats: renderings that write a stream log entry by entry, and join text for viewers that are behind.

A format is stateless. Its rendering of one log keeps what the log's viewers in that format share, above all the
encoded events. Derive from `EntryRendering` to write a format of your own; `text` shows one that does not.
"""

from __future__ import annotations

import re
from typing import ClassVar

from sseserver.errors import GapError
from sseserver.interfaces import IStreamLog
from sseserver.interfaces.reading import Reading, makeReading
from sseserver.jsontext import toJSON
from sseserver.streams.buffer import joinText
from sseserver.streams.entries import TEXT_PIECES, TEXT_ROW, areTokens, findRestart, readText
from sseserver.values import TERMINAL, Kind, State
from sseserver.wire import writeBlock

#: Number in the ID of the last event of a viewer that the format has refused. No entry ever has this number, so the
#: viewer is recognised when it returns, even after a restart. It is never a cursor.
REFUSED = 10**18

#: Bytes. Limit of the encoded events that a rendering keeps for viewers that are behind.
MEMO_BYTES = 1024 * 1024

#: Bytes. Limit of an event with joined text, as it is written: clients that read line by line have limits of their own,
#: 64 KiB in Go and 128 KiB in aiohttp.
JOINED_BYTES = 32 * 1024

#: Bytes. Room in it for the fields around a text, and for its last token.
_MARGIN = 1024

#: Bytes. No further entry is joined with a text of this size.
JOINED_TEXT = JOINED_BYTES - _MARGIN

#: Entries (parts, where text is joined). Limit of one reading, beside its limit in bytes: a format that leaves entries
#: out would otherwise read any number of them in one turn.
READ_ENTRIES = 1500

# Looked up once, not for each reading.
_TOKEN = Kind.TOKEN.value
_OPEN = State.OPEN

#: The event types of the terminal entries.
TERMINAL_TYPES = {kind: state.value.encode("ascii") for kind, state in TERMINAL.items()}


#: Message for viewers that cannot take back the text before a restart.
RESTARTED = "The server that wrote this answer is gone, and the answer has begun anew. Request it again."


class EntryRendering:
    """
    Base class of renderings that write entry by entry.

    All viewers share the encoded events. For a viewer that is behind, the text of consecutive entries is joined.
    A subclass provides the rest of `IRendering` (`head`, `retire`, `gap`), and `piece` and `single`. It may provide
    `addPiece`.

    Args:
        streamLog: The log.

    Attributes:
        pieces: Kinds of the entries whose text `piece` writes; tokens are among them.
        row: Pattern that matches consecutive entries of these kinds.
        unseen: Kinds of the entries before a restart of which no viewer has got anything.
    """

    __slots__ = ("_buffer", "_epoch", "_log", "_memo", "_memoBytes", "_memoLast", "_memoSize", "_newest", "_newestAt")

    pieces: ClassVar[bytes] = TEXT_PIECES
    row: ClassVar[re.Pattern[bytes]] = TEXT_ROW
    unseen: ClassVar[bytes] = bytes((Kind.RESTART, Kind.INPUT, Kind.RESPONSE_EVENT))

    def __init__(self, streamLog: IStreamLog) -> None:
        self._log = streamLog
        self._buffer = streamLog.buffer
        self._epoch = streamLog.epoch.encode("ascii")
        # The reading of the newest entry, for viewers that are not behind.
        self._newest = Reading(0, b"")
        # Its cursor. Here as well, so that the viewer of a stream of its own does not look into the reading.
        self._newestAt = 0
        # Readings of viewers that are behind, by their cursors and whether text is joined; until another entry follows,
        # or somebody reads with another limit.
        self._memo: dict[tuple[int, bool], Reading] = {}
        self._memoLast = self._memoBytes = 0
        self._memoSize = 0

    def start(self, fromNow: bool) -> int:
        """See `IRendering.start`."""
        return self._log.last if fromNow else self._buffer.first - 1

    def findBegin(self) -> int:
        """Return the cursor before the text that holds: the last restart of the run, or 0 if there was none."""
        buffer = self._buffer
        index = findRestart(buffer.kinds, self._log.last + 1 - buffer.first)
        return buffer.first + index if index >= 0 else 0

    def voidsText(self, number: int) -> bool:
        """Return whether a restart makes text void that a viewer may have got. It has its number."""
        buffer = self._buffer
        return buffer.first > 1 or bool(buffer.kinds[: number - 1].strip(self.unseen))

    def read(self, cursor: int, maxBytes: int, joined: bool) -> Reading:
        """See `IRendering.read`."""
        last = self._log.last
        if cursor + 1 == last:
            if self._newestAt == last:
                return self._newest
            reading = makeReading(last, self._encode(last))
            # A single viewer needs no shared reading.
            if self._log.sole is None:
                self._newest = reading
                self._newestAt = last
            return reading
        if cursor >= last:
            return Reading(cursor, b"")
        if self._memoLast != last or self._memoBytes != maxBytes:
            self._memo.clear()
            self._memoSize = 0
            self._memoLast = last
            self._memoBytes = maxBytes
        key = (cursor, joined)
        found = self._memo.get(key)
        if found is None:
            found = self._join(cursor, maxBytes) if joined else self._list(cursor, maxBytes)
            # For a single viewer this would be a second copy of what it reads.
            if self._log.sole is None:
                self._remember(key, found)
        return found

    def renew(self) -> None:
        """See `IRendering.renew`."""
        self._epoch = self._log.epoch.encode("ascii")
        self._newestAt = self._memoLast = self._memoSize = 0
        self._memo.clear()

    def complete(self, cursor: int) -> bool:
        """See `IRendering.complete`."""
        return self._log.state is not _OPEN and cursor == self._log.last

    def piece(self, number: int, text: bytes, index: int) -> bytes:
        """
        Write the text of one entry, or of consecutive entries.

        Args:
            number: Number of the last of the entries.
            text: UTF-8; empty if the entries have no text.
            index: Index of the first of the entries in the buffer.
        """
        raise NotImplementedError("A subclass of EntryRendering must implement piece().")

    def addPiece(self, number: int, text: bytes, index: int, parts: list[bytes]) -> None:
        """
        Add the result of `piece` to a list, as one part or as several.

        In several, a long text is copied only once: when all parts of a reading are joined.

        Args:
            number: See `piece`.
            text: See `piece`.
            index: See `piece`.
            parts: One part or more are added to it.
        """
        parts.append(self.piece(number, text, index))

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """
        Write an entry whose kind is not in `pieces`.

        Args:
            number: Number of the entry.
            kind: Its kind.
            data: Its data.
        """
        raise NotImplementedError("A subclass of EntryRendering must implement single().")

    def _remember(self, key: tuple[int, bool], found: Reading) -> None:
        """Share a reading with the viewers that come to the same place, within the limit."""
        self._memoSize += len(found.data)
        if self._memoSize > MEMO_BYTES:
            self._memo.clear()
            self._memoSize = len(found.data)
        self._memo[key] = found

    def _index(self, number: int) -> int:
        """
        Return the index of an entry in the buffer.

        Raises:
            GapError: The entry is no longer kept.
        """
        index = number - self._buffer.first
        if index < 0:
            raise GapError("trimmed", self._buffer.first - 1, -index)
        return index

    def _encode(self, number: int) -> bytes:
        """Encode one entry."""
        index = self._index(number)
        kind, data = self._buffer.kind(number), self._buffer.entry(number)
        if kind == _TOKEN:
            return self.piece(number, data, index)
        if kind in self.pieces:
            return self.piece(number, readText(kind, data), index)
        return self.single(number, Kind(kind), data)

    def _list(self, cursor: int, maxBytes: int) -> Reading:
        """Read entry by entry."""
        events: list[bytes] = []
        size = 0
        while cursor < self._log.last and size < maxBytes and len(events) < READ_ENTRIES:
            cursor += 1
            events.append(self._encode(cursor))
            size += len(events[-1])
        return Reading(cursor, b"".join(events))

    def _join(self, cursor: int, maxBytes: int) -> Reading:
        """Read consecutive text as one piece, with the number of its last entry; other entries one by one."""
        buffer, final = self._buffer, self._log.last
        # Number of the last entry that can have text: a terminal entry has none.
        textual = final if self._log.state is _OPEN else final - 1
        parts: list[bytes] = []
        size = measured = 0
        # Number of the last entry of the row that the cursor is in, and whether all are tokens. A row may make several
        # events.
        end, tokens = cursor, False
        while cursor < final and size < maxBytes and len(parts) < READ_ENTRIES:
            first = cursor + 1
            if end < first < textual:
                start = self._index(first)
                # Looking further would cost time in proportion to the length of the log.
                last = buffer.fit(first, textual, maxBytes - size)
                tokens = areTokens(buffer.kinds[start : last + 1 - buffer.first])
                end = last if tokens else cursor + self._inRow(start, last + 1 - buffer.first)
            if end > first:
                cursor = self._joinRow(first, end, tokens, parts)
            else:
                cursor += 1
                parts.append(self._encode(cursor))
            size += measure(parts, measured)
            measured = len(parts)
        return Reading(cursor, b"".join(parts))

    def _joinRow(self, first: int, last: int, tokens: bool, parts: list[bytes]) -> int:
        """
        Write consecutive text as one event of at most `JOINED_BYTES`. A single entry may take more.

        Args:
            first: Number of the first entry.
            last: Number of the last entry that can be joined.
            tokens: Whether all of these entries are tokens.
            parts: The parts of the event are added to it.

        Returns:
            The number of the event's last entry.
        """
        index = self._index(first)
        last = self._buffer.fit(first, last, JOINED_TEXT)
        text = self._read(first, last, tokens)
        if len(text) > JOINED_BYTES and last > first:
            # The last entry exceeds the limit by far.
            last -= 1
            text = self._read(first, last, tokens)
        start = len(parts)
        while True:
            self.addPiece(last, text, index, parts)
            size = measure(parts, start)
            if last == first or size <= JOINED_BYTES:
                return last
            del parts[start:]
            # Escapes and line ends make a text longer as it is written.
            last = first + (last - first) * JOINED_BYTES // (size + _MARGIN)
            text = self._read(first, last, tokens)

    def _read(self, first: int, last: int, tokens: bool) -> bytes:
        """Return the text of a range of entries. The data of tokens is text."""
        return self._buffer.span(first, last) if tokens else joinText(self._buffer, first, last)

    def _inRow(self, start: int, end: int) -> int:
        """Count the entries from `start` on, up to `end` (exclusive), whose text makes one piece."""
        row = self.row.match(self._buffer.kinds, start, end)
        return row.end() - start if row else 0


def measure(parts: list[bytes], start: int) -> int:
    """
    Return the bytes of some parts together.

    Args:
        parts: The parts.
        start: Index of the first part that counts.
    """
    size = 0
    for index in range(start, len(parts)):
        size += len(parts[index])
    return size


def writeGap(epoch: str, asked: str, gap: GapError) -> bytes:
    """
    Write the event `gap`.

    Its ID is the place before the first entry that follows, so a viewer that returns with it is not told again.

    Args:
        epoch: Epoch of the stream.
        asked: The last event ID that could not be continued.
        gap: Says why, and where the viewer continues.
    """
    data = {"after": asked, "from": f"{epoch}-{gap.cursor + 1}", "missed": gap.missed, "reason": gap.reason}
    return writeBlock(toJSON(data), b"gap", b"%b-%d" % (epoch.encode("ascii"), gap.cursor))


def describeGap(gap: GapError) -> str:
    """Describe a gap in a sentence, for formats without the event `gap`."""
    if gap.reason == "trimmed":
        return f"{gap.missed} entries are no longer kept (trimmed). The stream continues after them."
    return f"The last event ID is not one of this stream ({gap.reason}). The events that follow replace earlier ones."


def describeFailure(kind: Kind, terminal: dict[str, object]) -> str:
    """
    Describe in a sentence why a stream has no complete answer.

    Args:
        kind: `FAILED` or `CANCELLED`.
        terminal: Members of the terminal entry.
    """
    if kind == Kind.CANCELLED:
        return f"The answer was cancelled ({terminal.get('reason')})."
    return str(terminal.get("message") or f"The answer failed ({terminal.get('reason')}).")


def identify(event: bytes, id: bytes) -> bytes:
    """
    Return an event with an ID, which stands directly before its data.

    Args:
        event: An event with one line of data and no ID.
        id: The ID.
    """
    if event.startswith(b"data: "):
        return b"id: %b\n%b" % (id, event)
    head, _, data = event.partition(b"\ndata: ")
    return b"%b\nid: %b\ndata: %b" % (head, id, data)
