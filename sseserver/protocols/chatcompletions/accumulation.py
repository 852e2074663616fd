"""
Accumulation: one JSON object, put together from the pieces of it in the chunks of an answer.

`CompletionBuilder` makes the messages of a completion with it. The rules are those of OpenAI's clients, for members
that are known here and for all others: objects merge by member, strings are joined, lists are extended, and list
entries with the same `index` merge. The time is linear in the size of the pieces: strings are joined once, at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sseserver.protocols.chatcompletions.chunk import replaceSurrogates
from sseserver.protocols.jsonpieces import PIECE, Array, Folding, Text

#: Members that name a thing. Servers repeat them whole, so a value replaces the one before, unless it is empty.
LABELS = frozenset({"format", "id", "name", "object", "role", "type"})

#: Types of values that have no pieces.
_WHOLE = frozenset({str, int, float, bool, type(None)})


class _Pieces(list[str]):
    """Pieces of a string."""


class _Entries(list[Any]):
    """
    A list that is being put together.

    The entries stand in the order of their first pieces; those that merge are results of `accumulate`.
    """

    def __init__(self) -> None:
        super().__init__()
        # The newest entry with each index.
        self._newest: dict[int, dict[str, Any]] = {}

    def add(self, pieces: list[Any]) -> None:
        """Add entries, or pieces of the entries with the same index."""
        for piece in pieces:
            index = piece.get("index") if isinstance(piece, Mapping) else None
            if isinstance(index, int):
                self.merge(index, piece)
            else:
                self.append(piece)

    def merge(self, index: int, piece: Mapping[str, Any]) -> None:
        """
        Add a piece to the newest entry with an index. A piece with another `id` begins a new entry.

        Args:
            index: The index.
            piece: Members of the entry, which are added to those that it has.
        """
        known = self._newest.get(index)
        if known is None or _isOther(known, piece):
            known = self._newest[index] = {}
            self.append(known)
        accumulate(known, piece)

    def unfold(self) -> Iterator[Any]:
        """Return the entries, whose members may be in pieces."""
        return iter(self)


class Calls(_Entries):
    """
    The tool calls of a message.

    A piece with an `id` other than that of the call at its index begins a new call: some servers number all calls 0.
    Servers that send each call whole leave the index out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._numbered = True
        self._byID: dict[str, dict[str, Any]] = {}

    def add(self, pieces: list[Any]) -> None:
        """Add calls, or pieces of calls."""
        for place, piece in enumerate(pieces):
            if isinstance(piece, Mapping):
                index = piece.get("index")
                if isinstance(index, int):
                    self.merge(index, piece)
                else:
                    self._add(place, piece)

    def unfold(self) -> Iterator[Any]:
        """Return the calls by index, or as they came if one has no index. The indices are left out."""
        calls = sorted(self, key=lambda call: call["index"]) if self._numbered else self
        return ({name: value for name, value in call.items() if name != "index"} for call in calls)

    def _add(self, place: int, piece: Mapping[str, Any]) -> None:
        """Add a piece without an index to the call with its `id`, or to the newest call at its place in the list."""
        self._numbered = False
        name = piece.get("id")
        known = self._byID.get(name) if isinstance(name, str) and name else None
        if known is not None:
            accumulate(known, piece)
            return
        self.merge(place, piece)
        if isinstance(name, str) and name:
            self._byID[name] = self._newest[place]


def accumulate(known: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """
    Add a piece to an object.

    Args:
        known: The pieces so far; empty for a new object. `build` makes JSON of it.
        piece: The piece, decoded JSON. `None` in it stands for nothing new.
    """
    for name, value in piece.items():
        before = known.get(name)
        if value is None or value == "":
            # An empty value replaces nothing, but tells a string from null.
            known[name] = value if before is None else before
        else:
            known[name] = _combine(name, before, value)


def _combine(name: str, before: Any, value: Any) -> Any:
    """Return a member's value with a piece added."""
    if isinstance(value, str) and name not in LABELS:
        pieces = before if isinstance(before, _Pieces) else _Pieces()
        pieces.append(value)
        return pieces
    if isinstance(value, Mapping):
        members: dict[str, Any] = before if isinstance(before, dict) else {}
        accumulate(members, value)
        return members
    if isinstance(value, list):
        entries = before if isinstance(before, _Entries) else Calls() if name == "tool_calls" else _Entries()
        entries.add(value)
        return entries
    return value


def unfold(value: object) -> object:
    """
    Make JSON of accumulated pieces, one level of it.

    Returns:
        A `Text` or an `Array` for what was put together from pieces, and any other value unchanged. The members of the
        result may again be accumulated pieces.
    """
    if isinstance(value, _Pieces):
        return Text(_joinPieces(value))
    return Array(value.unfold()) if isinstance(value, _Entries) else value


def build(value: Any) -> Any:
    """Return accumulated pieces as a value for JSON, without lone surrogates in joined strings."""
    if type(value) in _WHOLE:
        return value
    if isinstance(value, dict):
        # Most members are whole: a call for each would take longer than all the rest.
        return {name: member if type(member) in _WHOLE else build(member) for name, member in value.items()}
    value = unfold(value)
    if isinstance(value, Text):
        return "".join(value.parts)
    return [build(item) for item in value.items] if isinstance(value, Array) else value


#: Lets `encodePieces` encode accumulated pieces.
FOLDING = Folding(unfold, build)


def _joinPieces(pieces: Iterable[str]) -> Iterator[str]:
    """Join pieces of a string into longer ones, without lone surrogates."""
    waiting: list[str] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE:
            text = "".join(waiting)
            # The other half of a surrogate pair may follow.
            end = len(text) - ("\ud800" <= text[-1] <= "\udbff")
            yield replaceSurrogates(text[:end])
            waiting, size = [text[end:]], len(text) - end
    yield replaceSurrogates("".join(waiting))


def _isOther(known: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    """Return whether a piece has an `id` other than that of an entry."""
    name, before = piece.get("id"), known.get("id")
    return bool(name) and bool(before) and name != before
