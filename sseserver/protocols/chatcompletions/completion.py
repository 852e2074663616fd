"""
A chat completion in one piece, put together from the texts and the chunks of a streamed answer.

`apis/chat` feeds the builder from the stream log of a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sseserver.errors import AnswerTooLong, SourceError
from sseserver.jsontext import toJSON
from sseserver.protocols.chatcompletions.accumulation import accumulate, build
from sseserver.protocols.chatcompletions.chunk import FINISH_REASONS, decodeChunk, decodeValue
from sseserver.protocols.chatcompletions.content import textOf
from sseserver.protocols.jsonpieces import Array
from sseserver.values import Reason

#: Choices of one completion, as in OpenAI's API.
MAX_CHOICES = 128

#: Members of chunks that say something else about a completion, or nothing. All others pass into the completion.
_CHUNK_MEMBERS = frozenset({"object", "choices", "usage", "error", "obfuscation"})

#: Members of choices in chunks that the builder itself reads. `message` repeats the deltas (Perplexity).
_CHOICE_MEMBERS = frozenset({"index", "delta", "message", "finish_reason", "logprobs", "error"})

#: Members of messages that may stand for an answer in words.
_INSTEAD = ("tool_calls", "function_call", "refusal", "audio")

#: Types of members that OpenAI's clients rely on.
_TYPES = {"id": str, "created": int, "model": str, "system_fingerprint": str, "service_tier": str}


class CompleteCall(NamedTuple):
    """
    A tool call of a complete answer.

    Attributes:
        id: Its ID; may be empty.
        name: Name of the tool; may be empty.
        arguments: The arguments, decoded.
    """

    id: str
    name: str
    arguments: dict[str, Any]


class CompletionBuilder:
    """
    Puts a chat completion together.

    Args:
        model: Name of the model, unless the chunks name another.
        maxBytes: Limit of what is kept of the answer.

    Attributes:
        size: Bytes that are kept of the answer.
    """

    def __init__(self, model: str, maxBytes: int) -> None:
        self.size = 0
        self._maxBytes = maxBytes
        self._choices: dict[int, _ChoiceBuilder] = {}
        self._members: dict[str, Any] = {"model": model}
        self._usage: dict[str, Any] | None = None

    def addText(self, text: bytes) -> None:
        """
        Add text to the first choice.

        Args:
            text: UTF-8.

        Raises:
            AnswerTooLong: The answer exceeds the limit.
        """
        self._count(len(text))
        self._choice(0).take({"delta": {"content": text.decode("utf-8")}})

    def addChunk(self, data: bytes) -> None:
        """
        Add a chunk of an upstream. Members that do not have the types of OpenAI's API are ignored.

        Args:
            data: The chunk, JSON in UTF-8.

        Raises:
            AnswerTooLong: The answer exceeds the limit.
            SourceError: The chunk cannot be read, or has the number of a choice that is out of range.
        """
        chunk = decodeChunk(data)
        self._count(self._cost(chunk, len(data)))
        _replace(self._members, chunk, _CHUNK_MEMBERS)
        usage = chunk.get("usage") or _member(chunk.get("x_groq"), "usage")
        if isinstance(usage, dict):
            self._usage = usage
        try:
            for choice in _choicesOf(chunk):
                self._choice(choice.get("index")).take(choice)
        except RecursionError:
            raise SourceError("The answer contains a chunk that is nested too deep.", Reason.MALFORMED) from None

    def build(self, answerID: str, created: int, reason: object, usage: object) -> dict[str, object]:
        """
        Return the completion. Its members may be in pieces: `unfold` and `build` make JSON of them.

        Args:
            answerID: ID of the answer, unless the chunks have one.
            created: When the answer was begun, in seconds since 1970, unless the chunks say so.
            reason: Why the stream ended: the finish reason of choices whose chunks have none. `stop` if it is not
                one of OpenAI's.
            usage: The usage, unless the chunks report it; `None` if it is not known.
        """
        finish = reason if reason in FINISH_REASONS else Reason.STOP
        usage = self._usage or usage
        choices = self._choices or {0: _ChoiceBuilder(0)}
        return {
            "id": answerID,
            "object": "chat.completion",
            "created": created,
            **self._members,
            "choices": Array([choices[index].build(finish) for index in sorted(choices)]),
            **({"usage": usage} if usage else {}),
        }

    def tooLong(self) -> AnswerTooLong:
        """Make the error of an answer that exceeds the limit."""
        return AnswerTooLong(f"The answer has more than {self._maxBytes} bytes: ask for it as a stream.")

    def _count(self, size: int) -> None:
        self.size += size
        if self.size > self._maxBytes:
            raise self.tooLong()

    def _cost(self, chunk: Mapping[str, Any], size: int) -> int:
        """
        Return the number of bytes that are kept of a chunk: its text, or all of it if more of it is kept than text.

        Args:
            chunk: The decoded chunk.
            size: Bytes of its JSON.
        """
        if not self._members.keys() >= chunk.keys() - _CHUNK_MEMBERS - _TYPES.keys():
            return size
        cost = 0
        for choice in _choicesOf(chunk):
            delta = choice.get("delta")
            values = delta.values() if isinstance(delta, dict) else ()
            if choice.get("logprobs") or not all(isinstance(value, str | None) for value in values):
                return size
            cost += sum(len(value or "") for value in values)
        return cost

    def _choice(self, index: object) -> _ChoiceBuilder:
        number = index if isinstance(index, int) else 0
        if not 0 <= number < MAX_CHOICES:
            raise SourceError(f"The answer contains a choice with the number {number}.", Reason.MALFORMED)
        return self._choices.setdefault(number, _ChoiceBuilder(number))


class _ChoiceBuilder:
    """One choice of a completion."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._finish: str | None = None
        self._message: dict[str, Any] = {}
        self._logprobs: dict[str, Any] = {}
        # Other members, which chunks repeat whole.
        self._members: dict[str, Any] = {}

    def take(self, choice: Mapping[str, Any]) -> None:
        """Take in a choice of a chunk."""
        finish, logprobs, delta = choice.get("finish_reason"), choice.get("logprobs"), choice.get("delta")
        if isinstance(finish, str):
            self._finish = finish
        if isinstance(logprobs, dict):
            accumulate(self._logprobs, logprobs)
        _replace(self._members, choice, _CHOICE_MEMBERS)
        if isinstance(delta, dict):
            content = delta.get("content")
            accumulate(self._message, {**delta, "content": textOf(content)} if isinstance(content, list) else delta)

    def build(self, finish: object) -> dict[str, object]:
        """
        Return the choice of the completion, in pieces.

        Args:
            finish: The finish reason if no chunk has one.
        """
        message = {"role": None, "content": "", "refusal": None, **self._message}
        message["role"] = message["role"] or "assistant"
        if not message["content"] and any(map(message.get, _INSTEAD)):
            # OpenAI's clients take an empty string for the answer.
            message["content"] = None
        return {
            "index": self._index,
            "message": message,
            "logprobs": self._logprobs or None,
            "finish_reason": self._finish or finish,
            **self._members,
        }


def listCalls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Return the tool calls of a message that are objects.

    Args:
        message: Of a choice of a completion, in pieces.
    """
    return _listObjects(build(message.get("tool_calls")))


def readCall(call: Mapping[str, Any]) -> CompleteCall:
    """
    Read a tool call of a completion.

    Args:
        call: From `listCalls`.

    Raises:
        SourceError: Its arguments are no JSON object.
    """
    function = call.get("function")
    members = function if isinstance(function, Mapping) else {}
    try:
        arguments = json.loads(members.get("arguments") or "{}")
    except (ValueError, RecursionError, TypeError):
        arguments = None
    if not isinstance(arguments, dict):
        raise SourceError("The arguments of a tool call in the answer are no JSON object.", Reason.MALFORMED)
    return CompleteCall(call.get("id") or "", members.get("name") or "", arguments)


def _choicesOf(chunk: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the choices in a chunk that are objects."""
    return _listObjects(chunk.get("choices"))


def _listObjects(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list; none in anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _replace(known: dict[str, Any], members: Mapping[str, Any], others: frozenset[str]) -> None:
    """Keep the newest value of each member, except those in `others`, and except empty and wrong ones."""
    for name, value in members.items():
        kind = _TYPES.get(name)
        if name not in others and value is not None and (kind is None or (value and isinstance(value, kind))):
            known[name] = value


def _member(value: object, name: str) -> object:
    """Return a member of a value, or `None` if the value is not an object or lacks it."""
    return value.get(name) if isinstance(value, dict) else None


def convertCompletion(document: bytes) -> bytes:
    """
    Convert a chat completion in one piece into the chunk that has all of it.

    Args:
        document: JSON in UTF-8: a completion, or an error, which is returned unchanged.

    Returns:
        The chunk, JSON in UTF-8.

    Raises:
        SourceError: It is neither.
    """
    try:
        value = decodeValue(document)
    except SourceError:
        value = None
    told = value[0] if isinstance(value, list) and value else value
    if isinstance(told, dict) and (told.get("error") or told.get("object") == "error"):
        return document
    choices = _choicesOf(value) if isinstance(value, dict) else []
    if not choices or not isinstance(value, dict):
        raise SourceError("The upstream's answer is neither an event stream nor a completion.", Reason.MALFORMED)
    return toJSON({**value, "object": "chat.completion.chunk", "choices": [_convertChoice(one) for one in choices]})


def _convertChoice(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a choice of a completion into one of a chunk, in which tool calls have numbers."""
    members = {name: value for name, value in choice.items() if name != "message"}
    message = choice.get("message")
    delta = dict(message) if isinstance(message, dict) else choice.get("delta")
    if isinstance(delta, dict) and isinstance(delta.get("tool_calls"), list):
        calls = enumerate(delta["tool_calls"])
        delta["tool_calls"] = [{"index": n, **call} if isinstance(call, dict) else call for n, call in calls]
    return {**members, "delta": delta}
