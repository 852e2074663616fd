"""
The body of a streamed response: its contract, its plain implementation, and the choice of one.

Every producer writes through a `Body`. `ResponseBody` is the plain one, `sseserver.speedups.body`
has the fast one, and `chooseBody` picks one for a service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.web.http import Request

from sseserver.speedups.body import Outbox
from sseserver.speedups.sendbuffer import PIECE, WrittenReadings
from sseserver.timing.turnend import TurnEnd


class Body(Protocol):
    """
    Writes the body of one response whose head is written with the first bytes.

    Attributes:
        written: Bytes so far, without framing.
    """

    written: int

    def write(self, data: bytes) -> None:
        """
        Write some bytes, at least one.

        If the transport is full, the registered producer is paused: before this returns, or at the
        end of the turn.
        """

    def writeSome(self, data: bytes, start: int) -> int:
        """
        Write a part of large data: what the transport has room for.

        If that is not all, the producer is paused until there is room again, or up to `PIECE` bytes are queued. Call
        this again, until the producer is paused or everything is written; if a paused producer does so, all is queued.
        Nothing else is written in between.

        Args:
            data: The same bytes in each call.
            start: Index of the first byte that is not written yet.

        Returns:
            The index after the last byte that was written.
        """

    def writeMany(self, readings: list[bytes], start: int = 0) -> WrittenReadings:
        """
        Write several large readings together, as far as the transport has room, and the next one as `writeSome` does.

        That one is written on with `writeSome`, or with this as the first of them. Those after it may be dropped.

        Args:
            readings: The data of each, at least one.
            start: Index of the first byte of the first one that is not written yet.
        """

    def cork(self) -> None:
        """
        Announce the last writes.

        `close` and the request's `finish` follow without a pause, so an implementation may keep small writes
        and send them with the end of the response.
        """

    def close(self) -> None:
        """End the body. Nothing is written after this."""


#: Makes the body of a response from its request.
MakeBody = Callable[[Request], Body]


class ResponseBody:
    """
    The plain body: `Request.write`, nothing else.

    Args:
        request: Its head may be set, but nothing is written yet.

    Attributes:
        written: See `Body`.
    """

    __slots__ = ("_request", "written")

    def __init__(self, request: Request) -> None:
        self.written = 0
        self._request = request

    def write(self, data: bytes) -> None:
        """See `Body.write`."""
        self.written += len(data)
        self._request.write(data)

    def writeSome(self, data: bytes, start: int) -> int:
        """See `Body.writeSome`."""
        piece = data[start : start + PIECE]
        self.write(piece)
        return start + len(piece)

    def writeMany(self, readings: list[bytes], start: int = 0) -> WrittenReadings:
        """See `Body.writeMany`. The transport may pause its producer after each of them."""
        place = self.writeSome(readings[0], start)
        return WrittenReadings(0, place) if place < len(readings[0]) else WrittenReadings(1, 0)

    def cork(self) -> None:
        """See `Body.cork`."""

    def close(self) -> None:
        """See `Body.close`."""


def chooseBody(turnEnd: TurnEnd, plain: bool) -> MakeBody:
    """
    Choose how the bodies of a service's responses are written.

    Args:
        turnEnd: Ends the reactor turns in which they are written.
        plain: Whether to use no speedup.
    """
    return ResponseBody if plain else Outbox(turnEnd).makeBody
