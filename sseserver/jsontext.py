"""
JSON in and out: one writer for everything that leaves the server, and one reader for request bodies.

The formats, the service and `web` write with `toJSON`. The APIs read bodies with `readJSON`, the protocols check them
with `convert`.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, TypeVar

import msgspec

from sseserver.errors import BadRequest, InvalidMember

T = TypeVar("T")

#: How msgspec ends its messages: the path of the wrong value.
_PATH = re.compile(r" - at `\$\.?(.*)`$")

#: How msgspec names a member that is missing, or one too many.
_MEMBER = re.compile(r"Object (?:missing required|contains unknown) field `(.*)`$")

# msgspec takes a tenth of the time of `json`, but writes UTF-8.
_encodeUTF8 = msgspec.json.Encoder().encode

#: Makes the decoder of a shape, once: for a union that takes twenty times as long as to decode a small body.
_findDecoder: Any = cache(msgspec.json.Decoder)

_encodeCompact = json.JSONEncoder(separators=(",", ":")).encode
_encodeSpaced = json.JSONEncoder().encode


def toJSON(value: object, spaced: bool = False) -> bytes:
    """
    Encode a value as one line of ASCII, which fits one `data:` line of an event.

    Args:
        value: Objects, arrays, strings, numbers, booleans and `None`.
        spaced: Put a space after each colon and comma, as in the JSON answers to HTTP requests.

    Returns:
        The JSON text, without a line end. Lone surrogates are written as escapes.
    """
    if spaced:
        return _encodeSpaced(value).encode("ascii")
    try:
        encoded = _encodeUTF8(value)
        if encoded.isascii():
            return encoded
    except UnicodeEncodeError:
        # msgspec refuses lone surrogates.
        pass
    return _encodeCompact(value).encode("ascii")


def readJSON(body: bytes, shape: type[T]) -> T:
    """
    Decode the JSON body of a request into a typed value.

    Args:
        body: UTF-8.
        shape: Type of the value: a `msgspec.Struct`, a container, a union.

    Returns:
        The decoded value.

    Raises:
        BadRequest: The body is not UTF-8, not JSON, or of another type. The message says where.
        InvalidMember: A member is missing, unknown, or has the wrong type; the error names it.
    """
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
    except (msgspec.DecodeError, RecursionError) as error:
        # msgspec reports an escaped lone surrogate as truncated input.
        reason = str(error).replace("Input data was truncated", "it ends too early, or contains a lone surrogate")
        raise BadRequest(f"The body is not valid JSON: {reason}.") from None
    return value


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
        raise _makeInvalid(error) from None


def _makeInvalid(error: msgspec.ValidationError) -> InvalidMember:
    """Return the error about a value of the wrong shape, with the path of the wrong member."""
    message = _PATH.sub("", str(error))
    path, member = _PATH.search(str(error)), _MEMBER.match(message)
    steps = [path[1] if path else "", member[1] if member else ""]
    param = ".".join(step for step in steps if step)
    place = f", at `{param}`" if param else ""
    return InvalidMember(f"The body does not have the expected shape: {message}{place}.", param)
