"""
Rests: the large readings that viewers with a full transport have in part.

A reading that is larger than a transport should queue stays here, and its viewers write it on as they read: each of
them has its place in it. Viewers that read the same share it.
"""

from __future__ import annotations

from typing import Protocol

from sseserver.delivery.body import Body


class Holder(Protocol):
    """A viewer that has a reading in part."""

    def abort(self, reason: str) -> None:
        """Close the connection at once, and release the reading."""


class Rest:
    """
    The rest of a reading that one viewer has in part.

    Args:
        data: The reading.

    Attributes:
        data: The reading.
        place: Index of the first byte that is not written.
        retirement: Milliseconds and a reason: the viewer is to be told to return later, once it has everything.
    """

    __slots__ = ("data", "place", "retirement")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0
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

    Together they have a limit. Above it, readings leave with their viewers, which are cut: as few viewers as possible,
    and the slowest of them first.

    Args:
        limit: Bytes.

    Attributes:
        limit: Bytes.
        used: Bytes. Readings with the same bytes count once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        # The viewers of each reading, and the reading itself; the oldest first.
        self._holders: dict[bytes, dict[Holder, None]] = {}
        self._readings: dict[bytes, bytes] = {}

    @property
    def count(self) -> int:
        """Number of readings."""
        return len(self._holders)

    def hold(self, rest: Rest, holder: Holder) -> None:
        """
        Keep a reading for a viewer, until it is released. Its data become those of other viewers, if they are the same.
        """
        data = self._readings.get(rest.data)
        if data is None:
            data = self._readings[rest.data] = rest.data
            self._holders[data] = {}
            self.used += len(data)
        rest.data = data
        self._holders[data][holder] = None

    def release(self, rest: Rest, holder: Holder) -> None:
        """Keep a reading for a viewer no longer. Harmless if it is not kept."""
        holders = self._holders.get(rest.data, {})
        holders.pop(holder, None)
        if not holders and self._holders.pop(rest.data, None) is not None:
            del self._readings[rest.data]
            self.used -= len(rest.data)

    def makeRoom(self) -> None:
        """
        Cut viewers, if the readings take too much: of the readings with the fewest viewers, those of the oldest.

        The newest reading stays.
        """
        while self.used > self.limit and len(self._holders) > 1:
            older = list(self._holders.values())[:-1]
            fewest = min(older, key=len)
            for holder in tuple(fewest):
                holder.abort("stalled")
