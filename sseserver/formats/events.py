"""
The format `events`: one event for each entry.

Streams are followed in it unless a request names another format.
"""

from __future__ import annotations

import re

from zope.interface import classImplements

from sseserver.errors import GapError
from sseserver.formats.rendering import TERMINAL_TYPES, EntryRendering, writeGap
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.jsontext import toJSON
from sseserver.streams.entries import TEXT_KINDS, findLastText, findRestart, unpack
from sseserver.values import Kind
from sseserver.wire import continued, encodeRetry, frames, writeBlock

_LF = 10

# A silent chunk is an event of its own. The event of an upstream is nothing here: its chunks follow.
_TEXT = bytes((*TEXT_KINDS, Kind.RESPONSE_EVENT))
_TEXTS = re.compile(b"[%b]+" % _TEXT)


#: The event types of other entries.
_OWN_TYPES = {Kind.RESTART: b"restart", Kind.SILENT_CHUNK: b"chunk"}


class EventsRendering(EntryRendering):
    """A rendering with one event for each entry; for a viewer that is behind, text is joined."""

    __slots__ = ()

    pieces = _TEXT
    row = _TEXTS

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See `IRendering.head`: the event `stream`."""
        data = {"url": url, "epoch": self._log.epoch, "state": self._log.state.value}
        return writeBlock(toJSON(data), b"stream", b"%b-%d" % (self._epoch, cursor), retry)

    def retire(self, retry: int) -> bytes:
        """See `IRendering.retire`: a reconnection time, which every EventSource obeys."""
        return encodeRetry(retry) + b"\n"

    def gap(self, asked: str, gap: GapError) -> bytes:
        """See `IRendering.gap`."""
        return writeGap(self._log.epoch, asked, gap)

    def piece(self, number: int, text: bytes, index: int) -> bytes:
        """
        See `EntryRendering.piece`.

        A LF at the start completes a CR at the end of the text before, and is left out: a text reads the same however
        it is cut into tokens.
        """
        if not text:
            return b""
        if text[0] == _LF and self._followsCR(index):
            text = text[1:]
        if frames.hasLineEnd(text):
            text = continued(text)
        # Not `wire.encode`: this is done for every token of every stream.
        return frames.writeTextEvent(self._epoch, number, text)

    def addPiece(self, number: int, text: bytes, index: int, parts: list[bytes]) -> None:
        """See `EntryRendering.addPiece`. A text without line ends is a part of its own."""
        if frames.hasLineEnd(text) or not text:
            parts.append(self.piece(number, text, index))
        else:
            parts += (b"id: %b-%d\ndata: " % (self._epoch, number), text, b"\n\n")

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """See `EntryRendering.single`. The request is left out."""
        if kind == Kind.EVENT:
            type, data = unpack(data)
        elif kind == Kind.INPUT:
            return b""
        else:
            type = TERMINAL_TYPES.get(kind) or _OWN_TYPES[kind]
        return writeBlock(data, type, b"%b-%d" % (self._epoch, number))

    def _followsCR(self, index: int) -> bool:
        """Tell whether the text before an index of the buffer ends with CR."""
        buffer = self._buffer
        kinds = buffer.kinds
        before = findLastText(kinds, index)
        if findRestart(kinds, index) > before:
            return False
        return buffer.trimmedCR if before < 0 else buffer.entry(buffer.first + before).endswith(b"\r")


classImplements(EventsRendering, IRendering)


class EventsFormat:
    """
    The format `events`.

    A token is an event of the default type, a published event keeps its type, and the terminal entry, a restart and a
    chunk without text have types of their own (`done`, `failed`, `cancelled`; `restart`; `chunk`). Each response begins
    with an event `stream`.
    """

    name = "events"
    headers = ()
    reconnects = True

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        return EventsRendering(streamLog)


classImplements(EventsFormat, IFormat)
