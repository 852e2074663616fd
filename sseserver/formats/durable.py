"""
The format of the events of Durable Streams: the parts of a UI message as JSON messages, each batch with its offset.

It is not among the formats that a viewer can ask for by name: its viewers resume by an offset, which only the API
`durable` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import classImplements

from sseserver.errors import GapError, ViewerRefused
from sseserver.formats.rendering import JOINED_TEXT
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.interfaces.reading import Reading, makeReading
from sseserver.protocols.durablestreams import Offset, Position, makeCursor, writeControl, writeData
from sseserver.protocols.uimessages import DONE
from sseserver.values import State
from sseserver.wire import HEARTBEAT

#: Bytes. Limit of the messages of a batch; texts in a row are written together, so it may be exceeded by as much.
_BATCH = JOINED_TEXT // 2

#: Between the JSON of one event and that of the next.
_BETWEEN = b"\n\ndata: "
_BEFORE, _BEHIND = b"data: ", b"\n\n"


def findPosition(streamLog: IStreamLog, cursor: int) -> Position:
    """
    Return the position of a reader.

    Args:
        streamLog: The stream.
        cursor: Number of the last entry read.
    """
    isUpToDate = cursor == streamLog.last
    isClosed = isUpToDate and streamLog.state is not State.OPEN
    return Position(Offset(cursor, streamLog.epoch).write(), isUpToDate, isClosed)


def extractMessages(events: bytes) -> bytes:
    """
    Return the JSON of events, with commas between the values.

    Args:
        events: Whole events, each with one line of data and nothing else. `DONE` is no message.
    """
    return events.removesuffix(DONE).removeprefix(_BEFORE).removesuffix(_BEHIND).replace(_BETWEEN, b",")


class _DurableRendering:
    """
    A rendering of a log: a `data` event for each reading of another rendering, and a `control` event with the offset.

    Both are written together: a reader that gets the first without the second reads the same messages again.

    Args:
        streamLog: The log.
        messages: Writes the messages.
        makeCursor: Returns the next cursor for the reader.
    """

    __slots__ = ("_inner", "_log", "_makeCursor", "_messages", "_outer")

    def __init__(self, streamLog: IStreamLog, messages: IRendering, makeCursor: Callable[[], int]) -> None:
        self._log = streamLog
        self._messages = messages
        self._makeCursor = makeCursor
        # The last reading of the other rendering, and what was made of it, for the next viewer at the same place.
        self._inner = self._outer = Reading(0, b"")

    def start(self, fromNow: bool) -> int:
        """See `IRendering.start`."""
        return self._log.last if fromNow else self._messages.start(False)

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See `IRendering.head`. A reader that has everything is told so at once."""
        return self._writeControl(cursor) if cursor == self._log.last else HEARTBEAT

    def read(self, cursor: int, maxBytes: int, joined: bool) -> Reading:
        """See `IRendering.read`. A reader that was refused returns with its offset, and is told by the status why."""
        try:
            inner = self._messages.read(cursor, min(maxBytes, _BATCH), False)
        except ViewerRefused:
            raise ViewerRefused(HEARTBEAT) from None
        if inner.cursor == cursor:
            return inner
        if inner is not self._inner:
            messages = extractMessages(inner.data)
            data = writeData(messages) if messages else b""
            self._inner, self._outer = inner, makeReading(inner.cursor, data + self._writeControl(inner.cursor))
        return self._outer

    def retire(self, retry: int) -> bytes:
        """See `IRendering.retire`. The reader returns by itself."""
        return HEARTBEAT

    def gap(self, asked: str, gap: GapError) -> bytes:
        """See `IRendering.gap`: the error of the message. The API refuses such a reader before."""
        return writeData(extractMessages(self._messages.gap(asked, gap)))

    def renew(self) -> None:
        """See `IRendering.renew`."""
        self._messages.renew()
        self._inner = self._outer = Reading(0, b"")

    def complete(self, cursor: int) -> bool:
        """See `IRendering.complete`."""
        return self._messages.complete(cursor)

    def _writeControl(self, cursor: int) -> bytes:
        """Write the event `control` for the place after an entry."""
        return writeControl(findPosition(self._log, cursor), self._makeCursor())


classImplements(_DurableRendering, IRendering)


class DurableFormat:
    """
    The events of Durable Streams.

    Args:
        messages: Writes the messages: each of its events has one line of data and nothing else.
        wall: Returns the time of day, in seconds since 1970.
        given: The last cursor of the viewer, if it is from the future. Viewers with different ones share nothing.
    """

    headers: Sequence[tuple[bytes, bytes]] = ()
    reconnects = False

    def __init__(self, messages: IFormat, wall: Callable[[], float], given: int = 0) -> None:
        self.name = f"durable-{given}" if given else "durable"
        self._messages = messages
        self._wall = wall
        self._given = given

    def makeCursor(self) -> int:
        """Return the next cursor for the viewer."""
        return makeCursor(self._wall(), self._given)

    def advance(self, given: int) -> DurableFormat:
        """Return the format of a viewer by its last cursor: this one, unless the cursor is from the future."""
        return self if given < self.makeCursor() else DurableFormat(self._messages, self._wall, given)

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        return _DurableRendering(streamLog, self._messages.render(streamLog), self.makeCursor)


classImplements(DurableFormat, IFormat)
