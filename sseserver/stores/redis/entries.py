"""
Entries as Redis has them: they are checked before they come into a log, since a foreign hand may have written them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sseserver.streams.entries import unpack
from sseserver.streams.segments import Segment
from sseserver.values import TERMINAL, Kind, NewEntry

#: The kinds by their numbers, as Redis has them.
KINDS = {b"%d" % kind: kind for kind in Kind}

#: The kinds of terminal entries.
_ENDS = bytes(TERMINAL)

#: The kinds whose data is a JSON object.
_OBJECTS = frozenset({*TERMINAL, Kind.RESTART})

_STARTS = frozenset({Kind.CHUNK, Kind.SILENT_CHUNK, Kind.INPUT, Kind.RESPONSE_EVENT})


class _Object(msgspec.Struct):
    """The members of such an object that formats rely on."""

    reason: str = ""
    tokens: int = 0
    restarts: int = 0
    message: str = ""


_readObject = msgspec.json.Decoder(_Object).decode


def readEntry(fields: Sequence[bytes]) -> NewEntry:
    """
    Read the fields of an entry.

    Args:
        fields: `kind` and `data`, each followed by its value.

    Raises:
        ValueError: They are something else, or the data is not that of the kind.
    """
    if len(fields) != 4 or fields[0] != b"kind" or fields[1] not in KINDS or fields[2] != b"data":
        raise ValueError("It has no kind.")
    kind, data = KINDS[fields[1]], fields[3]
    data.decode("utf-8")
    if kind is not Kind.TOKEN:
        _checkData(kind, data)
    return NewEntry(kind, data)


def _checkData(kind: Kind, data: bytes) -> None:
    """
    Check the data of an entry that is no token.

    Raises:
        ValueError: It is not that of its kind.
    """
    if kind in _OBJECTS:
        try:
            _readObject(data)
        except RecursionError:
            raise ValueError("It is nested too deep.") from None
    else:
        first, _ = unpack(data)
        isObject = first[:1] == b"{" and first[-1:] == b"}"
        if b"\r" in first or b"\0" in first or (kind in _STARTS and not isObject):
            raise ValueError("It is no event, and no chunk.")


def checkEnds(entries: Segment, end: Kind | None, isWanted: bool) -> None:
    """
    Check that entries have a terminal one at their end, and there only, if their stream has ended.

    Args:
        entries: Entries up to the last one of the stream.
        end: The kind of its terminal entry; `None` for an open stream.
        isWanted: Whether there must be entries.

    Raises:
        ValueError: They do not fit to the state of the stream.
    """
    kinds = bytes(entries.kinds)
    if not kinds:
        isRight = end is None or not isWanted
    elif end is None:
        isRight = kinds[-1] not in _ENDS
    else:
        isRight = kinds[-1] == end and end in TERMINAL
    if not isRight or len(kinds[:-1].translate(None, _ENDS)) < len(kinds) - 1:
        raise ValueError("The stream has ended, and goes on.")
