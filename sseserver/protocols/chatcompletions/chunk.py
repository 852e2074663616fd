"""
Chunks of a streamed chat completion: the schema that reads them, and the writer that makes them.

The upstream source reads chunks with `readChunk`, the completion builder with `decodeChunk`; the format `openai`
writes them with `ChunkWriter`. Members that are not named here are never looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from sseserver.errors import SourceError, SSEServerError
from sseserver.jsontext import toJSON
from sseserver.protocols.chatcompletions.content import textOf
from sseserver.values import Reason

#: Finish reasons of OpenAI's API reference. OpenAI's clients refuse others.
FINISH_REASONS: frozenset[str] = frozenset(
    {Reason.STOP, Reason.LENGTH, Reason.CONTENT_FILTER, Reason.TOOL_CALLS, Reason.FUNCTION_CALL}
)

_MALFORMED = "The answer contains a chunk that cannot be read."


class Choice(Struct, gc=False):
    """
    One choice in a chunk.

    Attributes:
        index: Number of the choice; 0 where the chunk does not say.
        delta: The members of the message that the chunk adds, as an object.
        finishReason: Why the choice ended, as a string.
        logprobs: Log probabilities of its tokens, as an object.
    """

    index: int = 0
    delta: Any = None
    finishReason: Any = msgspec.field(name="finish_reason", default=None)
    logprobs: Any = None


class Chunk(Struct, gc=False):
    """
    A chunk of a chat completion, or an error in place of one.

    Only the shape that every reader needs is checked: upstreams differ in the rest, and a reader that needs more
    checks it. The members `object`, `message` and `code` belong to errors in vLLM's older shape.
    """

    choices: list[Choice] | None = None
    error: Any = None
    object: Any = None
    message: Any = None
    code: Any = None


class CompleteChunk(Chunk, gc=False):
    """
    A chunk with the members that only the completion builder reads.

    They would make reading the chunk of an upstream, which is done for each token, a tenth slower.
    """

    usage: Any = None
    model: Any = None
    systemFingerprint: Any = msgspec.field(name="system_fingerprint", default=None)
    serviceTier: Any = msgspec.field(name="service_tier", default=None)


class ErrorChunk(SSEServerError):
    """
    An error that an upstream sent in place of a chunk.

    Args:
        error: The error as it was sent: an object with a member `message`, or a string.
        errorCode: The member `code` beside the message, if the error has the older shape.
    """

    def __init__(self, error: Any, errorCode: Any) -> None:
        super().__init__("The upstream reported an error.")
        self.error = error
        self.errorCode = errorCode


T = TypeVar("T", bound=Chunk)

_decode = msgspec.json.Decoder(Chunk).decode
_decodeComplete = msgspec.json.Decoder(CompleteChunk).decode


def decodeChunk(data: bytes) -> CompleteChunk:
    """
    Decode a chunk, even one with the usual faults of upstreams.

    The faults are `NaN`, which becomes `None`, and characters cut into the two halves of a surrogate pair, which stay
    lone surrogates.

    Raises:
        SourceError: It is not JSON, or not the JSON of a chunk.
    """
    try:
        return _decodeComplete(data)
    except (ValueError, RecursionError):
        return _decodeFaulty(data, CompleteChunk)


def _decodeFaulty(data: bytes, shape: type[T]) -> T:
    """Decode a chunk that is not strictly JSON."""
    try:
        return msgspec.convert(json.loads(data.decode("utf-8"), parse_constant=lambda _: None), shape)
    except (ValueError, RecursionError):
        raise SourceError(_MALFORMED, Reason.MALFORMED) from None


def readChunk(data: bytes) -> tuple[str, str | None]:
    """
    Read what an upstream sent.

    Args:
        data: The data of one event, UTF-8.

    Returns:
        The text of the first choice, in which a lone surrogate is U+FFFD, and the choice's finish reason, if any.

    Raises:
        ErrorChunk: It is an error.
        SourceError: It is neither a chunk nor an error.
    """
    try:
        chunk = _decode(data)
    except (ValueError, RecursionError):
        text, finish = _readChunk(_decodeFaulty(data, Chunk))
        return replaceSurrogates(text), finish
    choices = chunk.choices
    if choices and len(choices) == 1:
        choice = choices[0]
        delta = choice.delta
        # Nearly all chunks have this shape.
        if type(delta) is dict and choice.index == 0 and choice.finishReason is None:
            content = delta.get("content")
            if type(content) is str:
                return content, None
    return _readChunk(chunk)


def _readChunk(chunk: Chunk) -> tuple[str, str | None]:
    """Read a chunk of any shape."""
    if not chunk.choices:
        if chunk.error is not None:
            raise ErrorChunk(chunk.error, chunk.code)
        if chunk.object == "error":
            raise ErrorChunk(chunk.message, chunk.code)
        return "", None
    text, finish = "", None
    for choice in chunk.choices:
        content = _contentOf(choice)
        if choice.index == 0:
            finish = choice.finishReason or finish
            text += textOf(content)
    return text, finish


def _contentOf(choice: Choice) -> object:
    """
    Return the content in a choice of an upstream.

    Raises:
        SourceError: The delta, its content or the finish reason has the wrong type.
    """
    delta = {} if choice.delta is None else choice.delta
    if not isinstance(delta, dict) or not isinstance(choice.finishReason, str | None):
        raise SourceError(_MALFORMED, Reason.MALFORMED)
    content = delta.get("content")
    parts = content if isinstance(content, list) else ()
    if not isinstance(content, str | list | None) or not all(isinstance(part, dict) for part in parts):
        raise SourceError(_MALFORMED, Reason.MALFORMED)
    return content


def replaceSurrogates(text: str) -> str:
    """Join the halves of surrogate pairs that became adjacent; replace each lone surrogate by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class ChunkWriter:
    """
    Writes the chunks of one answer, as JSON in one line.

    Args:
        answerID: ID of the answer, the same in all its chunks.
        created: When the answer was begun, in seconds since 1970.
        model: Name of the model.
    """

    def __init__(self, answerID: str, created: int, model: str) -> None:
        self._members = {"id": answerID, "object": "chat.completion.chunk", "created": created, "model": model}

    def write(self, delta: Mapping[str, str], finishReason: str | None = None) -> bytes:
        """
        Write a chunk with one choice.

        Args:
            delta: What the chunk adds to the message.
            finishReason: Why the answer ended, in the last chunk with a choice.
        """
        choice = {"index": 0, "delta": delta, "finish_reason": finishReason}
        return toJSON({**self._members, "choices": [choice]})

    def writeUsage(self, usage: Mapping[str, object]) -> bytes:
        """Write the chunk that reports the usage. It has no choices."""
        return toJSON({**self._members, "choices": [], "usage": usage})

    def split(self) -> tuple[bytes, bytes]:
        """Return what stands before and behind the content, a JSON string, in a chunk of text."""
        before, _, behind = self.write({"content": ""}).rpartition(b'""')
        return before, behind


def writeError(message: str, code: object) -> bytes:
    """
    Write an error that takes the place of a chunk; OpenAI's clients raise it.

    Args:
        message: A sentence for people.
        code: A word for programs.
    """
    return toJSON({"error": {"message": message, "type": "server_error", "param": None, "code": code}})
