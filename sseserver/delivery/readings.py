"""
Readings that are larger than a transport takes at once.

`EventStreamProducer` derives from `ReadingProducer`, and writes its large readings with it.
"""

from __future__ import annotations

from twisted.web.http import Request

from sseserver.delivery.response import Delivery, ResponseProducer
from sseserver.delivery.rests import Rest
from sseserver.delivery.states import ViewerState
from sseserver.formats.rendering import JOINED_BYTES, JOINED_TEXT
from sseserver.interfaces.reading import Reading

#: Bytes read from the log for one write: four events with as much text as can be joined, and nearly as many bytes as
#: Twisted's transports send at once (`FileDescriptor.SEND_LIMIT`).
READ_BYTES = 4 * JOINED_TEXT

#: Bytes. A reading of more is one large entry, or few: others never have as many. Its viewer is cut if there is no room
#: to keep the rest of it; the rest of another reading is written at once.
LARGE_READING = READ_BYTES + JOINED_BYTES

#: Number. Limit of the readings that are sent together to a viewer that is far behind; by how much the number grows.
_MOST, _GROWTH = 32, 4


class ReadingProducer(ResponseProducer):
    """
    Base class of the producers that write large readings. It holds the rest of the one that the transport has in part.

    A subclass provides `retire`, beside what `ResponseProducer` needs.

    Args:
        request: See `ResponseProducer`.
        delivery: See `ResponseProducer`.

    Attributes:
        cursor: Number of the last entry read.
    """

    __slots__ = ("_many", "_rest", "cursor")

    def __init__(self, request: Request, delivery: Delivery) -> None:
        super().__init__(request, delivery)
        self.cursor = 0
        # Number of readings to send together: the more, the more the transport began to take the last time.
        self._many = 1
        # The large reading that was written in part. While there is one, the producer is paused.
        self._rest: Rest | None = None

    def retire(self, retry: int, reason: str = "retired") -> None:
        """
        End the response of an open stream, and tell the viewer to return later.

        Args:
            retry: Milliseconds until then.
            reason: See the attribute.
        """
        raise NotImplementedError("A subclass of ReadingProducer must implement retire().")

    def giveUp(self) -> None:
        """See `Holder.giveUp`. A small reading is no more than the transport may queue."""
        rest = self._rest
        if rest is not None and len(rest.data) > LARGE_READING:
            self.abort("stalled")
        elif rest is not None:
            self._writeRest(rest, isForced=True)

    def _writeReadings(self, readings: list[Reading], start: int = 0) -> None:
        """
        Write large readings, and hold what is left of the one that the transport takes in part.

        What it does not begin to take is read again later.

        Args:
            readings: The readings.
            start: Index of the first byte of the first one that is not written yet.
        """
        whole, place = self._body.writeMany([reading.data for reading in readings], start)
        if whole == len(readings):
            self._many = min(_GROWTH * self._many, _MOST)
        else:
            self._many = max(whole + bool(place), self._many // 2)
        self.cursor = readings[whole if place else whole - 1].cursor
        if place and self._state is not ViewerState.ENDED:
            self._rest = rest = Rest(readings[whole].data, place)
            self._writeRest(rest)
            if self._rest is not None:
                rests = self._delivery.rests
                rests.hold(rest, self)
                rests.makeRoom()

    def _writeRest(self, rest: Rest, *, isForced: bool = False) -> None:
        """Write a large reading on, until the transport is full, or (`isForced`) to its end."""
        while self._rest is rest and (isForced or self._state is ViewerState.LIVE) and not rest.isWritten():
            rest.write(self._body)
        if rest.isWritten():
            self._releaseRest()
            if rest.retirement is not None:
                self.retire(*rest.retirement)

    def _releaseRest(self) -> None:
        """Hold no reading."""
        if self._rest is not None:
            self._delivery.rests.release(self._rest, self)
            self._rest = None
