"""
What we look at in a chunk of a chat completion; all else in it is not ours.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import Struct

from sseserver.errors import SourceError
from sseserver.sources.upstreamerrors import makeStreamError


class _Delta(Struct, gc=False):
    """What a choice adds. Some upstreams write the content as a list of parts."""

    content: str | list[dict[str, Any]] | None = None


class _Choice(Struct, gc=False):
    """One of the answers to a prompt; the text is that of number 0."""

    index: int = 0
    delta: _Delta | None = None
    finishReason: str | None = msgspec.field(name="finish_reason", default=None)


class _Chunk(Struct, gc=False):
    """A chunk; or an error, in either known shape."""

    choices: list[_Choice] | None = None
    error: Any = None
    object: Any = None
    message: Any = None
    code: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


def readChunk(data: bytes, secret: str | None) -> tuple[str, str | None]:
    """
    Read a chunk.

    Args:
        data: As it came, in JSON; UTF-8.
        secret: What must not be told, whatever is in it.

    Returns:
        Its text, and why the upstream ends here, if it does.

    Raises:
        SourceError: It tells of an error, or is no chunk.
    """
    try:
        chunk = _decode(data)
    except (ValueError, RecursionError):
        text, finish = _read(_decodeOdd(data), secret)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), finish
    choices = chunk.choices
    if choices and len(choices) == 1 and choices[0].index == 0:
        delta = choices[0].delta
        # Nearly all chunks are of this shape.
        if delta is not None and type(delta.content) is str:
            return delta.content, choices[0].finishReason or None
    return _read(chunk, secret)


def _decodeOdd(data: bytes) -> _Chunk:
    """Decode what is not quite JSON: NaN, and halves of characters that some upstreams cut in two."""
    try:
        return msgspec.convert(json.loads(data.decode("utf-8")), _Chunk)
    except (ValueError, RecursionError):
        raise SourceError("The upstream sent what is no chunk of a chat completion.", "malformed") from None


def _read(chunk: _Chunk, secret: str | None) -> tuple[str, str | None]:
    choices = chunk.choices
    if not choices:
        if chunk.error is not None:
            raise makeStreamError(chunk.error, chunk.code, secret)
        if chunk.object == "error":
            raise makeStreamError(chunk.message, chunk.code, secret)
        return "", None
    text, finish = "", None
    for choice in choices:
        if choice.index == 0:
            finish = choice.finishReason or finish
            if choice.delta is not None and choice.delta.content:
                text += _joined(choice.delta.content)
    return text, finish


def _joined(content: str | list[dict[str, Any]]) -> str:
    """Give the text of a content."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if isinstance(part.get("text"), str))
