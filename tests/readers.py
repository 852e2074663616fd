"""
A strict client: what it knows comes from the bytes that arrived, and from
nothing else.
"""

from __future__ import annotations

from sseserver.interfaces import IRendering
from sseserver.wire import Decoder, Event
from tests.wires import Response, Wire, makeRequest

#: Tokens and data that break careless code: each kind of line end, whole and cut in two, spaces that must survive, what
#: `str.splitlines` takes for a line end and what looks like a field.
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


def readAll(rendering: IRendering, cursor: int, maxBytes: int, joined: bool) -> tuple[int, bytes]:
    """Read until there is no more."""
    stream = b""
    while True:
        before = cursor
        cursor, frames = rendering.read(cursor, maxBytes, joined)
        stream += frames
        if cursor == before:
            assert not frames
            return cursor, stream


def oneLineEnd(text: str) -> str:
    """Give a text as an event stream carries it: LF for each CR LF, CR and LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def request(wire: Wire, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> None:
    """Make a request whose answer may take its time."""
    wire._methods.append(method)
    wire.send(makeRequest(path, None, method, body, headers=headers))


class Connection:
    """
    One connection of a strict client, which asked for an event stream with
    its first request on it.

    Args:
        wire: The connection.
        lastEventID: What the client came with; empty for none.

    Attributes:
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
        """Of the last event that came whole; it is kept when there is none on this connection."""
        return self._decoder.lastEventID

    @property
    def response(self) -> Response | None:
        """The response, as far as it has come; C{None} before its head is whole."""
        return self.wire.responses[0] if self.wire.responses else None

    def read(self) -> list[Event]:
        """Give the events that have come since. An unfinished one at the end is none."""
        if len(self.wire.received) == self._size:
            return []
        self._size = len(self.wire.received)
        response = self.response
        if response is None or response.status != 200:
            return []
        data = response.body[self._fed :]
        self._fed += len(data)
        return self._decoder.feed(data)
