"""
The format `text`: each event is the entire text so far, so that a page can show it with one line of code.
"""

from __future__ import annotations

import re

from zope.interface import classImplements

from sseserver.errors import GapError, ReadingUnfinished, ViewerRefused
from sseserver.formats.rendering import READ_ENTRIES, REFUSED, TERMINAL_TYPES, writeGap
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.interfaces.reading import Reading
from sseserver.jsontext import toJSON
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.entries import TEXT_KINDS, findRestart, readText
from sseserver.values import Kind, Reason, State
from sseserver.wire import continued, encodeRetry, writeBlock

#: Bytes. Longest text that this format serves; its cost grows with the square of the length.
TEXT_LIMIT = 1024 * 1024

#: Bytes. Limit of the tokens that are read in one piece.
_PIECE = 64 * 1024

#: Bytes. A piece counts as one entry of a reading, and each such number of bytes in it as one more: see `READ_ENTRIES`.
_UNIT = 64

# Looked up once, not for each entry.
_TOKEN, _CHUNK, _RESTART = Kind.TOKEN.value, Kind.CHUNK.value, Kind.RESTART.value

#: Tokens in a row; entries without text in a row.
_TOKENS = re.compile(b"[%b]+" % bytes((_TOKEN,)))
_SILENT = re.compile(b"[^%b]+" % bytes((*TEXT_KINDS, Kind.RESTART)))

_LF = 10

_NO_TEXT = b"data: "


class _TextRendering:
    """
    A rendering whose events are the entire text so far.

    A viewer that is behind gets only the newest text. The rendering follows the log, and stops where the text exceeds
    the limit or an entry was trimmed before it was read.
    """

    __slots__ = ("_buffer", "_cr", "_epoch", "_event", "_lines", "_log", "_over", "_seen", "_size", "_textAt")

    def __init__(self, streamLog: IStreamLog) -> None:
        self._log = streamLog
        self._buffer = streamLog.buffer
        self._epoch = streamLog.epoch.encode("ascii")
        # The `data` lines of the text so far, without the last line end.
        self._lines = bytearray(_NO_TEXT)
        # Bytes of the text. A CR LF that two tokens share counts as two, but is written as one line end.
        self._size = 0
        # Whether the text ends with CR, which a LF at the start of the next token would complete.
        self._cr = False
        # Numbers of the last entry read and of the last one that has changed the text, and the event of the latter. The
        # text begins at the last restart.
        restart = findRestart(self._buffer.kinds, streamLog.last + 1 - self._buffer.first)
        self._seen = max(0, self._buffer.first - 1 + restart)
        self._textAt = 0
        self._event: bytes | None = None
        # Number of the entry at which the rendering stopped.
        self._over: int | None = None

    def start(self, fromNow: bool) -> int:
        """See `IRendering.start`. The start of the stream even if it was trimmed: a text is complete or refused."""
        return self._log.last if fromNow else 0

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See `IRendering.head`: for a new viewer, the empty text with the first ID."""
        if cursor:
            return encodeRetry(retry) + b"\n"
        return writeBlock(b"", id=self._epoch + b"-0", retry=retry)

    def read(self, cursor: int, maxBytes: int, joined: bool) -> Reading:
        """See `IRendering.read`. Reads to the end, whatever the size: half of a text is of no use."""
        if cursor == self._log.last:
            # A caught-up viewer gets no `gap`, even if the text is no longer complete.
            return Reading(cursor, b"")
        self._grow()
        events = b""
        if cursor < self._textAt:
            if self._event is None:
                # A template, not `wire.encode`: the lines are encoded already, and grow with each token.
                self._event = b"id: %b-%d\n%b\n\n" % (self._epoch, self._textAt, bytes(self._lines))
            events = self._event
        if self._over is not None:
            raise ViewerRefused(events + self._refuse(cursor, self._over))
        if self._log.state is not State.OPEN:
            events += self._terminal(self._seen)
        return Reading(self._seen, events)

    def retire(self, retry: int) -> bytes:
        """See `IRendering.retire`: a reconnection time, which every EventSource obeys."""
        return encodeRetry(retry) + b"\n"

    def gap(self, asked: str, gap: GapError) -> bytes:
        """See `IRendering.gap`."""
        return writeGap(self._log.epoch, asked, gap)

    def renew(self) -> None:
        """See `IRendering.renew`."""
        self._epoch = self._log.epoch.encode("ascii")
        self._event = None

    def complete(self, cursor: int) -> bool:
        """See `IRendering.complete`."""
        return cursor == REFUSED or (self._log.state is not State.OPEN and cursor == self._log.last)

    def _grow(self) -> None:
        """
        Read the entries that the log has got since the last call, as many as a turn has time for.

        Raises:
            ReadingUnfinished: There are more.
        """
        left = READ_ENTRIES
        while self._seen < self._log.last and self._over is None:
            if left <= 0:
                raise ReadingUnfinished
            size = self._size
            self._readOn(self._seen + 1)
            left -= 1 + (self._size - size) // _UNIT

    def _readOn(self, number: int) -> None:
        """Read one entry, or several at once that are only tokens, or that have no text."""
        buffer = self._buffer
        if number < buffer.first:
            self._over = number
            return
        kind, last = buffer.kind(number), self._endRow(number)
        if kind == _RESTART:
            self._startOver(number)
            return
        if kind == _TOKEN and last > number:
            last = self._fitText(number, last)
            text = buffer.span(number, last)
        else:
            text = readText(kind, buffer.entry(number))
        if text and self._size + len(text) > TEXT_LIMIT:
            self._over = number
            return
        self._seen = last
        if text:
            self._textAt = last
            self._event = None
            self._add(text)

    def _startOver(self, number: int) -> None:
        """Drop the text: the run has begun anew. Its viewers get the empty text, with the number of the restart."""
        self._seen = self._textAt = number
        self._lines = bytearray(_NO_TEXT)
        self._size, self._cr, self._event = 0, False, None

    def _endRow(self, number: int) -> int:
        """Return the number of the last entry that can be read together with an entry."""
        buffer, last = self._buffer, self._log.last
        kind = buffer.kind(number)
        if number == last or kind == _CHUNK:
            return number
        start, end = number - buffer.first, min(last + 1, number + _PIECE) - buffer.first
        row = (_TOKENS if kind == _TOKEN else _SILENT).match(buffer.kinds, start, end)
        return buffer.first + row.end() - 1 if row else number

    def _fitText(self, number: int, last: int) -> int:
        """Return the number of the last token of a piece that has text and that the limit allows, or of the first."""
        buffer = self._buffer
        room = min(_PIECE, TEXT_LIMIT - self._size)
        last = buffer.fit(number, last, room)
        if buffer.measure(number, last) - ENTRY_COST * (last - number + 1) > room:
            last -= 1
        # The ID of the event is that of an entry with text.
        while last > number and not buffer.entry(last):
            last -= 1
        return max(number, last)

    def _add(self, token: bytes) -> None:
        """Add one or more tokens to the text."""
        self._size += len(token)
        if token[0] == _LF and self._cr:
            token = token[1:]
        self._cr = token.endswith(b"\r")
        # The first line of the token continues the last line of the text.
        self._lines += continued(token)

    def _refuse(self, cursor: int, over: int) -> bytes:
        """
        Write the events that tell a viewer that this format cannot serve the rest of the text.

        Args:
            cursor: The viewer's cursor.
            over: Number of the entry at which the rendering stopped.
        """
        epoch = self._log.epoch
        after = max(cursor, self._textAt)
        gap = writeGap(epoch, f"{epoch}-{after}", GapError("trimmed", max(cursor, over - 1), None))
        message = "The text is too long for the format text. Request the format events, or text/plain."
        failed = toJSON({"reason": Reason.TOO_LONG, "message": message})
        return gap + writeBlock(failed, b"failed", b"%b-%d" % (self._epoch, REFUSED))

    def _terminal(self, number: int) -> bytes:
        """Write the terminal entry."""
        kind, data = Kind(self._buffer.kind(number)), self._buffer.entry(number)
        return writeBlock(data, TERMINAL_TYPES[kind], b"%b-%d" % (self._epoch, number))


classImplements(_TextRendering, IRendering)


class TextFormat:
    """The format `text`."""

    name = "text"
    headers = ()
    reconnects = True

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        return _TextRendering(streamLog)


classImplements(TextFormat, IFormat)
