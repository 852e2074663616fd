"""
The format `html`: the text of each token, escaped, so that a page may append the data of the events as HTML.

htmx shows a stream with it and its extension for event streams. Version 4 of htmx appends the data of events without a
type, closes the stream at one event type, and repeats the request with the last event ID.
"""

from __future__ import annotations

import json
import re

from zope.interface import classImplements

from sseserver.errors import GapError, ViewerRefused
from sseserver.formats.events import EventsRendering
from sseserver.formats.rendering import RESTARTED, EntryRendering, describeFailure, describeGap
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.streams.entries import TEXT_PIECES, TEXT_ROW
from sseserver.values import Kind
from sseserver.wire import encodeRetry, writeBlock

#: Type of the last event of every stream, however it ends.
_DONE = b"done"

#: Type of the event before it that tells why a stream has no complete text.
_FAILED = b"failed"


_LF = 10

#: Characters that JavaScript counts as space.
_BLANK = re.compile(r"[\s\ufeff]+")


def escapeHTML(text: bytes) -> bytes:
    """
    Escape a text, so that it may stand between tags and in attributes with quotes.

    Args:
        text: UTF-8, or a part of it.
    """
    for character, reference in _REFERENCES:
        if character in text:
            text = text.replace(character, reference)
    return text


#: The characters with a meaning in HTML. That of the references themselves is the first.
_REFERENCES = ((b"&", b"&amp;"), (b"<", b"&lt;"), (b">", b"&gt;"), (b'"', b"&quot;"), (b"'", b"&#39;"))


class _HTMLRendering(EventsRendering):
    """A rendering whose data is HTML throughout."""

    __slots__ = ()

    # A chunk without text is nothing here.
    pieces = TEXT_PIECES
    row = TEXT_ROW

    def start(self, fromNow: bool) -> int:
        """See `IRendering.start`. A new viewer does not get void text, which its page could not take back."""
        return self._log.last if fromNow else self.findBegin() or self._buffer.first - 1

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See `IRendering.head`: a field of the first event. htmx ignores one that stands alone."""
        return encodeRetry(retry)

    def gap(self, asked: str, gap: GapError) -> bytes:
        """See `IRendering.gap`."""
        return writeBlock(escapeHTML(describeGap(gap).encode("utf-8")), b"gap", b"%b-%d" % (self._epoch, gap.cursor))

    def piece(self, number: int, text: bytes, index: int) -> bytes:
        """See `EntryRendering.piece`, and for line ends `EventsRendering.piece`."""
        if text and text[0] == _LF and self._followsCR(index):
            text = text[1:]
        # htmx appends nothing if it is neither an element nor anything but space.
        if text and (text[0] == _LF or _BLANK.fullmatch(text.decode("utf-8"))):
            text = b"<span>%b</span>" % escapeHTML(text)
        else:
            text = escapeHTML(text)
        return EventsRendering.piece(self, number, text, index)

    def addPiece(self, number: int, text: bytes, index: int, parts: list[bytes]) -> None:
        """See `EntryRendering.addPiece`. The text itself is no part: it is escaped."""
        EntryRendering.addPiece(self, number, text, index, parts)

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """See `EntryRendering.single`. Published events are left out: nobody knows whether their data is HTML."""
        id = b"%b-%d" % (self._epoch, number)
        if kind in (Kind.EVENT, Kind.INPUT):
            return b""
        if kind == Kind.RESTART:
            if self.voidsText(number):
                raise ViewerRefused(self._fail(RESTARTED) + writeBlock(b"restarted", _DONE, id))
            return b""
        terminal = json.loads(data)
        reason = escapeHTML(str(terminal.get("reason")).encode("utf-8"))
        told = b"" if kind == Kind.DONE else self._fail(describeFailure(kind, terminal))
        return told + writeBlock(reason, _DONE, id)

    def _fail(self, message: str) -> bytes:
        """Write the event that tells why the text is not complete."""
        return writeBlock(escapeHTML(message.encode("utf-8")), _FAILED)


classImplements(_HTMLRendering, IRendering)


class HTMLFormat:
    """
    The format `html`.

    The text of a token, escaped, is an event of the default type; space alone is in a `span`. The last event is `done`,
    whose data is the reason. If the stream failed or was cancelled, `failed` stands before it, with a sentence.
    """

    name = "html"
    headers = ()
    reconnects = True

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        return _HTMLRendering(streamLog)


classImplements(HTMLFormat, IFormat)
