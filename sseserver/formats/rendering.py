"""
Formats: how the entries of a stream log look to a viewer.

A format is stateless. What is kept for one log in one format, above all the
encoded frames that all its viewers share, is in a rendering.
"""

from __future__ import annotations

import json
import re
from typing import ClassVar

import msgspec
from zope.interface import classImplements

from sseserver.errors import GapError
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.streams.entries import TEXT_PIECES, TEXT_ROW, lastText, onlyTokens, textOf, unpack
from sseserver.values import TERMINAL, Kind, State
from sseserver.wire import continued, dataLines

#: A text of more bytes is not served in the format `text`, whose cost is the square of the length.
TEXT_LIMIT = 1024 * 1024

#: The number in the ID of the event that refuses a text in this format. No entry ever has it: whoever comes back with
#: it was told so, by this run of the server or an earlier one.
REFUSED = 10**18

#: Bytes of encoded frames that one rendering keeps for viewers that are behind.
MEMO_BYTES = 1024 * 1024

#: The event types of the terminal entries.
_TERMINAL_TYPES = {kind: state.value.encode("ascii") for kind, state in TERMINAL.items()}

_LF = 10

_TOKEN = Kind.TOKEN.value

_encode = msgspec.json.Encoder().encode


def toJSON(value: object) -> bytes:
    """Encode as compact JSON in one line of ASCII, so that it fits one `data:` line."""
    try:
        # What msgspec writes is UTF-8; it takes a tenth of the time.
        encoded = _encode(value)
        if encoded.isascii():
            return encoded
    except UnicodeEncodeError:
        # Half of a surrogate pair.
        pass
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def gapFrame(epoch: str, asked: str, gap: GapError) -> bytes:
    """
    Make the event that tells of a gap. Its own ID is the one just before what
    follows: a viewer that has it resumes there, and is not told twice.
    """
    data = {
        "after": asked,
        "from": f"{epoch}-{gap.cursor + 1}",
        "missed": gap.missed,
        "reason": gap.reason,
    }
    return b"event: gap\nid: %b-%d\ndata: %b\n\n" % (epoch.encode("ascii"), gap.cursor, toJSON(data))


class EntryRendering:
    """
    What renderings have in common that write entry by entry: encoded frames
    are shared by all viewers, and text that a viewer is behind is joined.

    Whoever derives from it writes the heads and the gaps, and says how entries
    look: L{piece} and L{single}.

    Attributes:
        pieces: The kinds whose text L{piece} writes; tokens are among them.
        row: Matches these kinds, as many as stand in a row.
    """

    __slots__ = ("_epoch", "_frame", "_log", "_memo", "_memoLast", "_memoSize", "_newest")

    pieces: ClassVar[bytes] = TEXT_PIECES
    row: ClassVar[re.Pattern[bytes]] = TEXT_ROW

    def __init__(self, streamLog: IStreamLog) -> None:
        self._log = streamLog
        self._epoch = streamLog.epoch.encode("ascii")
        # The frame of the newest entry: what all viewers want that are not behind.
        self._newest = 0
        self._frame = b""
        # What the viewers that are behind were given, as long as no entry comes.
        self._memo: dict[tuple[int, int, bool], tuple[int, bytes]] = {}
        self._memoLast = 0
        self._memoSize = 0

    def start(self, fromNow: bool) -> int:
        """See L{IRendering.start}."""
        return self._log.last if fromNow else self._log.first - 1

    def read(self, cursor: int, maxBytes: int, joined: bool) -> tuple[int, bytes]:
        """See L{IRendering.read}."""
        last = self._log.last
        if cursor + 1 == last:
            if self._newest == last:
                return last, self._frame
            frame = self._encode(last)
            # For a single viewer it would be one more thing to put away.
            if self._log.sole is None:
                self._frame = frame
                self._newest = last
            return last, frame
        if cursor >= last:
            return cursor, b""
        if self._memoLast != last:
            self._memo.clear()
            self._memoSize = 0
            self._memoLast = last
        key = (cursor, maxBytes, joined)
        found = self._memo.get(key)
        if found is None:
            found = self._join(cursor, maxBytes) if joined else self._list(cursor, maxBytes)
            # For a single viewer it would be a second copy of what it reads.
            if self._log.sole is None:
                self._remember(key, found)
        return found

    def complete(self, cursor: int) -> bool:
        """See L{IRendering.complete}."""
        return self._log.state is not State.OPEN and cursor == self._log.last

    def _remember(self, key: tuple[int, int, bool], found: tuple[int, bytes]) -> None:
        """Share what was encoded with the viewers that come by the same place; not more than is worth it."""
        self._memoSize += len(found[1])
        if self._memoSize > MEMO_BYTES:
            self._memo.clear()
            self._memoSize = len(found[1])
        self._memo[key] = found

    def _index(self, number: int) -> int:
        """Find an entry's place in the log's lists."""
        index = number - self._log.first
        if index < 0:
            raise GapError("trimmed", self._log.first - 1, -index)
        return index

    def piece(self, number: int, text: bytes, index: int) -> bytes:
        """
        Write text.

        Args:
            number: Of the last entry in it.
            text: Of one entry, or of many in a row; empty when they have none.
            index: The place of its first entry in the log's lists.
        """
        raise NotImplementedError("Say how text looks.")

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """Write an entry of a kind that is not in L{row}."""
        raise NotImplementedError("Say how the other entries look.")

    def _encode(self, number: int) -> bytes:
        index = self._index(number)
        kind, data = self._log.kind(number), self._log.entry(number)
        if kind == _TOKEN:
            return self.piece(number, data, index)
        if kind in self.pieces:
            return self.piece(number, textOf(kind, data), index)
        return self.single(number, Kind(kind), data)

    def _list(self, cursor: int, maxBytes: int) -> tuple[int, bytes]:
        """Encode entry by entry."""
        frames: list[bytes] = []
        size = 0
        while cursor < self._log.last and size < maxBytes:
            cursor += 1
            frames.append(self._encode(cursor))
            size += len(frames[-1])
        return cursor, b"".join(frames)

    def _join(self, cursor: int, maxBytes: int) -> tuple[int, bytes]:
        """Encode the text of each row as one piece, with the last entry's ID; other entries one by one."""
        frames: list[bytes] = []
        size = 0
        while cursor < self._log.last and size < maxBytes:
            first = cursor + 1
            start = self._index(first)
            # No further than it matters: the log may be long.
            last = self._log.fit(first, self._log.last, maxBytes - size)
            count = self._inRow(start, last + 1 - self._log.first)
            if count:
                cursor += count
                frames.append(self.piece(cursor, self._log.text(first, cursor), start))
            else:
                cursor += 1
                frames.append(self._encode(cursor))
            size += len(frames[-1])
        return cursor, b"".join(frames)

    def _inRow(self, start: int, end: int) -> int:
        """Count the entries from one index on, and before another, whose text makes one piece."""
        if onlyTokens(self._log.kinds[start:end]):
            return end - start
        row = self.row.match(self._log.kinds, start, end)
        return row.end() - start if row else 0


class _EventsRendering(EntryRendering):
    """One event for each entry; text that a viewer is behind is joined into one."""

    __slots__ = ()

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See L{IRendering.head}: an event of the type `stream`."""
        data = {"url": url, "epoch": self._log.epoch, "state": self._log.state.value}
        return b"event: stream\nretry: %d\nid: %b-%d\ndata: %b\n\n" % (retry, self._epoch, cursor, toJSON(data))

    def retire(self, retry: int) -> bytes:
        """See L{IRendering.retire}: the one thing that an EventSource obeys."""
        return b"retry: %d\n\n" % retry

    def gap(self, asked: str, gap: GapError) -> bytes:
        """See L{IRendering.gap}."""
        return gapFrame(self._log.epoch, asked, gap)

    def piece(self, number: int, text: bytes, index: int) -> bytes:
        """
        See L{EntryRendering.piece}.

        A LF at its start is the other half of a line end, and not one of its
        own, when the text before it ends with CR: a text reads the same
        however it is cut into tokens.
        """
        if not text:
            return b""
        if text[0] == _LF:
            before = lastText(self._log.kinds, index)
            if self._log.trimmedCR if before < 0 else self._log.entry(self._log.first + before).endswith(b"\r"):
                text = text[1:]
        if b"\n" in text or b"\r" in text:
            text = continued(text)
        # In one go: the text may be long, and each copy of it counts.
        return b"id: %b-%d\ndata: %b\n\n" % (self._epoch, number, text)

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """See L{EntryRendering.single}."""
        if kind == Kind.EVENT:
            name, data = unpack(data)
        else:
            name = _TERMINAL_TYPES[kind]
        field = b"" if name == b"message" else b"event: %b\n" % name
        return b"%bid: %b-%d\n%b\n" % (field, self._epoch, number, dataLines(data))


classImplements(_EventsRendering, IRendering)


class EventsFormat:
    """
    `events`: a token is an event of the default type; each response begins
    with an event `stream`; the terminal has its own type.
    """

    name = "events"
    headers = ()
    reconnects = True

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See L{IFormat.render}."""
        return _EventsRendering(streamLog)


classImplements(EventsFormat, IFormat)


class _TextRendering:
    """
    Each event is the whole text so far; a viewer that is behind gets only the
    newest. Grows with the log, and stops where the text can no longer be whole.
    """

    __slots__ = ("_cr", "_epoch", "_frame", "_lines", "_log", "_over", "_seen", "_size", "_textAt")

    def __init__(self, streamLog: IStreamLog) -> None:
        self._log = streamLog
        self._epoch = streamLog.epoch.encode("ascii")
        # The `data:` lines of the text so far, without their last line end.
        self._lines = bytearray(b"data: ")
        # Bytes of the text.
        self._size = 0
        # Whether the text ends with CR: a LF that follows is the other half of that line end.
        self._cr = False
        # The last entry that was looked at; the last one that changed the text; the frame made then.
        self._seen = 0
        self._textAt = 0
        self._frame: bytes | None = None
        # The entry that the whole text cannot take in: too long, or trimmed before it was seen.
        self._over: int | None = None

    def start(self, fromNow: bool) -> int:
        """See L{IRendering.start}. From the very start, whatever was trimmed: a text is whole or is refused."""
        return self._log.last if fromNow else 0

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See L{IRendering.head}: for a new viewer, the empty text with the first ID."""
        if cursor:
            return b"retry: %d\n\n" % retry
        return b"retry: %d\nid: %b-0\ndata: \n\n" % (retry, self._epoch)

    def read(self, cursor: int, maxBytes: int, joined: bool) -> tuple[int, bytes]:
        """See L{IRendering.read}. Always to the end, however large: two halves of a text are of no use."""
        if cursor == self._log.last:
            # Whoever has everything is not told that it could not be had again.
            return cursor, b""
        self._grow()
        end = self._seen if self._over is None else REFUSED
        if cursor >= end:
            return cursor, b""
        frames = b""
        if cursor < self._textAt:
            if self._frame is None:
                self._frame = b"id: %b-%d\n%b\n\n" % (self._epoch, self._textAt, bytes(self._lines))
            frames = self._frame
        if self._over is not None:
            frames += self._refuse(cursor, self._over)
        elif self._log.state is not State.OPEN:
            frames += self._terminal(end)
        return end, frames

    def retire(self, retry: int) -> bytes:
        """See L{IRendering.retire}: the one thing that an EventSource obeys."""
        return b"retry: %d\n\n" % retry

    def gap(self, asked: str, gap: GapError) -> bytes:
        """See L{IRendering.gap}."""
        return gapFrame(self._log.epoch, asked, gap)

    def complete(self, cursor: int) -> bool:
        """See L{IRendering.complete}."""
        return cursor == REFUSED or (self._log.state is not State.OPEN and cursor == self._log.last)

    def _grow(self) -> None:
        """Take in what the log has got since."""
        log = self._log
        if log.last > self._seen + 1 and self._over is None:
            self._leap()
        while self._seen < log.last and self._over is None:
            number = self._seen + 1
            if number < log.first:
                self._over = number
            elif not (token := textOf(log.kind(number), log.entry(number))):
                self._seen = number
            elif self._size + len(token) > TEXT_LIMIT:
                self._over = number
            else:
                self._seen = self._textAt = number
                self._frame = None
                self._take(token)

    def _leap(self) -> None:
        """Take in many tokens as one piece, when there is nothing else among them and the text can take them all."""
        log = self._log
        start, end = self._seen + 1 - log.first, log.last + 1 - log.first
        if log.state is not State.OPEN:
            # The terminal is not text.
            end -= 1
        last = log.first + end - 1
        if start < 0 or end - start < 2 or not onlyTokens(log.kinds[start:end]) or not log.entry(last):
            return
        text = log.span(self._seen + 1, last)
        # A line end over two tokens counts as one byte: such a text goes token by token, so that it always ends alike.
        if self._size + len(text) <= TEXT_LIMIT and b"\r" not in text:
            self._seen = self._textAt = last
            self._frame = None
            self._take(text)

    def _take(self, token: bytes) -> None:
        """Add a token, or many, to the text."""
        if token[0] == _LF and self._cr:
            token = token[1:]
        self._cr = token.endswith(b"\r")
        self._size += len(token)
        # The token's first line continues the line under way.
        self._lines += continued(token)

    def _refuse(self, cursor: int, over: int) -> bytes:
        """Tell a viewer that the rest of the text does not fit this format."""
        epoch = self._log.epoch
        after = max(cursor, self._textAt)
        gap = gapFrame(epoch, f"{epoch}-{after}", GapError("trimmed", max(cursor, over - 1), None))
        message = "The text is too long for the format text; the formats events and text/plain have it."
        failed = toJSON({"reason": "too_long", "message": message})
        return gap + b"event: failed\nid: %b-%d\ndata: %b\n\n" % (self._epoch, REFUSED, failed)

    def _terminal(self, number: int) -> bytes:
        kind = Kind(self._log.kind(number))
        data = self._log.entry(number)
        return b"event: %b\nid: %b-%d\n%b\n" % (_TERMINAL_TYPES[kind], self._epoch, number, dataLines(data))


classImplements(_TextRendering, IRendering)


class TextFormat:
    """
    `text`: what a page of nine lines can show, since each event is the whole
    text so far.
    """

    name = "text"
    headers = ()
    reconnects = True

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See L{IFormat.render}."""
        return _TextRendering(streamLog)


classImplements(TextFormat, IFormat)


#: The formats that a viewer can ask for, by name.
FORMATS: dict[str, IFormat] = {form.name: form for form in (EventsFormat(), TextFormat())}
