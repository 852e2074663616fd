"""
A strict reader of event streams: everything it knows comes from the bytes that arrived.
"""

from __future__ import annotations

from sseserver.errors import ViewerRefused
from sseserver.interfaces import IRendering
from sseserver.wire import Decoder, Event
from tests.http import Response
from tests.wires import Wire

#: Tokens that break careless code: every kind of line end, whole and cut in two; spaces that must survive; characters
#: that only `str.splitlines` takes for line ends; lines that look like fields.
HOSTILE = (
    "\r",
    "\n",
    "\r\n",
    "a\r",
    "\nb",
    "\n\n",
    "\r\r",
    " lead",
    "  two",
    "trail ",
    "x\u2028y",
    "\u0085",
    "\x0b\x0c\x1c",
    "\x00",
    "\U0001f600",
    "e\u0301\ufeff",
    "\ufeff",
    "data: no\n\nid: 7\n\n",
    ":",
    "id: 99",
    "event: done",
    "w",
)


def step(rendering: IRendering, cursor: int, maxBytes: int, joined: bool) -> tuple[int, bytes]:
    """Read a rendering once, and return the new cursor and the encoded events."""
    reading = rendering.read(cursor, maxBytes, joined)
    return reading.cursor, reading.data


def readRefusal(rendering: IRendering, cursor: int, joined: bool = True) -> bytes:
    """Read a rendering that refuses the viewer, and return the last events for it."""
    try:
        reading = rendering.read(cursor, 1 << 30, joined)
    except ViewerRefused as refusal:
        return refusal.events
    raise AssertionError(f"The viewer was not refused: {reading}")


def readAll(rendering: IRendering, cursor: int, maxBytes: int, joined: bool) -> tuple[int, bytes]:
    """Read a rendering to its end, and return the cursor and the encoded events."""
    stream = b""
    while True:
        before = cursor
        cursor, frames = step(rendering, cursor, maxBytes, joined)
        stream += frames
        if cursor == before:
            assert not frames
            return cursor, stream


def oneLineEnd(text: str) -> str:
    """Return a text as an event stream carries it, with LF for each CR LF, CR and LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


class Connection:
    """
    One connection of a strict client, whose first request asked for an event stream.

    Args:
        wire: The connection.
        lastEventID: The `Last-Event-ID` of that request; empty for none.

    Attributes:
        wire: The connection.
        asked: That ID.
    """

    def __init__(self, wire: Wire, lastEventID: str = "") -> None:
        self.wire = wire
        self.asked = lastEventID
        self._decoder = Decoder(lastEventID=lastEventID)
        self._size = 0
        self._fed = 0

    @property
    def lastEventID(self) -> str:
        """ID of the last complete event; the ID of the request before there is one."""
        return self._decoder.lastEventID

    @property
    def response(self) -> Response | None:
        """The response as far as it has arrived; `None` before its head is complete."""
        return self.wire.responses[0] if self.wire.responses else None

    def read(self) -> list[Event]:
        """Return the complete events that have arrived since the last call."""
        if len(self.wire.received) == self._size:
            return []
        self._size = len(self.wire.received)
        response = self.response
        if response is None or response.status != 200:
            return []
        data = response.body[self._fed :]
        self._fed += len(data)
        return self._decoder.feed(data)
