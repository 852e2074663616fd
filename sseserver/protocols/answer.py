"""
Answer: a chat completion in one piece, put together from the entries of its stream.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from sseserver.errors import AnswerTooLong, RunCancelled, SourceError, SSEServerError
from sseserver.formats.openai import FINISH_REASONS
from sseserver.interfaces import IStreamLog
from sseserver.protocols.prompts import textOfParts
from sseserver.streams.entries import unpack
from sseserver.values import Kind, Reason, State

#: Members of a tool's call that come in pieces; what else a chunk says of it is said whole.
_IN_PIECES = {"arguments", "input"}

#: Members of a chunk that are the answer's as well, beside those that are put together.
_OF_ALL = ("model", "system_fingerprint", "service_tier")


class _ChunkChoice(msgspec.Struct):
    """One of the answers. Who writes chunks has checked them before; what is not as OpenAI has it is passed over."""

    # OpenAI's API has 128 choices at most.
    index: Annotated[int, msgspec.Meta(ge=0, lt=128)] = 0
    delta: Any = None
    finish_reason: Any = None
    logprobs: Any = None


class _Chunk(msgspec.Struct):
    """A chunk of a chat completion, as far as it is put together."""

    choices: list[_ChunkChoice] | None = None
    usage: Any = None
    model: Any = None
    system_fingerprint: Any = None
    service_tier: Any = None


_decodeChunk = msgspec.json.Decoder(_Chunk).decode


class Answer:
    """
    Reads a run's stream log, and becomes a chat completion.

    Args:
        streamLog: The run's.
        model: What the source is called, where its chunks do not say.
        maxBytes: So much is put together; the answer may not be larger.
    """

    def __init__(self, streamLog: IStreamLog, model: str, maxBytes: int) -> None:
        self._log = streamLog
        self._maxBytes = maxBytes
        self._size = 0
        self._choices: dict[int, _Choice] = {}
        self._members: dict[str, Any] = {"model": model}
        self._usage: dict[str, Any] | None = None
        self._ended: tuple[int, dict[str, Any]] | None = None

    def read(self, cursor: int) -> tuple[int, bool]:
        """
        Take in what follows a cursor.

        Returns:
            The new cursor, and whether the stream has ended.

        Raises:
            AnswerTooLong: It has grown too large, or was trimmed.
            SourceError: A chunk cannot be understood.
        """
        log = self._log
        if cursor + 1 < log.buffer.first:
            raise self._tooLong()
        for number in range(cursor + 1, log.last + 1):
            kind, data = log.buffer.kind(number), log.buffer.entry(number)
            self._take(kind, data)
            if self._size > self._maxBytes:
                raise self._tooLong()
        return log.last, log.state is not State.OPEN

    def completion(self) -> dict[str, object]:
        """
        Give the chat completion, once the stream has ended.

        Raises:
            SourceError: The run failed.
            RunCancelled: It was cancelled.
        """
        assert self._ended is not None
        kind, terminal = self._ended
        if kind != Kind.DONE:
            raise _failure(kind, terminal)
        reason = terminal.get("reason")
        finish = reason if reason in FINISH_REASONS else "stop"
        usage = self._usage or terminal.get("usage")
        choices = self._choices or {0: _Choice(0)}
        return {
            "id": f"chatcmpl-{self._log.epoch}",
            "object": "chat.completion",
            "created": int(self._log.created),
            **self._members,
            "choices": [choices[index].told(finish) for index in sorted(choices)],
            **({"usage": usage} if usage else {}),
        }

    def _tooLong(self) -> AnswerTooLong:
        return AnswerTooLong(f"The answer has more than {self._maxBytes} bytes: ask for it as a stream.")

    def _take(self, kind: int, data: bytes) -> None:
        if kind == Kind.TOKEN:
            self._size += len(data)
            self._choice(0).add("content", data.decode("utf-8"))
        elif kind in (Kind.CHUNK, Kind.SILENT_CHUNK):
            self._takeChunk(unpack(data)[0])
        elif kind != Kind.EVENT:
            self._ended = kind, json.loads(data)

    def _takeChunk(self, data: bytes) -> None:
        chunk = _decode(data)
        self._size += _cost(chunk, len(data))
        for name in _OF_ALL:
            if isinstance(getattr(chunk, name), str):
                self._members[name] = getattr(chunk, name)
        if isinstance(chunk.usage, dict):
            self._usage = chunk.usage
        for told in chunk.choices or ():
            self._choice(told.index).take(told)

    def _choice(self, index: int) -> _Choice:
        return self._choices.setdefault(index, _Choice(index))


class _Choice:
    """One choice of a chat completion."""

    def __init__(self, index: int) -> None:
        # Why it ended; when no chunk tells, the stream does.
        self._finish: str | None = None
        self._index = index
        # Text comes in thousands of pieces: each member's are joined in the end.
        self._pieces: dict[str, list[str]] = {}
        self._members: dict[str, Any] = {"role": "assistant"}
        self._calls: dict[int, dict[str, Any]] = {}
        self._logprobs: dict[str, Any] | None = None

    def add(self, name: str, text: str) -> None:
        """Add a piece of text to a member of the message."""
        self._pieces.setdefault(name, []).append(text)

    def take(self, told: _ChunkChoice) -> None:
        """Take in what a chunk tells."""
        if isinstance(told.finish_reason, str):
            self._finish = told.finish_reason
        if isinstance(told.logprobs, dict):
            self._takeLogprobs(told.logprobs)
        for name, value in told.delta.items() if isinstance(told.delta, dict) else ():
            if name == "tool_calls":
                self._takeCalls(value)
            elif name == "function_call" and isinstance(value, dict):
                _merge(self._members.setdefault(name, {}), value)
            elif name == "content" and isinstance(value, list):
                self.add(name, textOfParts(value))
            elif isinstance(value, str) and name != "role":
                self.add(name, value)
            elif value is not None:
                self._members[name] = value

    def _takeLogprobs(self, logprobs: Mapping[str, Any]) -> None:
        """There is a list for each kind of text."""
        if self._logprobs is None:
            self._logprobs = {}
        for name, value in logprobs.items():
            known = self._logprobs.get(name)
            if isinstance(known, list) and isinstance(value, list):
                known.extend(value)
            else:
                self._logprobs[name] = value

    def told(self, finish: object) -> dict[str, object]:
        """
        Give it as a completion has it.

        Args:
            finish: Why the stream ended.
        """
        message = {
            **self._members,
            "content": None if self._calls or "function_call" in self._members else "",
            **{name: _joined(pieces) for name, pieces in self._pieces.items()},
        }
        if self._calls:
            message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        return {
            "index": self._index,
            "message": message,
            "logprobs": self._logprobs,
            "finish_reason": self._finish or finish,
        }

    def _takeCalls(self, calls: object) -> None:
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                # Some servers send each call whole, and no index.
                index = call.get("index")
                _merge(self._calls.setdefault(index if isinstance(index, int) else place, {}), call)


def refusal(streamLog: IStreamLog) -> SSEServerError | None:
    """Give the error of a run that came to nothing; C{None} when there is something of its answer, or nothing yet."""
    if streamLog.buffer.first == 1 and streamLog.last and streamLog.buffer.kind(1) in (Kind.FAILED, Kind.CANCELLED):
        return _failure(streamLog.buffer.kind(1), json.loads(streamLog.buffer.entry(1)))
    return None


def _failure(kind: int, terminal: Mapping[str, Any]) -> SSEServerError:
    if kind == Kind.FAILED:
        return SourceError.fromEntry(terminal)
    return RunCancelled(f"The answer was cancelled ({terminal.get('reason')}).")


def _decode(data: bytes) -> _Chunk:
    """Read a chunk; also what is not quite JSON: NaN, and halves of characters that some upstreams cut in two."""
    try:
        return _decodeChunk(data)
    except (ValueError, RecursionError):
        pass
    try:
        return msgspec.convert(json.loads(data, parse_constant=lambda _: None), _Chunk)
    except (ValueError, RecursionError):
        raise SourceError("A chunk of the answer cannot be read.", Reason.MALFORMED) from None


def _joined(pieces: list[str]) -> str:
    """Put text together; two halves of a character are one again, and one alone is U+FFFD."""
    return "".join(pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _cost(chunk: _Chunk, size: int) -> int:
    """Say what is kept of a chunk, in bytes: its text; all of it, where there is something else in it."""
    cost = 0
    for choice in chunk.choices or ():
        values = choice.delta.values() if isinstance(choice.delta, dict) else ()
        if choice.logprobs or not all(isinstance(value, str | None) for value in values):
            return size
        cost += sum(len(value or "") for value in values)
    return cost


def _merge(known: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Put a piece of a tool's call to what is known of it."""
    for name, value in delta.items():
        if isinstance(value, dict):
            inner = known.setdefault(name, {})
            if isinstance(inner, dict):
                _merge(inner, value)
        elif name in _IN_PIECES and isinstance(value, str) and isinstance(known.get(name), str):
            known[name] += value
        elif value is not None and name != "index":
            known[name] = value
