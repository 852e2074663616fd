"""
The body of a publish: decoded, checked as a whole, and turned into entries; and a stream that opens with one.

Used by `streams`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from sseserver.errors import BadRequest, InvalidMember, KeyReused, StreamExists, StreamNotFound, UnsupportedType
from sseserver.interfaces import Publication, StreamDescription
from sseserver.jsontext import readJSON, readJSONSteps
from sseserver.service.service import StreamService
from sseserver.streams.entries import packEvent
from sseserver.timing.turns import awaitTurn
from sseserver.tracebacks import forgetTraceback
from sseserver.values import TERMINAL, Kind, NewEntry, PackedEntries
from sseserver.wire import DEFAULT_TYPE, Decoder, checkType

T = TypeVar("T")

#: A stream name: characters that never need quoting in a URL.
NAME = re.compile(r"[A-Za-z0-9._~-]{1,128}")

#: Event types that only the server sends. A browser cannot tell an event of type `error` from a
#: lost connection.
RESERVED_TYPES = frozenset({"stream", "gap", "restart", "open", "error", *(state.value for state in TERMINAL.values())})

#: The parameter `charset` of a media type, quoted or not.
_CHARSET = re.compile(r'(?:^|;)\s*charset\s*=\s*"?([^";]*)', re.IGNORECASE)

#: Characters. Limit of an event type.
MAX_TYPE = 128

#: Idempotency key of a PUT without one. No client can send it: it contains a space.
_PUT_KEY = "PUT "

#: Number. Attempts to open a stream that others delete meanwhile, before the last one.
_OPENINGS = 2

#: Entries. The answer to a larger publish names only the first and the last ID.
MAX_IDS = 100

#: Bytes. A larger body is decoded in several turns of the reactor; of an event stream, this much in each. It has at
#: most 1,200 events.
STEP = 8 * 1024

#: Objects of a JSON body that are checked in one turn.
_ITEMS_PER_STEP = 1000

#: Bytes. Never reached: the limit of the body is lower.
_MAX_EVENT = 2**31


class _Item(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A JSON object that is published: an event or a token."""

    data: str | None = None
    event: str | None = None
    token: str | None = None


#: The JSON of a publish. mypy does not accept a union as `type[T]`.
_SHAPE: Any = _Item | list[_Item]

#: The media type of JSON, and the type of events that have none.
_JSON = "application/json"
_DEFAULT = DEFAULT_TYPE.encode("ascii")


def checkName(name: str) -> str:
    """
    Check the name of a new stream, and return it.

    Raises:
        BadRequest: It is not 1 to 128 of the characters `A-Z a-z 0-9 . _ ~ -`, or a dot segment.
    """
    # Dot segments have a meaning of their own in URLs.
    if not NAME.fullmatch(name) or name in {".", ".."}:
        raise BadRequest("A stream name must be 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -, and no dot segment.")
    return name


async def openWith(
    service: StreamService, name: str, entries: Sequence[NewEntry], close: bool, key: str | None
) -> tuple[StreamDescription, bool]:
    """
    Open a stream with its first publish. Repeated with the same entries, nothing changes: PUT is idempotent.

    Args:
        service: Keeps the streams.
        name: Name of the stream, checked.
        entries: The first entries.
        close: Whether the stream ends after them.
        key: Idempotency key of the request, if it has one.

    Returns:
        The stream, and whether it is new.

    Raises:
        StreamExists: A run writes the stream, or it has other entries.
        StreamEnded: The stream has ended with other entries.
        KeyReused: The key was used with another body.
        Overloaded: There is no room.
        StoreUnavailable: The store cannot take the stream or the entries now.
    """
    for _ in range(_OPENINGS):
        try:
            return await _tryOpenWith(service, name, entries, close, key)
        except StreamNotFound as deleted:
            # Deleted while it was opened: this request comes after the deletion.
            forgetTraceback(deleted)
    return await _tryOpenWith(service, name, entries, close, key)


async def _tryOpenWith(
    service: StreamService, name: str, entries: Sequence[NewEntry], close: bool, key: str | None
) -> tuple[StreamDescription, bool]:
    """
    Open a stream with its first publish; see `openWith`.

    Raises:
        StreamNotFound: It was deleted meanwhile.
    """
    used, new = key or _PUT_KEY, False
    try:
        repeated = (await service.describe(name, used)).keyUsed
    except StreamNotFound as missing:
        forgetTraceback(missing)
        repeated = False
    if not repeated:
        stream, new = await service.open(name)
        if stream.last:
            raise StreamExists(f"The stream {name} has entries already; publish into it with POST.")
    try:
        await service.publish(name, entries, close, used)
    except KeyReused:
        if key is not None:
            raise
        raise StreamExists(f"The stream {name} was opened with another body; publish into it with POST.") from None
    return await service.describe(name), new


def readStreamClosed(value: str | None) -> bool:
    """
    Parse the header `Stream-Closed`, and return whether the publish ends the stream.

    Args:
        value: The value of the header, or `None`.

    Raises:
        BadRequest: The value is neither `true` nor `false`.
    """
    word = (value or "false").strip().lower()
    if word not in {"true", "false"}:
        raise BadRequest("The header Stream-Closed must be true or false.")
    return word == "true"


def readEntries(contentType: str, body: bytes) -> list[NewEntry]:
    """
    Decode the body of a publish.

    Args:
        contentType: Value of the header; of its parameters, only `charset` has a meaning.
        body: An empty body has no entries, whatever its type.

    Returns:
        The entries, in order.

    Raises:
        BadRequest: The body is malformed.
        InvalidMember: The body contains an entry that cannot be published.
        UnsupportedType: The media type is not one of `application/json`, `text/plain`, `text/event-stream`, or the
            charset is not UTF-8.
    """
    if contentType == _JSON and 0 < len(body) <= STEP:
        # Nearly every publish is one of these.
        items: _Item | list[_Item] = readJSON(body, _SHAPE)
        return _makeEntries(items, 0) if isinstance(items, list) else [_makeEntry(items)]
    return [entry for step in _readSteps(contentType, body) for entry in step]


async def readInTurns(contentType: str, body: bytes, clock: Any) -> Sequence[NewEntry]:
    """
    Decode the body of a publish; a large one in several turns of the reactor, so that others are served meanwhile.

    The entries of a large one are packed on the way, since the store must append all of them in one turn.

    Args:
        contentType: See `readEntries`.
        body: See `readEntries`.
        clock: The reactor.

    Returns:
        See `readEntries`.

    Raises:
        BadRequest: See `readEntries`.
        UnsupportedType: See `readEntries`.
    """
    if len(body) <= STEP:
        return readEntries(contentType, body)
    entries = PackedEntries()
    for step in _readSteps(contentType, body):
        entries.add(step)
        await awaitTurn(clock)
    return entries


def _readSteps(contentType: str, body: bytes) -> Iterator[list[NewEntry]]:
    """Decode a body step by step."""
    mediaType, _, parameters = contentType.partition(";")
    if parameters and body:
        _checkCharset(parameters)
    reader = _READERS.get(mediaType.strip().lower())
    if reader is None and body:
        given = f"not {contentType}" if contentType else "and name it in the header Content-Type"
        raise UnsupportedType(f"Publish one of {', '.join(_READERS)}, {given}.")
    return reader(body) if reader is not None and body else iter(())


def _checkCharset(parameters: str) -> None:
    """Check the parameters of a media type: text must be in UTF-8."""
    for charset in _CHARSET.findall(parameters):
        if charset.strip().lower() not in {"utf-8", "utf8"}:
            raise UnsupportedType(f"Publish in UTF-8, not in {charset[:50]!a}: that is the charset of the body.")


def encodePublication(published: Publication) -> bytes:
    """Encode the answer to a publish: the IDs of the entries, which have no character that JSON would escape."""
    epoch, first, last = published.epoch, published.first, published.last
    if first == last:
        one = f"{epoch}-{first}"
        return f'{{"first": "{one}", "last": "{one}", "ids": ["{one}"]}}\n'.encode("ascii")
    ids = ""
    if last - first < MAX_IDS:
        names = '", "'.join([f"{epoch}-{number}" for number in range(first, last + 1)])
        ids = f', "ids": ["{names}"]'
    return f'{{"first": "{epoch}-{first}", "last": "{epoch}-{last}"{ids}}}\n'.encode("ascii")


def _readJSON(body: bytes) -> Generator[list[NewEntry], None, None]:
    if len(body) <= STEP:
        items: _Item | list[_Item] = readJSON(body, _SHAPE)
    else:
        items = yield from _readLarge(readJSONSteps(body, _SHAPE))
    if not isinstance(items, list):
        yield [_makeEntry(items)]
        return
    for start in range(0, len(items), _ITEMS_PER_STEP):
        yield _makeEntries(items[start : start + _ITEMS_PER_STEP], start)


def _makeEntries(items: list[_Item], start: int) -> list[NewEntry]:
    """Make the entries of some items of a list, the first of which is at `start`."""
    entries: list[NewEntry] = []
    for item in items:
        try:
            entries.append(_makeEntry(item))
        except InvalidMember as error:
            raise InvalidMember(str(error), f"[{start + len(entries)}].{error.param}") from None
    return entries


def _readLarge(steps: Generator[None, None, T]) -> Generator[list[NewEntry], None, T]:
    """Yield no entries after each step of a decoder, and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        yield []


def _makeEntry(item: _Item) -> NewEntry:
    if item.token is not None:
        if item.data is not None or item.event is not None:
            message = "An object with `token` cannot have `data` or `event`."
            raise InvalidMember(message, "event" if item.data is None else "data")
        if not item.token:
            raise InvalidMember("A token must not be empty.", "token")
        return NewEntry(Kind.TOKEN, _encode(item.token))
    if item.data is None:
        raise InvalidMember("An object needs `data`, with or without `event`, or else `token`.", "data")
    if item.event is None:
        return NewEntry(Kind.EVENT, packEvent(_DEFAULT, _encode(item.data)))
    return _makeEvent(item.event, item.data)


def _readText(body: bytes) -> Iterator[list[NewEntry]]:
    yield [_makeEvent(DEFAULT_TYPE, _decode(body))]


def _readEventStream(body: bytes) -> Iterator[list[NewEntry]]:
    _decode(body)
    decoder = Decoder(maxEventBytes=_MAX_EVENT)
    for start in range(0, len(body), STEP):
        yield [_makeEvent(event.type, event.data) for event in decoder.feed(body[start : start + STEP])]
    if decoder.pending:
        raise BadRequest("The last event is incomplete: an empty line must follow it.")


def _makeEvent(name: str, data: str) -> NewEntry:
    if name in RESERVED_TYPES:
        raise InvalidMember(f"The event type {name} is reserved for the server.", "event")
    if len(name) > MAX_TYPE or not (name.isprintable() or _hasNoControls(name)):
        message = f"An event type must have at most {MAX_TYPE} characters, and no control characters."
        raise InvalidMember(message, "event")
    return NewEntry(Kind.EVENT, packEvent(_encode(checkType(name)), _encode(data)))


def _hasNoControls(name: str) -> bool:
    """Return whether a name has no control characters. Others are not printable either."""
    return all(unicodedata.category(character) != "Cc" for character in name)


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8 at byte {error.start}.") from None


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRequest("The text contains a lone surrogate, which is not a character.") from None


#: Readers of the body, by media type.
_READERS = {_JSON: _readJSON, "text/plain": _readText, "text/event-stream": _readEventStream}
