"""
Publishing: what a client sends, checked once and turned into entries.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec

from sseserver.errors import BadRequest, UnsupportedType
from sseserver.jsontext import readJSON
from sseserver.streams.entries import packEvent
from sseserver.values import TERMINAL, Kind
from sseserver.wire import Decoder, checkType

#: Names of streams: no byte that needs quoting anywhere.
_NAME = re.compile(r"[A-Za-z0-9._~-]{1,128}")

#: Keys that clients choose: visible ASCII.
_KEY = re.compile(r"[!-~]{1,255}")

#: Types that the server itself sends, or (`error`) that an EventSource mistakes for a lost connection.
RESERVED_TYPES = frozenset({"stream", "gap", "open", "error", *(state.value for state in TERMINAL.values())})

_MAX_TYPE = 128

#: What a published event may not be larger than is bounded by the request's body already.
_MAX_EVENT = 2**31


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    """One member of a published list: an event or a token."""

    data: str | None = None
    event: str | None = None
    token: str | None = None


def checkName(name: str) -> str:
    """
    Check the name of a stream to be made.

    Raises:
        BadRequest: It has other characters than C{A-Z a-z 0-9 . _ ~ -}, or not 1 to 128 of them.
    """
    # Segments of these names mean something else in a URL.
    if not _NAME.fullmatch(name) or name in {".", ".."}:
        raise BadRequest("A stream's name has 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -.")
    return name


def checkKey(key: str) -> str:
    """
    Check an idempotency key.

    Raises:
        BadRequest: It is not 1 to 255 visible ASCII characters.
    """
    if not _KEY.fullmatch(key):
        raise BadRequest("An Idempotency-Key has 1 to 255 visible ASCII characters.")
    return key


def readEntries(contentType: str, body: bytes) -> list[tuple[Kind, bytes]]:
    """
    Read a publish's body.

    Args:
        contentType: The header's value; parameters are passed over.
        body: An empty one is no entries.

    Returns:
        Kind and data of each entry.

    Raises:
        BadRequest: The body is not what its type says, or holds what cannot
            be published; the text says what and where.
        UnsupportedType: It is none of C{application/json}, C{text/plain},
            C{text/event-stream}.
    """
    readers = {"application/json": _fromJSON, "text/plain": _fromText, "text/event-stream": _fromEventStream}
    reader = readers.get(contentType.partition(";")[0].strip().lower())
    if reader is None and body:
        raise UnsupportedType(f"Publish one of {', '.join(readers)}; not {contentType or 'a body without a type'}.")
    return reader(body) if reader is not None and body else []


def _fromJSON(body: bytes) -> list[tuple[Kind, bytes]]:
    # mypy knows no unions as values of `type[T]`.
    items: _Item | list[_Item] = readJSON(body, _Item | list[_Item])  # type: ignore[arg-type]
    return [_entry(item) for item in (items if isinstance(items, list) else [items])]


def _entry(item: _Item) -> tuple[Kind, bytes]:
    if item.token is not None:
        if item.data is not None or item.event is not None:
            raise BadRequest("A token has no data and no event beside it.")
        if not item.token:
            raise BadRequest("A token is never empty.")
        return Kind.TOKEN, _utf8(item.token)
    if item.data is None:
        raise BadRequest("An item has the member data, with event for its type; or the member token.")
    return _event("message" if item.event is None else item.event, item.data)


def _fromText(body: bytes) -> list[tuple[Kind, bytes]]:
    try:
        return [_event("message", body.decode("utf-8"))]
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8 at byte {error.start}.") from None


def _fromEventStream(body: bytes) -> list[tuple[Kind, bytes]]:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8 at byte {error.start}.") from None
    decoder = Decoder(maxEventBytes=_MAX_EVENT)
    entries = [_event(event.type, event.data) for event in decoder.feed(body)]
    if decoder.pending:
        raise BadRequest("The last event is not finished: an empty line must follow it.")
    return entries


def _event(name: str, data: str) -> tuple[Kind, bytes]:
    if name in RESERVED_TYPES:
        raise BadRequest(f"The event type {name} is the server's own.")
    if len(name) > _MAX_TYPE or any(unicodedata.category(character) == "Cc" for character in name):
        raise BadRequest(f"An event type has at most {_MAX_TYPE} characters, and no control characters.")
    return Kind.EVENT, packEvent(_utf8(checkType(name)), _utf8(data))


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRequest("The text holds half of a surrogate pair, which is no character.") from None
