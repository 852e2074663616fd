"""
Writing events: `Event`, `encode`, and the pieces of a block.

`encode` is for events of any origin, `writeBlock` for the formats, whose parts are checked already.
Only the block of a token, the most frequent one, comes from a template in the format's own module,
such as `sseserver.formats.events`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sseserver.errors import MalformedEvent
from sseserver.wire.block import writeBlock

#: Type of an event whose block names none (9.2.6).
DEFAULT_TYPE = "message"

#: Keeps a quiet connection open: a comment without an empty line. OpenAI's Python client takes an empty line for an
#: event once it has seen an ID.
HEARTBEAT = b":\n"

#: Milliseconds. Longest reconnection time: a browser's timers cannot wait longer (24.8 days).
MAX_RECONNECTION_TIME = 2**31 - 1

# Clients ignore an ID with NUL (9.2.6). In a type NUL is legal, but refused too. Lone surrogates have no UTF-8.
_FORBIDDEN = re.compile(r"[\r\n\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True, init=False)
class Event:
    """
    One event, as `encode` takes it and a `Decoder` returns it.

    Attributes:
        data: The text. `encode` accepts any line ends; decoded, they are LF.
        type: The type, which selects the listeners of an EventSource.
        id: To encode: the event's ID, or `None` to send none. Decoded: the last event ID string when the event was
            dispatched, even if an earlier block set it; `""` if there is none or it was reset.
        retry: The reconnection time in milliseconds that is sent with the event, or `None`.
    """

    data: str
    type: str
    id: str | None
    retry: int | None

    # The generated `__init__` sets each field by its name, which makes decoding a small event a third slower.
    def __init__(self, data: str, type: str = DEFAULT_TYPE, id: str | None = None, retry: int | None = None) -> None:
        _setData(self, data)
        _setType(self, type)
        _setID(self, id)
        _setRetry(self, retry)


_setData, _setType, _setID, _setRetry = (vars(Event)[name].__set__ for name in Event.__slots__)


def encode(event: Event) -> bytes:
    """
    Write an event as one block, with its empty line.

    Args:
        event: The event. Line ends in its data (CR LF, CR, LF) become LF for the reader.

    Returns:
        UTF-8 with LF line ends: `event:` unless the type is the default, `retry:`, `id:`, then the `data:` lines.

    Raises:
        MalformedEvent: The type or the ID is refused (see `checkType`, `checkID`), the reconnection time is not an
            integer from 0 to `MAX_RECONNECTION_TIME`, or the data contains a lone surrogate. Nothing is repaired.
    """
    type = checkType(event.type).encode("utf-8")
    id = b"" if event.id is None else checkID(event.id).encode("utf-8")
    return writeBlock(_toUTF8(event.data), type, id, None if event.retry is None else _checkRetry(event.retry))


def encodeRetry(retry: int) -> bytes:
    """
    Write a `retry` field. The client takes the reconnection time at the end of the line, even without an event.

    Args:
        retry: Milliseconds.

    Returns:
        One line, without an empty line after it.

    Raises:
        MalformedEvent: It is not an integer from 0 to `MAX_RECONNECTION_TIME`.
    """
    return b"retry: %d\n" % _checkRetry(retry)


def comment(text: str = "") -> bytes:
    """
    Write a comment line, without an empty line after it (see `HEARTBEAT`).

    Args:
        text: Text after the colon and a space. If empty, the colon stands alone.

    Returns:
        One line, UTF-8, with LF.

    Raises:
        MalformedEvent: The text contains CR, LF or a lone surrogate.
    """
    if "\r" in text or "\n" in text:
        raise MalformedEvent("A comment must not contain CR or LF.")
    return b": %b\n" % _toUTF8(text) if text else HEARTBEAT


def checkType(type: str) -> str:
    """
    Check that the format can carry an event type.

    Returns:
        The type, unchanged.

    Raises:
        MalformedEvent: It is empty, which means the default type, or contains CR, LF, NUL or a lone surrogate.
    """
    return _checkValue("An event type", type)


def checkID(id: str) -> str:
    """
    Check that the format can carry an event ID.

    Returns:
        The ID, unchanged.

    Raises:
        MalformedEvent: It is empty, which resets the client's last event ID, or contains CR, LF, NUL or a lone
            surrogate.
    """
    return _checkValue("An event ID", id)


def _checkValue(name: str, value: str) -> str:
    """Check the value of a field `event` or `id`, and return it."""
    if not value:
        raise MalformedEvent(f"{name} must not be empty.")
    if _FORBIDDEN.search(value):
        raise MalformedEvent(f"{name} must not contain CR, LF, NUL or a lone surrogate.")
    return value


def _checkRetry(retry: int) -> int:
    """Check a reconnection time, and return it. A `bool` is refused; Python takes it for an `int`."""
    if type(retry) is int and 0 <= retry <= MAX_RECONNECTION_TIME:
        return retry
    raise MalformedEvent(f"A reconnection time must be an integer from 0 to {MAX_RECONNECTION_TIME} milliseconds.")


def _toUTF8(text: str) -> bytes:
    """Encode text, and refuse a lone surrogate."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedEvent("A text must not contain a lone surrogate.") from None
