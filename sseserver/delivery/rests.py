"""
Rests: the readings that viewers with a full transport have in part.

A reading that is larger than a transport should queue stays here, and its viewers write it on as they read: each of
them has its place in it. Viewers that read the same share it.

`EventStreamProducer` holds its rests here, and the ledger counts them.
"""

from __future__ import annotations

from typing import Protocol

from sseserver.delivery.body import Body

#: Bytes at both ends of a reading by which it is found. The ID of an event is among them.
_ENDS = 128


class Holder(Protocol):
    """A viewer that has a reading in part."""

    def giveUp(self) -> None:
        """Release the reading: write the rest at once, or close the connection."""


class SharedReading:
    """
    A reading that one viewer has in part, or several.

    Args:
        key: Finds it again.
        data: The encoded events.

    Attributes:
        data: See above.
        holders: The viewers.
        key: See above.
    """

    __slots__ = ("data", "holders", "key")

    def __init__(self, key: object, data: bytes) -> None:
        self.key = key
        self.data = data
        self.holders: dict[Holder, None] = {}


class Rest:
    """
    The rest of a reading that one viewer has in part.

    Args:
        data: The encoded events.
        place: Index of the first byte that is not written.

    Attributes:
        data: See above.
        place: See above.
        reading: Shares the data with other viewers, once the rest is held.
        retirement: Milliseconds and a reason: the viewer is to be told to return later, once it has everything.
    """

    __slots__ = ("data", "place", "reading", "retirement")

    def __init__(self, data: bytes, place: int) -> None:
        self.data = data
        self.place = place
        self.reading: SharedReading | None = None
        self.retirement: tuple[int, str] | None = None

    def isWritten(self) -> bool:
        """Return whether nothing is left."""
        return self.place == len(self.data)

    def write(self, body: Body) -> None:
        """Write some of it: see `Body.writeSome`."""
        self.place = body.writeSome(self.data, self.place)


class Rests:
    """
    The readings that viewers of a service have in part.

    Together they have a limit. Above it, viewers give their readings up: as few viewers as possible, and the slowest
    of them first.

    Args:
        limit: Bytes.

    Attributes:
        limit: Bytes.
        used: Bytes. Readings with the same bytes count once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        # The oldest first.
        self._readings: dict[object, SharedReading] = {}

    @property
    def count(self) -> int:
        """Number of readings."""
        return len(self._readings)

    def hold(self, rest: Rest, holder: Holder) -> None:
        """
        Keep a reading for a viewer, until it is released. Its data become those of other viewers, if they are the same.

        Args:
            rest: The reading.
            holder: The viewer.
        """
        data = rest.data
        # A hash of all the bytes would take as long as making them.
        key: object = (len(data), data[:_ENDS], data[-_ENDS:])
        reading = self._readings.get(key)
        if reading is not None and reading.data != data:
            key, reading = id(data), None
        if reading is None:
            reading = self._readings[key] = SharedReading(key, data)
            self.used += len(data)
        reading.holders[holder] = None
        rest.reading, rest.data = reading, reading.data

    def release(self, rest: Rest, holder: Holder) -> None:
        """
        Keep a reading for a viewer no longer. Harmless if it is not kept.

        Args:
            rest: See `hold`.
            holder: See `hold`.
        """
        reading, rest.reading = rest.reading, None
        if reading is not None:
            del reading.holders[holder]
            if not reading.holders:
                del self._readings[reading.key]
                self.used -= len(reading.data)

    def makeRoom(self) -> None:
        """
        Let viewers give up, if the readings take too much.

        These are the viewers of the oldest of the readings with the fewest viewers. The newest reading stays.
        """
        while self.used > self.limit and len(self._readings) > 1:
            older = list(self._readings.values())[:-1]
            fewest = min(older, key=_countHolders)
            for holder in tuple(fewest.holders):
                holder.giveUp()


def _countHolders(reading: SharedReading) -> int:
    """Return the number of viewers of a reading."""
    return len(reading.holders)
