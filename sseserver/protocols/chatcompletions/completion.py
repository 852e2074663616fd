"""
A chat completion in one piece, put together from the texts and the chunks of a streamed answer.

`apis/chat` feeds the builder from the stream log of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sseserver.errors import AnswerTooLong, SourceError
from sseserver.protocols.chatcompletions.chunk import (
    FINISH_REASONS,
    Choice,
    Chunk,
    decodeChunk,
    replaceSurrogates,
)
from sseserver.protocols.chatcompletions.content import textOf
from sseserver.values import Reason

#: Choices of one completion, as in OpenAI's API.
MAX_CHOICES = 128

#: Members of a tool call that come in pieces; chunks repeat the others whole.
_IN_PIECES = frozenset({"arguments", "input"})


class CompletionBuilder:
    """
    Puts a chat completion together.

    Args:
        model: Name of the model, unless the chunks name another.
        maxBytes: Limit of what is kept of the answer.
    """

    def __init__(self, model: str, maxBytes: int) -> None:
        self._maxBytes = maxBytes
        self._size = 0
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
        self._choice(0).add("content", text.decode("utf-8"))

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
        self._count(_cost(chunk, len(data)))
        told = {"model": chunk.model, "system_fingerprint": chunk.systemFingerprint, "service_tier": chunk.serviceTier}
        self._members.update({name: value for name, value in told.items() if isinstance(value, str)})
        if isinstance(chunk.usage, dict):
            self._usage = chunk.usage
        for choice in chunk.choices or ():
            self._choice(choice.index).take(choice)

    def build(self, answerID: str, created: int, reason: object, usage: object) -> dict[str, object]:
        """
        Return the completion, as a value for JSON.

        Args:
            answerID: ID of the answer.
            created: When the answer was begun, in seconds since 1970.
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
            "choices": [choices[index].build(finish) for index in sorted(choices)],
            **({"usage": usage} if usage else {}),
        }

    def tooLong(self) -> AnswerTooLong:
        """Make the error of an answer that exceeds the limit."""
        return AnswerTooLong(f"The answer has more than {self._maxBytes} bytes: ask for it as a stream.")

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._maxBytes:
            raise self.tooLong()

    def _choice(self, index: int) -> _ChoiceBuilder:
        if not 0 <= index < MAX_CHOICES:
            raise SourceError(f"The answer contains a choice with the number {index}.", Reason.MALFORMED)
        return self._choices.setdefault(index, _ChoiceBuilder(index))


class _ChoiceBuilder:
    """One choice of a completion."""

    def __init__(self, index: int) -> None:
        self._finish: str | None = None
        self._index = index
        # Pieces of text by member of the message; there may be thousands, so they are joined once, at the end.
        self._pieces: dict[str, list[str]] = {}
        self._members: dict[str, Any] = {"role": "assistant"}
        self._calls: dict[int, dict[str, Any]] = {}
        self._logprobs: dict[str, Any] | None = None

    def add(self, name: str, text: str) -> None:
        """Add text to a member of the message."""
        self._pieces.setdefault(name, []).append(text)

    def take(self, choice: Choice) -> None:
        """Take in a choice of a chunk."""
        if isinstance(choice.finishReason, str):
            self._finish = choice.finishReason
        if isinstance(choice.logprobs, dict):
            self._takeLogprobs(choice.logprobs)
        for name, value in choice.delta.items() if isinstance(choice.delta, dict) else ():
            if name == "tool_calls":
                self._takeCalls(value)
            elif name == "function_call" and isinstance(value, dict):
                _merge(self._members.setdefault(name, {}), value)
            elif name == "content" and isinstance(value, list):
                self.add(name, textOf(value))
            elif isinstance(value, str) and name != "role":
                self.add(name, value)
            elif value is not None:
                self._members[name] = value

    def build(self, finish: object) -> dict[str, object]:
        """
        Return the choice of the completion.

        Args:
            finish: The finish reason if no chunk has one.
        """
        message = {
            **self._members,
            "content": None if self._calls or "function_call" in self._members else "",
            **{name: replaceSurrogates("".join(pieces)) for name, pieces in self._pieces.items()},
        }
        if self._calls:
            message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        return {
            "index": self._index,
            "message": message,
            "logprobs": self._logprobs,
            "finish_reason": self._finish or finish,
        }

    def _takeLogprobs(self, logprobs: Mapping[str, Any]) -> None:
        """Extend the list of log probabilities of each member."""
        if self._logprobs is None:
            self._logprobs = {}
        for name, value in logprobs.items():
            known = self._logprobs.get(name)
            if isinstance(known, list) and isinstance(value, list):
                known.extend(value)
            else:
                self._logprobs[name] = value

    def _takeCalls(self, calls: object) -> None:
        """Take in pieces of tool calls; servers that send each call whole leave the index out."""
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                index = call.get("index")
                _merge(self._calls.setdefault(index if isinstance(index, int) else place, {}), call)


def _cost(chunk: Chunk, size: int) -> int:
    """
    Return the number of bytes that are kept of a chunk: its text, or all of it if it has more than text.

    Args:
        chunk: The decoded chunk.
        size: Bytes of its JSON.
    """
    cost = 0
    for choice in chunk.choices or ():
        values = choice.delta.values() if isinstance(choice.delta, dict) else ()
        if choice.logprobs or not all(isinstance(value, str | None) for value in values):
            return size
        cost += sum(len(value or "") for value in values)
    return cost


def _merge(known: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Add a piece of a tool call to the pieces before it."""
    for name, value in delta.items():
        if isinstance(value, dict):
            inner = known.setdefault(name, {})
            if isinstance(inner, dict):
                _merge(inner, value)
        elif name in _IN_PIECES and isinstance(value, str) and isinstance(known.get(name), str):
            known[name] += value
        elif value is not None and name != "index":
            known[name] = value
