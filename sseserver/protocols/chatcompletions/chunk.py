"""
Chunks of a streamed chat completion: the schema that reads them, and the writer that makes them.

The upstream source reads chunks with `ChunkReader`, the completion builder with `decodeChunk`; the format `openai`
writes them with `ChunkWriter`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

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

#: Finish reason of an answer that broke off, as OpenRouter sends it.
_ERROR = "error"

_MALFORMED = "The answer contains a chunk that cannot be read."

#: Bytes that end a string in JSON, or begin an escape in it.
_QUOTE, _BACKSLASH = b'"\\'

#: Bytes. Larger chunks are not learned: their head and end would be kept as long as the answer lasts.
_LEARNED = 2048

#: Number of chunks of different looks, after which a reader learns nothing: some upstreams pad each chunk.
_TRIES = 8

# A high surrogate at the end of a text: the first half of a character.
_HALF = re.compile("[\ud800-\udbff]\\Z")


class Delta(Struct, gc=False):
    """
    The members of a message that a chunk adds.

    Attributes:
        content: A text, or a list of parts.
    """

    content: Any = None


class Choice(Struct, gc=False):
    """
    One choice in a chunk.

    Attributes:
        index: Number of the choice; 0 where the chunk does not say.
        delta: The members of the message that the chunk adds.
        finishReason: Why the choice ended, as a string.
        error: An error that ended the choice.
    """

    index: int | None = 0
    delta: Delta | None = None
    finishReason: Any = msgspec.field(name="finish_reason", default=None)
    error: Any = None


class Chunk(Struct, gc=False):
    """
    A chunk of a chat completion, or an error in place of one.

    Only the shape that every reader needs is checked: upstreams differ in the rest. The members `object` to `code`
    belong to errors in vLLM's older shape.
    """

    choices: list[Choice] | None = None
    error: Any = None
    object: Any = None
    message: Any = None
    type: Any = None
    param: Any = None
    code: Any = None


class ErrorChunk(SSEServerError):
    """
    An error that an upstream sent in a chunk, or in place of one.

    Args:
        error: The error as it was sent: an object with a member `message`, or a string.
        errorCode: The member `code` beside the error.
    """

    def __init__(self, error: Any, errorCode: Any = None) -> None:
        super().__init__("The upstream reported an error.")
        self.error = error
        self.errorCode = errorCode


_decode = msgspec.json.Decoder(Chunk).decode
_decodeAny = msgspec.json.Decoder().decode


def decodeChunk(data: bytes) -> dict[str, Any]:
    """
    Decode a chunk with all its members, even one with the usual faults of upstreams.

    The faults are `NaN`, which becomes `None`, and characters cut into the two halves of a surrogate pair, which stay
    lone surrogates.

    Returns:
        The chunk; empty if it is JSON, but not an object.

    Raises:
        SourceError: It is not JSON.
    """
    value = decodeValue(data)
    return value if isinstance(value, dict) else {}


def decodeValue(data: bytes) -> Any:
    """
    Decode JSON, even with the faults that `decodeChunk` names.

    Raises:
        SourceError: It is not JSON.
    """
    try:
        return _decodeAny(data)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(data.decode("utf-8"), parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise SourceError(_MALFORMED, Reason.MALFORMED) from None


class ChunkEnd(NamedTuple):
    """
    The end of choices, as a chunk reports it.

    Attributes:
        reason: Finish reason of the first choice, if that is among them.
        choices: Numbers of the choices that have ended.
    """

    reason: str | None
    choices: frozenset[int]


class ChunkText(NamedTuple):
    """
    Text and end of choices that a chunk has for a stream.

    Attributes:
        text: Text of the first choice, without lone surrogates; may be empty.
        end: The end of choices, if the chunk reports any.
    """

    text: str
    end: ChunkEnd | None


class ChunkReader:
    """
    Reads the chunks of one answer.

    It keeps the first half of a character that the upstream cut in two, until the text that follows has the second.

    Most upstreams write chunks that differ in nothing but the text. When the reader has learned how they look, it takes
    the text out of a chunk without reading the rest.
    """

    __slots__ = ("_before", "_behind", "_half", "_isSure", "_start", "_stop", "_text", "_tries")

    def __init__(self) -> None:
        self._half = ""
        # The last chunk: what stands before its text, the text, and what stands behind it.
        self._before = self._text = self._behind = b""
        # Place of the text: its start, and its end, counted from the end of the chunk.
        self._start = self._stop = 0
        # Whether the text is known to stand there; chunks to look at until it is.
        self._isSure = False
        self._tries = _TRIES

    def read(self, data: bytes) -> ChunkText | tuple[str, None] | None:
        """
        Read what an upstream sent.

        Args:
            data: The data of one event, UTF-8.

        Returns:
            The text and the end, as in `ChunkText`; `None` for JSON that is not an object, which is no chunk.

        Raises:
            ErrorChunk: It is an error, or has one.
            SourceError: It is not JSON.
        """
        if self._isSure and not self._half:
            text = data[self._start : self._stop]
            # Slices take less time than `startswith`. The text of a chunk whose head and end overlap would be empty.
            if (
                text
                and data[: self._start] == self._before
                and data[self._stop :] == self._behind
                and _QUOTE not in text
                and _BACKSLASH not in text
            ):
                try:
                    plain = text.decode("utf-8")
                except UnicodeDecodeError:
                    # It is refused below.
                    plain = "\n"
                # Control characters must be escaped. Whatever else is not printable is read below, too.
                if plain.isprintable():
                    return plain, None
        try:
            chunk = _decode(data)
        except (ValueError, RecursionError):
            odd = _makeChunk(decodeValue(data))
            return None if odd is None else self._read(odd)
        choices = chunk.choices
        if choices and len(choices) == 1 and chunk.error is None:
            choice = choices[0]
            # Nearly all chunks have this shape.
            if choice.index == 0 and choice.finishReason is None and choice.error is None and not self._half:
                delta = choice.delta
                if delta is not None:
                    content = delta.content
                    if type(content) is str:
                        if self._tries and len(data) <= _LEARNED:
                            self._learn(data, content.encode("utf-8"))
                        return content, None
        return self._read(chunk)

    def _learn(self, data: bytes, text: bytes) -> None:
        """
        Learn how the chunks of this answer look around their texts.

        A text that stands between quotes is probably that of the chunk. It is for sure, if the next chunk differs there
        alone and has the other text: what is outside is the same, so the text cannot be from there.

        Args:
            data: A chunk without an end.
            text: Its text, UTF-8.
        """
        before, behind = self._before, self._behind
        if not self._isSure and text != self._text and data == b"%b%b%b" % (before, text, behind):
            self._isSure = True
            self._tries = _TRIES
            return
        place = data.rfind(b'"%b"' % text) + 1
        if place:
            self._before, self._text, self._behind = data[:place], text, data[place + len(text) :]
            self._start, self._stop = place, -len(self._behind)
            self._isSure = False
            self._tries -= 1

    def _read(self, chunk: Chunk) -> ChunkText:
        """Read a chunk of any shape."""
        _checkError(chunk)
        text, reason, ended = "", None, set()
        for choice in chunk.choices or ():
            index = choice.index or 0
            finish = choice.finishReason if isinstance(choice.finishReason, str) else ""
            if finish:
                ended.add(index)
            if index == 0:
                reason = finish or reason
                text += "" if choice.delta is None else textOf(choice.delta.content)
        return ChunkText(self._join(text, 0 in ended), ChunkEnd(reason, frozenset(ended)) if ended else None)

    def _join(self, text: str, last: bool) -> str:
        """Put a text behind the half character before it, and keep a half at its end, unless it is the last text."""
        text = self._half + text
        half = None if last else _HALF.search(text)
        self._half = "" if half is None else half[0]
        return replaceSurrogates(text if half is None else text[:-1])


def _checkError(chunk: Chunk) -> None:
    """Raise the error in a chunk, if there is one."""
    if chunk.error or (chunk.error is not None and not chunk.choices):
        raise ErrorChunk(chunk.error, chunk.code)
    if chunk.object == "error" and not chunk.choices:
        raise ErrorChunk({"message": chunk.message, "type": chunk.type, "param": chunk.param, "code": chunk.code})
    for choice in chunk.choices or ():
        if choice.error or choice.finishReason == _ERROR:
            raise ErrorChunk(choice.error)


def _makeChunk(value: Any) -> Chunk | None:
    """
    Make a chunk of JSON in an unusual shape: members of wrong types are left out.

    Returns:
        The chunk; `None` if the value is neither an object nor a list that begins with an error.
    """
    if isinstance(value, list) and value and isinstance(value[0], dict) and "error" in value[0]:
        value = {name: value[0].get(name) for name in ("error", "code")}
    if not isinstance(value, dict):
        return None
    found = value.get("choices")
    choices = [_makeChoice(one) for one in (found if isinstance(found, list) else ()) if isinstance(one, dict)]
    told = {name: value.get(name) for name in ("error", "object", "message", "type", "param", "code")}
    return Chunk(choices, **told)


def _makeChoice(value: dict[str, Any]) -> Choice:
    index, delta = value.get("index"), value.get("delta")
    return Choice(
        index if isinstance(index, int) else 0,
        Delta(delta.get("content")) if isinstance(delta, dict) else None,
        value.get("finish_reason"),
        value.get("error"),
    )


def replaceSurrogates(text: str) -> str:
    """Join the halves of surrogate pairs that became adjacent; replace each lone surrogate by U+FFFD."""
    try:
        # Most texts have none, and this check is cheap.
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class ChunkWriter:
    """
    Writes the chunks of one answer, as JSON in one line.

    Args:
        answerID: ID of the answer, the same in all its chunks.
        created: When the answer was begun, in seconds since 1970.
        model: Name of the model.
        withUsage: Whether the usage was requested; every chunk has the member `usage` then.
    """

    def __init__(self, answerID: str, created: int, model: str, withUsage: bool = False) -> None:
        self._usage = {"usage": None} if withUsage else {}
        self._members = {"id": answerID, "object": "chat.completion.chunk", "created": created, "model": model}

    def write(self, delta: Mapping[str, str], finishReason: str | None = None) -> bytes:
        """
        Write a chunk with one choice.

        Args:
            delta: What the chunk adds to the message.
            finishReason: Why the answer ended, in the last chunk with a choice.
        """
        choice = {"index": 0, "delta": delta, "finish_reason": finishReason}
        return toJSON({**self._members, "choices": [choice], **self._usage})

    def writeUsage(self, usage: Mapping[str, object]) -> bytes:
        """Write the chunk that reports the usage. It has no choices."""
        return toJSON({**self._members, "choices": [], "usage": usage})

    def split(self) -> tuple[bytes, bytes]:
        """Return what stands before and behind the content, a JSON string, in a chunk of text."""
        before, _, behind = self.write({"content": ""}).rpartition(b'""')
        return before, behind


def writeError(message: str, code: object, type: object = "server_error", param: object = None) -> bytes:
    """
    Write an error that takes the place of a chunk; OpenAI's clients raise it.

    Args:
        message: A sentence for people.
        code: A word for programs.
        type: Class of the error.
        param: The wrong member of the request.
    """
    return toJSON({"error": {"message": message, "type": type, "param": param, "code": code}})
