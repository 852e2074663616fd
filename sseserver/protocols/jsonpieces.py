"""
Large JSON values, encoded piece by piece.

`encodePieces` writes what `toJSON` writes, but never more of it than a turn of the reactor has time for. The value may
be in pieces itself: `Text` stands for a string, `Array` for an array. The chat API and the lists answer with it, the
service packs large prompts, and the upstream source encodes large requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from sseserver.jsontext import toJSON

#: Characters. Length of the pieces of a long string.
PIECE = 16 * 1024

#: Pieces that one turn of the reactor has time for.
PIECES_PER_TURN = 8

#: Characters. Largest value that is encoded as a whole; each value in it counts as one more.
_WHOLE = 4000


@dataclass(frozen=True, slots=True)
class Text:
    """
    A string in pieces.

    Attributes:
        parts: The pieces. Iterated once.
    """

    parts: Iterable[str]


@dataclass(frozen=True, slots=True)
class Array:
    """
    An array whose items are made while it is written.

    Attributes:
        items: The items. Iterated once.
    """

    items: Iterable[object]


def _encodeSpaced(value: object) -> bytes:
    return toJSON(value, spaced=True)


def encodeUTF8(value: object) -> bytes:
    """Encode JSON that is kept here or sent to an upstream: in UTF-8, which takes less room than ASCII."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # A lone surrogate, of a program's own.
        return toJSON(value)


@dataclass(frozen=True, slots=True)
class Folding:
    """
    How `encodePieces` encodes JSON, and values that are not JSON yet: those of classes derived from `list` and `dict`.

    Attributes:
        unfold: Turns such a value into a `Text`, an `Array`, or JSON, whose members may again be such values.
        build: Turns a small value into JSON, its members included.
        encode: Encodes JSON.
    """

    unfold: Callable[[object], object]
    build: Callable[[object], object]
    encode: Callable[[object], bytes] = _encodeSpaced


#: Plain JSON with a space after each colon and comma, as in the answers to requests.
SPACED = Folding(lambda value: value, lambda value: value)

#: Plain JSON in UTF-8, without such spaces.
PLAIN = Folding(lambda value: value, lambda value: value, encodeUTF8)


def encodePieces(value: object, folding: Folding) -> Iterator[bytes]:
    """
    Encode a value as `toJSON` does with `spaced`, or as the folding does.

    Args:
        value: JSON, `Text`, `Array`, or a value of the folding.
        folding: Encodes JSON, and turns other values into it.

    Returns:
        The JSON text in pieces of some ten kilobytes at most.
    """
    if _weigh(value, _WHOLE) >= 0:
        yield _encode(value, folding)
        return
    value = value if type(value) in (str, list, dict) else folding.unfold(value)
    if isinstance(value, str):
        value = Text([value])
    elif isinstance(value, list):
        value = Array(value)
    if isinstance(value, Text):
        yield from _encodeText(value.parts, folding)
    elif isinstance(value, Array):
        yield from _encodeArray(value.items, folding)
    elif isinstance(value, dict):
        yield from _encodeObject(value, folding)
    else:
        yield folding.encode(value)


def _encode(value: object, folding: Folding) -> bytes:
    """Encode a small value."""
    return folding.encode(folding.build(value))


def _encodeMembers(value: dict[str, object] | list[object], folding: Folding) -> bytes:
    """Encode small members in a row, without the brackets around them."""
    members = value if isinstance(value, dict) else [folding.build(item) for item in value]
    return _encode(members, folding)[1:-1]


def _encodeText(parts: Iterable[str], folding: Folding) -> Iterator[bytes]:
    yield b'"'
    for part in parts:
        for start in range(0, len(part), PIECE):
            yield folding.encode(part[start : start + PIECE])[1:-1]
    yield b'"'


def _encodeArray(items: Iterable[object], folding: Folding) -> Iterator[bytes]:
    """Encode an array: small items in a row together, large ones by themselves."""
    mark = b"["
    small: list[object] = []
    room = _WHOLE
    for item in items:
        left = _weigh(item, room)
        if left >= 0:
            small.append(item)
            room = left
            continue
        if small:
            yield mark + _encodeMembers(small, folding)
            mark = b", "
        small, room = [], _WHOLE
        yield mark
        mark = b", "
        yield from encodePieces(item, folding)
    if small:
        yield mark + _encodeMembers(small, folding)
        mark = b""
    yield b"[]" if mark == b"[" else b"]"


def _encodeObject(members: dict[str, object], folding: Folding) -> Iterator[bytes]:
    """Encode an object: small members in a row together, large ones by themselves."""
    mark = b"{"
    small: dict[str, object] = {}
    room = _WHOLE
    for name, member in members.items():
        left = _weigh(member, room - len(name))
        if left >= 0:
            small[name] = member
            room = left
            continue
        if small:
            yield mark + _encodeMembers(small, folding)
            mark = b", "
        small, room = {}, _WHOLE
        yield mark
        mark = b", "
        yield from encodePieces(name, folding)
        yield b": "
        yield from encodePieces(member, folding)
    if small:
        yield mark + _encodeMembers(small, folding)
    yield b"}"


def _weigh(value: object, room: int) -> int:
    """
    Weigh a value, as far as there is room.

    Returns:
        The room that is left; negative if there is none, or if the value is of no known kind.
    """
    if isinstance(value, str):
        return room - 1 - len(value)
    if isinstance(value, dict):
        room = _weigh(list(value), room)
        value = list(value.values())
    elif value is None or isinstance(value, int | float):
        return room - 1
    if not isinstance(value, list):
        return -1
    room -= 1
    for member in value:
        if room < 0:
            break
        room = _weigh(member, room)
    return room
