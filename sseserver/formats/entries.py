"""
The format `entries`: every token and every published event is an event of the default type, in JSON.

An `EventSource` gets events only of the types that it listens for. In this format a page shows a stream without knowing
the types of its events beforehand.
"""

from __future__ import annotations

from zope.interface import classImplements

from sseserver.formats.events import EventsRendering
from sseserver.formats.rendering import EntryRendering
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.jsontext import toJSON
from sseserver.streams.entries import unpack
from sseserver.values import Kind


class _EntriesRendering(EventsRendering):
    """A rendering with one event for each entry, as a JSON object; for a viewer that is behind, text is joined."""

    __slots__ = ()

    def piece(self, number: int, text: bytes, index: int) -> bytes:
        """See `EntryRendering.piece`. Line ends stay as they are: JSON has escapes for them."""
        return self._write(number, {"token": text.decode("utf-8")}) if text else b""

    def addPiece(self, number: int, text: bytes, index: int, parts: list[bytes]) -> None:
        """See `EntryRendering.addPiece`. The text itself is no part: it is encoded."""
        EntryRendering.addPiece(self, number, text, index, parts)

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """See `EntryRendering.single`."""
        if kind != Kind.EVENT:
            return super().single(number, kind, data)
        type, data = unpack(data)
        return self._write(number, {"event": type.decode("utf-8"), "data": data.decode("utf-8")})

    def _write(self, number: int, entry: dict[str, str]) -> bytes:
        return b"id: %b-%d\ndata: %b\n\n" % (self._epoch, number, toJSON(entry))


classImplements(_EntriesRendering, IRendering)


class EntriesFormat:
    """
    The format `entries`.

    The JSON objects are those that `POST /streams/NAME` takes: `{"event", "data"}` or `{"token"}`. All other events are
    those of the format `events`.
    """

    name = "entries"
    headers = ()
    reconnects = True

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        return _EntriesRendering(streamLog)


classImplements(EntriesFormat, IFormat)
