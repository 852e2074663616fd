"""
The data of an entry, as `sseserver.values.Kind` defines it: made and read here only.

Runs and the native API make it; the formats, the buffer and the chat API read it.
"""

from __future__ import annotations

import re

from sseserver.values import Kind

_LF = b"\n"

# Looked up once, not for each entry.
_TOKEN = Kind.TOKEN
_CHUNK = Kind.CHUNK
_RESTART = Kind.RESTART
_RESPONSE_EVENTS = bytes((Kind.RESPONSE_EVENT,))

#: The kinds of entries that have text.
TEXT_KINDS = (_TOKEN, _CHUNK)

#: The kinds of entries with text, and of the upstream's events and silent chunks between them.
TEXT_PIECES = bytes((Kind.TOKEN, Kind.CHUNK, Kind.SILENT_CHUNK, Kind.RESPONSE_EVENT))

#: Matches a row of such kinds, as long as possible.
TEXT_ROW = re.compile(b"[%b]+" % TEXT_PIECES)


def packEvent(name: bytes, data: bytes) -> bytes:
    """
    Make the data of a published event.

    Args:
        name: The event type; it has no LF.
        data: The event's data.
    """
    return name + _LF + data


def packChunk(chunk: bytes, text: str) -> tuple[Kind, bytes]:
    """
    Make the kind and the data of a chunk.

    Line ends in the JSON become spaces: they can stand between two values only, where both mean the same (RFC 8259,
    2 and 7).

    Args:
        chunk: A JSON object.
        text: The text in it; may be empty.
    """
    line = packLine(chunk)
    return (_CHUNK, line + _LF + text.encode("utf-8")) if text else (Kind.SILENT_CHUNK, line)


def packLine(value: bytes) -> bytes:
    """
    Return JSON in one line, without white space around it.

    Args:
        value: JSON.
    """
    return value.strip().replace(b"\r", b" ").replace(_LF, b" ")


def unpack(data: bytes) -> tuple[bytes, bytes]:
    """Return the two parts of an entry: type and data of an event, JSON and text of a chunk."""
    first, _, second = data.partition(_LF)
    return first, second


def readText(kind: int, data: bytes) -> bytes:
    """
    Return the text of an entry, which is empty for kinds without text.

    Args:
        kind: Kind of the entry.
        data: Its data.
    """
    if kind == _TOKEN:
        return data
    return unpack(data)[1] if kind == _CHUNK else b""


def areTokens(kinds: bytes | bytearray) -> bool:
    """Return whether all kinds are `TOKEN`, the usual case. The check is cheap because that kind is 0."""
    return kinds == bytes(len(kinds))


def countTokens(kinds: bytes | bytearray, start: int = 0) -> int:
    """
    Count the entries with text.

    Args:
        kinds: The kinds of the entries, a byte each.
        start: Index of the first entry that counts.
    """
    return kinds.count(_TOKEN, start) + kinds.count(_CHUNK, start)


def countResponseEvents(kinds: bytes | bytearray) -> int:
    """
    Count the upstream's events at the begin of a stream, before the first entry that other formats know.

    Args:
        kinds: The kinds of the entries, a byte each.
    """
    return len(kinds) - len(kinds.lstrip(_RESPONSE_EVENTS))


def findRestart(kinds: bytes | bytearray, end: int) -> int:
    """
    Find the last restart of a run, before which all text is void.

    Args:
        kinds: The kinds of the entries, a byte each.
        end: Index behind the last entry that counts.

    Returns:
        Its index, or -1.
    """
    return kinds.rfind(_RESTART, 0, end)


def findLastText(kinds: bytes | bytearray, end: int) -> int:
    """
    Find the last entry with text.

    Args:
        kinds: The kinds of the entries, a byte each.
        end: Index behind the last entry that counts.

    Returns:
        Its index, or -1.
    """
    return max(kinds.rfind(_TOKEN, 0, end), kinds.rfind(_CHUNK, 0, end))
