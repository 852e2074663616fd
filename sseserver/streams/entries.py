"""
What the data of an entry holds (L{Kind}): packed and unpacked here and nowhere else.
"""

from __future__ import annotations

import re

from sseserver.values import Kind

_LF = b"\n"

_TOKEN = Kind.TOKEN

_CHUNK = Kind.CHUNK

#: Of a log's kinds, those that have text.
TEXT_KINDS = (_TOKEN, _CHUNK)

#: Entries with text, and silent chunks between them; as many as stand in a row.
TEXT_PIECES = bytes((Kind.TOKEN, Kind.CHUNK, Kind.SILENT_CHUNK))
TEXT_ROW = re.compile(b"[%b]+" % TEXT_PIECES)


def packEvent(name: bytes, data: bytes) -> bytes:
    """Make the data of a published event; its type has no LF."""
    return name + _LF + data


def packChunk(chunk: bytes, text: str) -> tuple[Kind, bytes]:
    """
    Make the kind and the data of a chunk: it in one line, LF, its text.

    In JSON a line end can stand between two values only (RFC 8259 2 and 7),
    where a space means the same.
    """
    line = chunk.strip().replace(b"\r", b" ").replace(_LF, b" ")
    return (_CHUNK, line + _LF + text.encode("utf-8")) if text else (Kind.SILENT_CHUNK, line)


def unpack(data: bytes) -> tuple[bytes, bytes]:
    """Give the two parts of an event, type and data; or of a chunk, JSON and text."""
    first, _, second = data.partition(_LF)
    return first, second


def textOf(kind: int, data: bytes) -> bytes:
    """Give the text of an entry; nothing, when it has none."""
    if kind == _TOKEN:
        return data
    return unpack(data)[1] if kind == _CHUNK else b""


def onlyTokens(kinds: bytes | bytearray) -> bool:
    """Whether there are tokens and nothing else: the usual case, and cheap to find out, since a token is 0."""
    return kinds == bytes(len(kinds))


def countTokens(kinds: bytes | bytearray, start: int = 0) -> int:
    """Count the entries with text, from an index on."""
    return kinds.count(_TOKEN, start) + kinds.count(_CHUNK, start)


def lastText(kinds: bytes | bytearray, end: int) -> int:
    """Find the last entry with text before an index; -1: there is none."""
    return max(kinds.rfind(_TOKEN, 0, end), kinds.rfind(_CHUNK, 0, end))
