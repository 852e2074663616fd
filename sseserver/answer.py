"""
Answer: a chat completion in one piece, put together from the entries of its stream.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from sseserver.completions import FINISH_REASONS
from sseserver.entries import unpack
from sseserver.errors import AnswerTooLong, Overloaded, RunCancelled, RunFailed, SSEServerError
from sseserver.interfaces import IStreamLog, Kind, State

#: Reasons of runs that failed with their server: it, or another one, can answer soon.
_STOPPED = {"shutdown", "interrupted"}

#: Members of a tool's call that come in pieces; what else a chunk says of it is said whole.
_IN_PIECES = {"arguments", "input"}

#: Members of a chunk that are the answer's as well, beside those that are put together.
_OF_ALL = ("model", "system_fingerprint", "service_tier")


class _ChunkChoice(msgspec.Struct):
    # OpenAI's API has 128 choices at most.
    index: Annotated[int, msgspec.Meta(ge=0, lt=128)] = 0
    delta: dict[str, Any] | None = None
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class _Chunk(msgspec.Struct):
    """A chunk of a chat completion, as far as it is put together."""

    choices: list[_ChunkChoice] = []
    usage: dict[str, Any] | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


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
            RunFailed: A chunk cannot be understood.
        """
        log = self._log
        if cursor + 1 < log.first:
            raise self._tooLong()
        for number in range(cursor + 1, log.last + 1):
            kind, data = log.kinds[number - log.first], log.entry(number)
            self._take(kind, data)
            if self._size > self._maxBytes:
                raise self._tooLong()
        return log.last, log.state is not State.OPEN

    def completion(self) -> dict[str, object]:
        """
        Give the chat completion, once the stream has ended.

        Raises:
            RunFailed: The run failed.
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
            self._choice(0).take({"content": data.decode("utf-8")})
        elif kind in (Kind.CHUNK, Kind.SILENT_CHUNK):
            self._takeChunk(unpack(data)[0])
        elif kind != Kind.EVENT:
            self._ended = kind, json.loads(data)

    def _takeChunk(self, data: bytes) -> None:
        try:
            chunk = msgspec.json.decode(data, type=_Chunk)
        except (msgspec.DecodeError, RecursionError):
            raise RunFailed("A chunk of the answer cannot be read.", "malformed") from None
        self._size += _cost(chunk, len(data))
        for name in _OF_ALL:
            if getattr(chunk, name) is not None:
                self._members[name] = getattr(chunk, name)
        self._usage = chunk.usage or self._usage
        for told in chunk.choices:
            choice = self._choice(told.index)
            choice.take(told.delta or {})
            choice.finish = told.finish_reason or choice.finish
            choice.takeLogprobs(told.logprobs)

    def _choice(self, index: int) -> _Choice:
        return self._choices.setdefault(index, _Choice(index))


class _Choice:
    """
    One choice of a chat completion.

    Attributes:
        finish: Why it ended; C{None}: the stream says that.
    """

    def __init__(self, index: int) -> None:
        self.finish: str | None = None
        self._index = index
        # Text comes in thousands of pieces: each member's are joined in the end.
        self._pieces: dict[str, list[str]] = {}
        self._members: dict[str, Any] = {"role": "assistant"}
        self._calls: dict[int, dict[str, Any]] = {}
        self._logprobs: dict[str, Any] | None = None

    def take(self, delta: Mapping[str, Any]) -> None:
        """Take in a delta."""
        for name, value in delta.items():
            if name == "tool_calls":
                self._takeCalls(value)
            elif name == "function_call" and isinstance(value, dict):
                _merge(self._members.setdefault(name, {}), value)
            elif isinstance(value, str) and name != "role":
                self._pieces.setdefault(name, []).append(value)
            elif value is not None:
                self._members[name] = value

    def takeLogprobs(self, logprobs: Mapping[str, Any] | None) -> None:
        """Take in a chunk's log probabilities: a list for each kind of text."""
        if logprobs is None:
            return
        if self._logprobs is None:
            self._logprobs = {}
        for name, value in logprobs.items():
            known = self._logprobs.get(name)
            self._logprobs[name] = known + value if isinstance(known, list) and isinstance(value, list) else value

    def told(self, finish: object) -> dict[str, object]:
        """
        Give it as a completion has it.

        Args:
            finish: Why the stream ended.
        """
        message = {
            **self._members,
            "content": None if self._calls or "function_call" in self._members else "",
            **{name: "".join(pieces) for name, pieces in self._pieces.items()},
        }
        if self._calls:
            message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        return {
            "index": self._index,
            "message": message,
            "logprobs": self._logprobs,
            "finish_reason": self.finish or finish,
        }

    def _takeCalls(self, calls: object) -> None:
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                # Some servers send each call whole, and no index.
                index = call.get("index")
                _merge(self._calls.setdefault(index if isinstance(index, int) else place, {}), call)


def refusal(streamLog: IStreamLog) -> SSEServerError | None:
    """Give the error of a run that came to nothing; C{None} when there is something of its answer, or nothing yet."""
    if streamLog.first == 1 and streamLog.last and streamLog.kinds[0] in (Kind.FAILED, Kind.CANCELLED):
        return _failure(streamLog.kinds[0], json.loads(streamLog.entry(1)))
    return None


def runFailed(terminal: Mapping[str, Any]) -> RunFailed:
    """Make the error of a run that failed from what its terminal entry says (L{SourceError.terminal})."""
    reason = str(terminal.get("reason"))
    message = terminal.get("message") or f"The answer failed ({reason})."
    if reason in _STOPPED:
        return RunFailed(message, reason, Overloaded.status, Overloaded.retryAfter)
    return RunFailed(message, reason, terminal.get("status"), terminal.get("retryAfter"))


def _failure(kind: int, terminal: Mapping[str, Any]) -> SSEServerError:
    if kind == Kind.FAILED:
        return runFailed(terminal)
    return RunCancelled(f"The answer was cancelled ({terminal.get('reason')}).")


def _cost(chunk: _Chunk, size: int) -> int:
    """Say what is kept of a chunk, in bytes: its text; all of it, where there is something else in it."""
    values = [value for choice in chunk.choices for value in (choice.delta or {}).values()]
    if any(choice.logprobs for choice in chunk.choices) or not all(isinstance(value, str | None) for value in values):
        return size
    return sum(len(value or "") for value in values)


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
