"""
The format `text`: each event is the whole text so far.
"""

from __future__ import annotations

from zope.interface import classImplements

from sseserver.errors import GapError
from sseserver.formats.rendering import REFUSED, TERMINAL_TYPES, gapFrame
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.jsontext import toJSON
from sseserver.streams.entries import onlyTokens, textOf
from sseserver.values import Kind, Reason, State
from sseserver.wire import continued, dataLines

#: A text of more bytes is not served in the format `text`, whose cost is the square of the length.
TEXT_LIMIT = 1024 * 1024

_LF = 10


class _TextRendering:
    """
    Each event is the whole text so far; a viewer that is behind gets only the
    newest. Grows with the log, and stops where the text can no longer be whole.
    """

    __slots__ = ("_buffer", "_cr", "_epoch", "_frame", "_lines", "_log", "_over", "_seen", "_size", "_textAt")

    def __init__(self, streamLog: IStreamLog) -> None:
        self._log = streamLog
        self._buffer = streamLog.buffer
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
        log, buffer = self._log, self._buffer
        if log.last > self._seen + 1 and self._over is None:
            self._leap()
        while self._seen < log.last and self._over is None:
            number = self._seen + 1
            if number < buffer.first:
                self._over = number
            elif not (token := textOf(buffer.kind(number), buffer.entry(number))):
                self._seen = number
            elif self._size + len(token) > TEXT_LIMIT:
                self._over = number
            else:
                self._seen = self._textAt = number
                self._frame = None
                self._take(token)

    def _leap(self) -> None:
        """Take in many tokens as one piece, when there is nothing else among them and the text can take them all."""
        log, buffer = self._log, self._buffer
        start, end = self._seen + 1 - buffer.first, log.last + 1 - buffer.first
        if log.state is not State.OPEN:
            # The terminal is not text.
            end -= 1
        last = buffer.first + end - 1
        if start < 0 or end - start < 2 or not onlyTokens(buffer.kinds[start:end]) or not buffer.entry(last):
            return
        text = buffer.span(self._seen + 1, last)
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
        failed = toJSON({"reason": Reason.TOO_LONG, "message": message})
        return gap + b"event: failed\nid: %b-%d\ndata: %b\n\n" % (self._epoch, REFUSED, failed)

    def _terminal(self, number: int) -> bytes:
        kind = Kind(self._buffer.kind(number))
        data = self._buffer.entry(number)
        return b"event: %b\nid: %b-%d\n%b\n" % (TERMINAL_TYPES[kind], self._epoch, number, dataLines(data))


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
