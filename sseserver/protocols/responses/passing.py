"""
The events of an upstream's response, as this server passes them on: unchanged, but for the IDs that are its own.

`readEvent` checks the events before they come into a log; `translation` writes them with a `PassedResponse`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from sseserver.errors import BodyTooLarge, SourceError
from sseserver.interfaces import ByteCount
from sseserver.jsontext import isDeep, toJSON
from sseserver.protocols.chatcompletions.chunk import decodeValue, replaceSurrogates
from sseserver.protocols.responses.output import IN_PROGRESS, INCOMPLETE, GrowingText, SharedText
from sseserver.protocols.responses.response import PREFIX, Identity, Outcome, describeResponse
from sseserver.values import Reason

#: Types of the events that end a response.
TERMINAL = frozenset({"error", "response.cancelled", "response.completed", "response.failed", "response.incomplete"})

#: Data of the event that ends the chunks of an answer, and the events of a response.
DONE = b"[DONE]"

#: Type of an event that can be passed on.
_TYPE = re.compile(r"[!-~]{1,200}")

_decodeWhole = msgspec.json.Decoder().decode

#: The members of an event, each as it was written.
_Members = dict[str, msgspec.Raw]

_decode = msgspec.json.Decoder(_Members).decode
_join = msgspec.json.Encoder().encode


class _Text(NamedTuple):
    """
    A text of an item that comes in pieces.

    Attributes:
        member: Member of the item, or of its part, that has the text.
        list: Member of the item that has the parts; empty if the item has the text itself.
        number: Member of the event that numbers the part.
        type: Type of a part that was not announced.
    """

    member: str
    list: str = ""
    number: str = ""
    type: str = ""


#: The texts by the types of the events that have a piece.
_TEXTS = {
    "response.output_text.delta": _Text("text", "content", "content_index", "output_text"),
    "response.refusal.delta": _Text("refusal", "content", "content_index", "refusal"),
    "response.reasoning_text.delta": _Text("text", "content", "content_index", "reasoning_text"),
    "response.reasoning_summary_text.delta": _Text("text", "summary", "summary_index", "summary_text"),
    "response.function_call_arguments.delta": _Text("arguments"),
    "response.mcp_call_arguments.delta": _Text("arguments"),
    "response.custom_tool_call_input.delta": _Text("input"),
    "response.code_interpreter_call_code.delta": _Text("code"),
}

#: The lists of an item to which events add a part, and the members of these events that number it.
_PARTS = {
    "response.content_part.added": ("content", "content_index"),
    "response.reasoning_summary_part.added": ("summary", "summary_index"),
}

#: Types of the events that have a whole item.
_ITEMS = frozenset({"response.output_item.added", "response.output_item.done"})


_NULL = msgspec.Raw(b"null")


class _PartPlace(NamedTuple):
    """
    A part in the output of a response: the number of its item, the list that has it, and its number there.
    """

    item: int
    list: str
    number: int


class _Place(NamedTuple):
    """
    A text in the output of a response. The attributes are those of `_Text`; `part` is the number of the part.
    """

    item: int
    list: str
    part: int
    member: str
    type: str


class ReadEvent(NamedTuple):
    """
    An event of an upstream.

    Attributes:
        members: Its members, decoded.
        line: Its JSON, as a `PassedResponse` can write it; `None` for an object without a type, which is no event
            of a response.
    """

    members: Mapping[str, Any]
    line: bytes | None


def readEvent(data: bytes) -> ReadEvent | None:
    """
    Read an event of an upstream.

    Args:
        data: The data of the event, UTF-8.

    Returns:
        The event; `None` for `[DONE]` and whatever else is no object.

    Raises:
        SourceError: It is not JSON, or is nested too deep.
    """
    if data.startswith(DONE) or not data.strip():
        # Only the last response shows the end.
        return None
    try:
        members = _decodeWhole(data)
    except (ValueError, RecursionError):
        members = decodeValue(data)
        # Without what JSON does not have.
        data = toJSON(members)
    if not isinstance(members, dict):
        return None
    kind = members.get("type")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        return ReadEvent(members, None)
    try:
        isRefused = isDeep(data)
    except BodyTooLarge:
        isRefused = True
    if isRefused:
        raise SourceError("The upstream sent an event that is nested too deep.", Reason.MALFORMED)
    return ReadEvent(members, data)


class PassedResponse:
    """
    Writes the events of an upstream's response, and knows the response as far as it has got.

    The ID of the response, that of the response before it and the numbers of the events are those of this server. The
    IDs of items stay: nothing is found by them here.

    Args:
        identity: The members that come from the stream.
        asked: The members that come from the request.
        account: Counts the bytes of the texts; `None` for nobody.

    Attributes:
        isOver: Whether the upstream has ended the response.
    """

    __slots__ = (
        "_account",
        "_asked",
        "_identity",
        "_ids",
        "_isWhole",
        "_items",
        "_parts",
        "_response",
        "_shared",
        "_texts",
        "isOver",
    )

    def __init__(self, identity: Identity, asked: Mapping[str, Any], account: ByteCount | None = None) -> None:
        self._account = account
        self._identity = identity
        self._asked = asked
        self._ids = {"id": msgspec.Raw(_join(PREFIX + identity.name))}
        if asked.get("previous_response_id"):
            self._ids["previous_response_id"] = msgspec.Raw(_join(asked["previous_response_id"]))
        # JSON: the response as the newest event with one has it, and the items and the announced parts by their places.
        self._response = b""
        self._items: dict[int, bytes] = {}
        self._parts: dict[_PartPlace, bytes] = {}
        # The texts of items that are not complete; and their bytes, which all translators of the log share, by the
        # numbers of their first events.
        self._texts: dict[_Place, GrowingText] = {}
        self._shared: dict[int, SharedText] = {}
        # Whether the response is the one of the end.
        self._isWhole = False
        self.isOver = False

    def fork(self) -> PassedResponse:
        """Return one that is the same now."""
        other = PassedResponse(self._identity, self._asked, self._account)
        other._response, other._items, other._parts = self._response, self._items.copy(), self._parts.copy()
        other._texts = {place: text.fork() for place, text in self._texts.items()}
        other._shared, other._isWhole, other.isOver = self._shared, self._isWhole, self.isOver
        return other

    def write(self, event: bytes, number: int) -> bytes:
        """
        Write an event.

        Args:
            event: The event as `readEvent` has accepted it.
            number: Its number.
        """
        members = _split(event)
        kind = _read(members["type"])
        hasResponse = "response" in members and self._adopt(members)
        if kind in TERMINAL:
            self.isOver = True
            if hasResponse:
                self._isWhole = True
                self._items, self._parts, self._texts = {}, {}, {}
        else:
            self._note(kind, members, number)
        members["sequence_number"] = msgspec.Raw(b"%d" % number)
        return b"event: %b\ndata: %b\n\n" % (kind.encode("utf-8"), _join(members))

    def describe(self, outcome: Outcome | None) -> dict[str, Any]:
        """
        Return the response as far as it has got.

        Args:
            outcome: Its state, if it has ended; `None` before. What the upstream has told of the end goes first.
        """
        if self._response:
            response: dict[str, Any] = _read(self._response)
        else:
            response = describeResponse(self._identity, self._asked, Outcome(IN_PROGRESS), [], None)
        if self._items or not isinstance(response.get("output"), list):
            response["output"] = [self._describeItem(index) for index in sorted(self._items)]
        if outcome is not None and not self._isWhole:
            response |= {"status": outcome.status, "error": outcome.error, "incomplete_details": outcome.incomplete}
            for item in response["output"]:
                if isinstance(item, dict) and item.get("status") == IN_PROGRESS:
                    item["status"] = INCOMPLETE
        return response

    def _adopt(self, members: _Members) -> bool:
        """Put the IDs of this server into the response of an event, if it is an object, and keep it."""
        response = bytes(members["response"])
        if not response.startswith(b"{"):
            return False
        own = _split(response)
        if "previous_response_id" in own:
            # The ID that the upstream has told is none of this server.
            own["previous_response_id"] = _NULL
        self._response = _join(own | self._ids)
        members["response"] = msgspec.Raw(self._response)
        return True

    def _note(self, kind: str, members: _Members, number: int) -> None:
        """Keep what an event tells about the output."""
        if kind in _TEXTS:
            self._addPiece(_TEXTS[kind], members, number)
        elif kind in _PARTS:
            name, place = _PARTS[kind]
            part = bytes(members.get("part", b""))
            if part.startswith(b"{"):
                self._parts[_PartPlace(_number(members, "output_index"), name, _number(members, place))] = part
        elif kind in _ITEMS:
            self._takeItem(_number(members, "output_index"), members)

    def _takeItem(self, index: int, members: _Members) -> None:
        """Keep an item. Whatever has come of it in pieces is in it."""
        item = bytes(members.get("item", b""))
        if item.startswith(b"{"):
            self._items[index] = item
            self._parts = {place: part for place, part in self._parts.items() if place.item != index}
            self._texts = {place: text for place, text in self._texts.items() if place.item != index}

    def _addPiece(self, text: _Text, members: _Members, number: int) -> None:
        """Add a piece to a text."""
        piece = _read(members.get("delta", b"0"))
        if isinstance(piece, str):
            part = _number(members, text.number)
            place = _Place(_number(members, "output_index"), text.list, part, text.member, text.type)
            known = self._texts.get(place)
            if known is None:
                known = self._texts[place] = GrowingText(self._findShared(number))
            known.add(replaceSurrogates(piece).encode("utf-8"))

    def _findShared(self, number: int) -> SharedText:
        """Return the bytes of the text that an event begins."""
        shared = self._shared.get(number)
        if shared is None:
            shared = self._shared[number] = SharedText(self._account)
        return shared

    def _describeItem(self, index: int) -> dict[str, Any]:
        """Return an item as far as it has got."""
        item: dict[str, Any] = _read(self._items[index])
        texts = {(text.list, text.part): text for text in self._texts if text.item == index}
        parts = {(place.list, place.number): part for place, part in self._parts.items() if place.item == index}
        for name, place in sorted(texts.keys() | parts.keys()):
            owner, text = _findPart(item, name, place) if name else item, texts.get((name, place))
            owner.update(_read(parts.get((name, place), b"{}")))
            if text is not None:
                owner.setdefault("type", text.type)
                owner[text.member] = self._texts[text].read()
        return item


def _findPart(item: dict[str, Any], name: str, place: int) -> dict[str, Any]:
    """Return a part of an item, which is added to the list with a name if it is not there."""
    if not isinstance(item.get(name), list):
        item[name] = []
    parts: list[dict[str, Any]] = item[name]
    if place < len(parts):
        return parts[place]
    parts.append({})
    return parts[-1]


def _split(event: bytes) -> _Members:
    """Return the members of an event."""
    try:
        members: _Members = _decode(event)
    except (ValueError, RecursionError):
        # It has half of a character. See `chunk.decodeChunk`.
        return {name: msgspec.Raw(toJSON(value)) for name, value in decodeValue(event).items()}
    return members


def _read(value: bytes | msgspec.Raw) -> Any:
    """Decode JSON."""
    return decodeValue(bytes(value))


def _number(members: _Members, name: str) -> int:
    """Return a number of an event; 0 if it has none."""
    number = _read(members[name]) if name in members else 0
    return number if isinstance(number, int) and number >= 0 else 0
