"""
JSON in and out: one writer for everything that leaves the server, and one reader for request bodies.

The formats, the service and `web` write with `toJSON`. The APIs read bodies with `readJSON`, the protocols check them
with `convert`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Generator, Iterable, Mapping
from functools import cache
from itertools import accumulate
from typing import Any, TypeVar

import msgspec

from sseserver.errors import BadRequest, BodyTooLarge, InvalidMember

T = TypeVar("T")

#: Number. Limit of objects and arrays inside each other. Python's own limit depends on what it does at the moment.
MAX_DEPTH = 100

_DEEP = f"The body is not valid JSON: it has more than {MAX_DEPTH} arrays and objects inside each other."

#: Number. Limit of the values of a body, which take far more time and memory than the bytes of long strings. A publish
#: of 1 MiB has fewer.
MAX_VALUES = 200_000

#: Brackets as steps: one level up, and one down in two's complement.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")

#: Number of brackets whose depths are looked at together.
_BRACKETS = 64

#: A bracket that opens, as a step.
_UP = b"\x01"

#: Bytes of JSON that are looked at together: they may be as many strings.
_WINDOW = 64 * 1024

#: How msgspec ends its messages: the path of the wrong value.
_PATH = re.compile(r" - at `\$\.?(.*)`$")

#: How msgspec names a member that is missing, or one too many.
_MEMBER = re.compile(r"Object (?:missing required|contains unknown) field `(.*)`$")

# msgspec takes a tenth of the time of `json`, but writes UTF-8.
_encodeUTF8 = msgspec.json.Encoder().encode
_addSpaces = msgspec.json.format

#: Number. Members that an error names, and characters of each name.
_MAX_NAMES = 5
_MAX_NAME = 50

#: Makes the decoder of a shape, once: for a union that takes twenty times as long as to decode a small body.
_findDecoder: Any = cache(msgspec.json.Decoder)

_encodeCompact = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_encodeSpaced = json.JSONEncoder(allow_nan=False).encode


def toJSON(value: object, spaced: bool = False) -> bytes:
    """
    Encode a value as one line of ASCII, which fits one `data:` line of an event.

    Args:
        value: Objects, arrays, strings, numbers, booleans and `None`.
        spaced: Put a space after each colon and comma, as in the JSON answers to HTTP requests.

    Returns:
        The JSON text, without a line end. Lone surrogates are written as escapes, infinities and NaN as `null`.
    """
    try:
        encoded = _encodeUTF8(value)
        if encoded.isascii():
            return _addSpaces(encoded, indent=0) if spaced else encoded
    except (UnicodeEncodeError, TypeError, OverflowError):
        # msgspec refuses lone surrogates, classes derived from `str`, and integers of more than 64 bits.
        pass
    encode = _encodeSpaced if spaced else _encodeCompact
    try:
        return encode(value).encode("ascii")
    except ValueError:
        # Numbers that JSON does not have, of a source; msgspec writes `null`.
        return encode(json.loads(json.dumps(value), parse_constant=lambda _: None)).encode("ascii")


def quoteAll(texts: Iterable[bytes]) -> list[bytes]:
    """
    Encode many texts as `toJSON` does, which takes half the time.

    Args:
        texts: UTF-8.
    """
    known = list(texts)
    # msgspec writes ASCII of ASCII.
    encode = _encodeUTF8 if all(map(bytes.isascii, known)) else toJSON
    return list(map(encode, map(bytes.decode, known)))


def readJSON(body: bytes, shape: type[T], deep: bool | None = None) -> T:
    """
    Decode the JSON body of a request into a typed value.

    Args:
        body: UTF-8.
        shape: Type of the value: a `msgspec.Struct`, a container, a union.
        deep: Whether the body is nested too deep, if that is known.

    Returns:
        The decoded value.

    Raises:
        BadRequest: The body is not UTF-8, not JSON, nested too deep, or of another type. The message says where.
        BodyTooLarge: It has too many values.
        InvalidMember: A member is missing, unknown, or has the wrong type; the error names it.
    """
    if deep is None:
        deep = len(body) > 2 * MAX_DEPTH and isDeep(body)
    try:
        # Decoded to text first: msgspec does not check the UTF-8 of members that the shape does not name.
        value: T = _findDecoder(shape).decode(body.decode("utf-8"))
    except msgspec.ValidationError as error:
        invalid = _makeInvalid(error)
        # msgspec does not name the members of a dictionary.
        isNamed = invalid.param and "..." not in invalid.param
        raise (invalid if isNamed else BadRequest(str(invalid))) from None
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8 at byte {error.start}.") from None
    except RecursionError:
        raise BadRequest(_DEEP) from None
    except msgspec.DecodeError as error:
        # msgspec reports an escaped lone surrogate as truncated input.
        reason = str(error).replace("Input data was truncated", "it ends too early, or contains a lone surrogate")
        raise BadRequest(f"The body is not valid JSON: {reason.removeprefix('JSON is malformed: ')}.") from None
    if deep:
        raise BadRequest(_DEEP)
    return value


def readJSONSteps(body: bytes, shape: type[T]) -> Generator[None, None, T]:
    """
    Decode as `readJSON` does, but look at the depth step by step. The decoder takes some milliseconds for 1 MiB.

    Args:
        body: UTF-8.
        shape: See `readJSON`.

    Returns:
        The decoded value.
    """
    deep = yield from _findDepth(body)
    return readJSON(body, shape, deep)


def isDeep(body: bytes) -> bool:
    """
    Return whether JSON has more than `MAX_DEPTH` arrays and objects inside each other.

    Args:
        body: The JSON. If it is malformed, the result means nothing.

    Raises:
        BodyTooLarge: It has too many values.
    """
    steps = _findDepth(body)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            deep: bool = end.value
            return deep


def _findDepth(body: bytes) -> Generator[None, None, bool]:
    """See `isDeep`. Yields after each step."""
    if sum(map(body.count, (b",", b"[", b"{"))) <= MAX_DEPTH:
        return False
    text = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    depth = quotes = values = 0
    isDeeper = False
    for start in range(0, len(text), _WINDOW):
        parts = text[start : start + _WINDOW].split(b'"')
        # Every second part is a string.
        outside = b"".join(parts[quotes % 2 :: 2])
        quotes += len(parts) - 1
        values += sum(map(outside.count, (b",", b"[", b"{")))
        if values > MAX_VALUES:
            raise BodyTooLarge(f"The body has more than {MAX_VALUES} JSON values.")
        steps = outside.translate(_STEPS, _NO_BRACKETS)
        for begin in range(0, len(steps), _BRACKETS):
            some = steps[begin : begin + _BRACKETS]
            opened = some.count(_UP)
            # Far below the limit the order of the brackets makes no difference.
            if depth + opened > MAX_DEPTH:
                isDeeper = isDeeper or max(accumulate(memoryview(some).cast("b"), initial=depth)) > MAX_DEPTH
            depth += 2 * opened - len(some)
        yield
    return isDeeper


def convert(value: object, shape: type[T]) -> T:
    """
    Convert decoded JSON into a typed value.

    Args:
        value: The body of a request, decoded.
        shape: Type of the result, usually a `msgspec.Struct`. Members that it does not name are ignored.

    Returns:
        The typed value.

    Raises:
        InvalidMember: A member is missing or has the wrong type; the error names it.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        # Not a local variable: the traceback would refer to the frame, and the frame to the error.
        raise _nameMissing(error, value, shape) from None


def _nameMissing(error: msgspec.ValidationError, value: object, shape: Any) -> InvalidMember:
    """Return the error about a value, with the members that are not read if one is missing at the top."""
    invalid = _makeInvalid(error)
    if str(error).startswith("Object missing") and not _PATH.search(str(error)) and isinstance(value, Mapping):
        return InvalidMember(f"{invalid}{nameUnread(value, shape.__struct_encode_fields__)}", invalid.param)
    return invalid


def nameUnread(body: Mapping[str, object], known: Collection[str]) -> str:
    """
    Return a sentence for an error about a missing member: one of these may be meant.

    Args:
        body: The decoded object.
        known: Names of the members that are read.

    Returns:
        The first members that are not read, after a space; empty if all are.
    """
    unread = [name for name in body if name not in known]
    if not unread:
        return ""
    names = [f"`{ascii(name[:_MAX_NAME])[1:-1]}`" for name in unread[:_MAX_NAMES]]
    more = ["…"] if len(unread) > _MAX_NAMES else []
    return f" Members that are not read: {', '.join(names + more)}."


def _makeInvalid(error: msgspec.ValidationError) -> InvalidMember:
    """Return the error about a value of the wrong shape, with the path of the wrong member."""
    message = _PATH.sub("", str(error))
    path, member = _PATH.search(str(error)), _MEMBER.match(message)
    steps = [path[1] if path else "", member[1] if member else ""]
    param = ".".join(step for step in steps if step)
    place = f", at `{param}`" if param else ""
    return InvalidMember(f"The body does not have the expected shape: {message}{place}.", param)
