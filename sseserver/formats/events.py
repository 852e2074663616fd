"""
The format `events`: one event for each entry.
"""

from __future__ import annotations

from zope.interface import classImplements

from sseserver.errors import GapError
from sseserver.formats.rendering import TERMINAL_TYPES, EntryRendering, gapFrame
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.jsontext import toJSON
from sseserver.streams.entries import lastText, unpack
from sseserver.values import Kind
from sseserver.wire import continued, dataLines

_LF = 10


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
            before = lastText(self._buffer.kinds, index)
            if (
                self._buffer.trimmedCR
                if before < 0
                else self._buffer.entry(self._buffer.first + before).endswith(b"\r")
            ):
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
            name = TERMINAL_TYPES[kind]
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
