"""
The Durable Streams protocol, as far as readers need it, without I/O.

A reader has an offset. It reads pages of a stream (catch-up), waits for the next page (long-poll), or follows the
stream as events (SSE). `readRequest` reads what it asks for; the rest writes what it is told: header fields, and the
events `data` and `control`.

Reference: https://github.com/durable-streams/durable-streams, PROTOCOL.md, sections 5.5 to 5.8, 8, 9.1 and 10.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from sseserver.errors import BadRequest
from sseserver.jsontext import toJSON
from sseserver.wire.block import writeBlock

#: Seconds since 1970. The time from which cursors are counted (section 10.1).
CURSOR_EPOCH = 1_728_432_000

#: Number of cursors in a second. Section 10.1 proposes intervals of 20 seconds, so that readers share answers in
#: caches. No cache may keep ours, and a reader that returns always finds a greater cursor.
_CURSORS = 1_000_000

#: Digits of the number in an offset: as many as the greatest number of an entry can have.
_DIGITS = 19

_OFFSET = re.compile(rf"([0-9]{{{_DIGITS}}})_([A-Za-z0-9]{{22}})")
_CURSOR = re.compile(r"[0-9]{1,64}")


class Mode(Enum):
    """The way in which a reader reads: the values of the parameter `live`, which is missing for a catch-up."""

    CATCH_UP = None
    LONG_POLL = "long-poll"
    SSE = "sse"


class Offset(NamedTuple):
    """
    A place in a stream. The texts of the offsets of a stream sort like their numbers (section 8).

    Attributes:
        number: Number of the entry before the place; 0 for the start.
        epoch: Epoch of the stream.
    """

    number: int
    epoch: str

    def write(self) -> str:
        """Return the text of the offset, which is opaque to clients."""
        return f"{self.number:0{_DIGITS}}_{self.epoch}"


def parseOffset(text: str) -> Offset | None:
    """
    Read the text of an offset.

    Returns:
        The offset; `None` if it cannot be one of ours.
    """
    match = _OFFSET.fullmatch(text)
    return Offset(int(match[1]), match[2]) if match else None


class ReadRequest(NamedTuple):
    """
    The wishes of a reader.

    Attributes:
        offset: Where it starts; `None` for the start of the stream, or for its end.
        fromNow: Whether it starts at the end.
        mode: The way in which it reads.
        cursor: The last cursor that it was told; 0 for none.
    """

    offset: Offset | None
    fromNow: bool
    mode: Mode
    cursor: int


def readRequest(arguments: Mapping[bytes, Sequence[bytes]]) -> ReadRequest:
    """
    Read the query of a reader.

    Args:
        arguments: The decoded query, with other members or without.

    Raises:
        BadRequest: A parameter is malformed, or a live reader has no offset.
    """
    given, live = (_readParameter(arguments, name) for name in ("offset", "live"))
    if live not in {mode.value for mode in Mode}:
        raise BadRequest("The parameter live must be long-poll or sse.")
    mode = Mode(live)
    if given is None and mode is not Mode.CATCH_UP:
        raise BadRequest("A live reader needs the parameter offset: -1 for the start, now for the end, or its offset.")
    cursor = _readParameter(arguments, "cursor") or "0"
    if not _CURSOR.fullmatch(cursor):
        raise BadRequest("The parameter cursor must be a value of the header Stream-Cursor.")
    offset = None if given in {None, "-1", "now"} else parseOffset(str(given))
    if offset is None and given not in {None, "-1", "now"}:
        raise BadRequest("The parameter offset must be -1, now, or a value of the header Stream-Next-Offset.")
    return ReadRequest(offset, given == "now", mode, int(cursor))


def _readParameter(arguments: Mapping[bytes, Sequence[bytes]], name: str) -> str | None:
    """
    Read a parameter that may be given once.

    Raises:
        BadRequest: It is given several times, or is empty.
    """
    values = arguments.get(name.encode("ascii"), ())
    if len(values) > 1:
        raise BadRequest(f"The parameter {name} must be given once.")
    if values and not values[0]:
        raise BadRequest(f"The parameter {name} is empty. Give it a value, or leave it out.")
    return values[0].decode("utf-8", "replace") if values else None


class Position(NamedTuple):
    """
    The place up to which a reader has read.

    Attributes:
        offset: Text of its offset.
        isUpToDate: Whether there is nothing more at present.
        isClosed: Whether nothing more will ever follow.
    """

    offset: str
    isUpToDate: bool
    isClosed: bool


def describePosition(position: Position, cursor: int | None = None) -> list[tuple[bytes, bytes]]:
    """
    Return the header fields that tell a reader where it is.

    Args:
        position: The position.
        cursor: The cursor of an answer to a live reader, which one of a closed stream does not need.
    """
    fields = [(b"Stream-Next-Offset", position.offset.encode("ascii"))]
    if cursor is not None and not position.isClosed:
        fields.append((b"Stream-Cursor", b"%d" % cursor))
    if position.isUpToDate:
        fields.append((b"Stream-Up-To-Date", b"true"))
    if position.isClosed:
        fields.append((b"Stream-Closed", b"true"))
    return fields


def writeControl(position: Position, cursor: int) -> bytes:
    """
    Write the event `control`, which tells a reader of events where it is.

    Args:
        position: The position.
        cursor: See `describePosition`.
    """
    members: dict[str, object] = {"streamNextOffset": position.offset}
    if not position.isClosed:
        members["streamCursor"] = str(cursor)
    if position.isUpToDate:
        members["upToDate"] = True
    if position.isClosed:
        members["streamClosed"] = True
    return writeBlock(toJSON(members), b"control")


def writeData(messages: bytes) -> bytes:
    """
    Write the event `data`. It has one line: a reader drops one that is torn.

    Args:
        messages: JSON values in one line, with commas between them.
    """
    return b"event: data\ndata: [%b]\n\n" % messages


def makeTag(epoch: str, start: int, position: Position) -> bytes:
    """
    Return the entity tag of a page (section 10.1), with its quotes.

    Args:
        epoch: Epoch of the stream.
        start: Number of the entry before the page.
        position: The position after the page.
    """
    end = position.offset.partition("_")[0].lstrip("0") or "0"
    return f'"{epoch}:{start}:{end}{":c" if position.isClosed else ""}"'.encode("ascii")


def makeCursor(now: float, given: int) -> int:
    """
    Return the cursor of an answer: greater than all before, and than the one that the reader was told.

    Args:
        now: Seconds since 1970.
        given: The last cursor of the reader; 0 for none.
    """
    return max(int((now - CURSOR_EPOCH) * _CURSORS), given + 1)
