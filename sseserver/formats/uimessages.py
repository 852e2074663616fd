"""
The format `ui`: the UI message stream of the Vercel AI SDK.

Its readers are not EventSources and know no IDs: each response starts at the beginning of the message. No event has
a type, and none is without data.
"""

from __future__ import annotations

import json

from zope.interface import classImplements

from sseserver.errors import GapError, ViewerRefused
from sseserver.formats.rendering import RESTARTED, EntryRendering, describeFailure, describeGap
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.interfaces.reading import Reading
from sseserver.jsontext import toJSON
from sseserver.protocols.uimessages import ABORT_PART, END_PARTS, HEADER, deltaPart, errorPart, startParts
from sseserver.streams.ids import findFirstEpoch
from sseserver.values import Kind
from sseserver.wire import HEARTBEAT, writeBlock


def _writePart(part: object) -> bytes:
    """Write a part of a UI message stream as an event."""
    return writeBlock(toJSON(part))


#: The event after the last part of a message.
_DONE = writeBlock(b"[DONE]")

#: The events after the last text of a message.
_END = b"".join(map(_writePart, END_PARTS)) + _DONE


class _UIRendering(EntryRendering):
    """A rendering in parts without IDs. A message that cannot be whole ends with an error."""

    __slots__ = ()

    def start(self, fromNow: bool) -> int:
        """See `IRendering.start`. The start of the answer even if it was trimmed: a message is whole or fails."""
        return self._log.last if fromNow else self.findBegin()

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See `IRendering.head`. The first entry opens the message; for a viewer that starts later, the head does."""
        return self._opening() if cursor else HEARTBEAT

    def read(self, cursor: int, maxBytes: int, joined: bool) -> Reading:
        """See `IRendering.read`. A viewer that misses entries gets an error, and nothing after it."""
        if cursor + 1 < self._buffer.first:
            missed = self._buffer.first - 1 - cursor
            problem = errorPart(f"{missed} entries are no longer kept (trimmed): the message cannot be whole.")
            raise ViewerRefused(_writePart(problem) + _DONE)
        return EntryRendering.read(self, cursor, maxBytes, joined)

    def retire(self, retry: int) -> bytes:
        """See `IRendering.retire`."""
        return _writePart(errorPart("The server ended this response early.")) + _DONE

    def gap(self, asked: str, gap: GapError) -> bytes:
        """See `IRendering.gap`."""
        return _writePart(errorPart(describeGap(gap)))

    def piece(self, number: int, text: bytes, index: int) -> bytes:
        """See `EntryRendering.piece`."""
        opening = self._opening() if index + self._buffer.first == 1 else b""
        return opening + _writePart(deltaPart(text.decode("utf-8"))) if text else opening

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """See `EntryRendering.single`. Published events are left out."""
        opening = self._opening() if number == 1 else b""
        if kind == Kind.RESTART and self.voidsText(number):
            raise ViewerRefused(_writePart(errorPart(RESTARTED)) + _DONE)
        if kind in (Kind.EVENT, Kind.RESTART, Kind.INPUT):
            return opening
        if kind == Kind.DONE:
            return opening + _END
        if kind == Kind.CANCELLED:
            return opening + _writePart(ABORT_PART) + _DONE
        return opening + _writePart(errorPart(describeFailure(kind, json.loads(data)))) + _DONE

    def _opening(self) -> bytes:
        """Write the parts before the first text."""
        return b"".join(map(_writePart, startParts(f"msg-{findFirstEpoch(self._log)}")))


classImplements(_UIRendering, IRendering)


class UIFormat:
    """The format `ui`, version 1 of the UI message stream."""

    name = "ui"
    headers = (HEADER,)
    reconnects = False

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        return _UIRendering(streamLog)


classImplements(UIFormat, IFormat)
