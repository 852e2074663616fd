"""
The answer of a run as a chat completion: read from the run's stream log, entry by entry, as the log grows.

The APIs of models answer in one piece with it; `sseserver.web.answering` waits for its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from sseserver.errors import RunCancelled, SourceError, SSEServerError
from sseserver.formats.openai import nameAnswer
from sseserver.interfaces import IStreamLog
from sseserver.protocols.chatcompletions import CompletionBuilder
from sseserver.streams.entries import countResponseEvents, findRestart, unpack
from sseserver.values import Kind, State

#: Bytes of entries that are read in one turn of the reactor, at least one entry.
STEP_BYTES = 256 * 1024

#: Entries that are read in one turn of the reactor. Tokens in a row count as one.
STEP_ENTRIES = 250

_TOKENS = re.compile(b"[%b]+" % bytes((Kind.TOKEN,)))


class _End(NamedTuple):
    """
    The end of a stream.

    Attributes:
        kind: Kind of the terminal entry.
        members: Members of its data.
    """

    kind: int
    members: Mapping[str, Any]


class Answer:
    """
    Reads a run's stream log into a chat completion.

    Args:
        streamLog: The log of the run.
        model: Name of the source as a model.
        maxBytes: Limit of the answer.
    """

    def __init__(self, streamLog: IStreamLog, model: str, maxBytes: int) -> None:
        self._log = streamLog
        self._makeBuilder = partial(CompletionBuilder, model, maxBytes)
        self._builder = self._makeBuilder()
        self._end: _End | None = None

    def read(self, cursor: int) -> tuple[int, bool]:
        """
        Take in the entries after a cursor, as many as one turn of the reactor has time for.

        Returns:
            The new cursor, and whether it is at the end of the stream.

        Raises:
            AnswerTooLong: The answer exceeds the limit, or its beginning is no longer kept.
            SourceError: A chunk cannot be read.
        """
        log, buffer = self._log, self._log.buffer
        if cursor + 1 < buffer.first:
            restart = findRestart(buffer.kinds, log.last + 1 - buffer.first)
            if restart < 0:
                raise self._builder.tooLong()
            cursor = buffer.first + restart - 1
        end = buffer.fit(cursor + 1, log.last, STEP_BYTES) if cursor < log.last else cursor
        for _ in range(STEP_ENTRIES):
            if cursor == end:
                break
            row = _TOKENS.match(buffer.kinds, cursor + 1 - buffer.first, end + 1 - buffer.first)
            if row is None:
                cursor += 1
                self._take(buffer.kind(cursor), buffer.entry(cursor))
            else:
                first, cursor = cursor + 1, cursor + row.end() - row.start()
                self._builder.addText(buffer.span(first, cursor))
        return cursor, cursor == log.last and log.state is not State.OPEN

    @property
    def isLarge(self) -> bool:
        """Whether the completion is to be encoded in pieces."""
        return self._builder.size > STEP_BYTES

    @property
    def durations(self) -> object:
        """The member `durations` of the entry `done`; see `RunTraits`. `None` without it."""
        return None if self._end is None else self._end.members.get("durations")

    def completion(self) -> dict[str, object]:
        """
        Return the chat completion of a stream that has ended. Its members may be in pieces; see `CompletionBuilder`.

        Raises:
            SourceError: The run failed.
            RunCancelled: The run was cancelled.
        """
        assert self._end is not None
        if self._end.kind != Kind.DONE:
            raise _failure(self._end)
        log, members = self._log, self._end.members
        return self._builder.build(nameAnswer(log), int(log.created), members.get("reason"), members.get("usage"))

    def _take(self, kind: int, data: bytes) -> None:
        if kind in (Kind.CHUNK, Kind.SILENT_CHUNK):
            self._builder.addChunk(unpack(data)[0])
        elif kind == Kind.RESTART:
            self._builder = self._makeBuilder()
        elif kind not in (Kind.EVENT, Kind.INPUT, Kind.RESPONSE_EVENT):
            self._end = _End(kind, json.loads(data))


def refusal(streamLog: IStreamLog) -> SSEServerError | None:
    """Return the error of a run that ended without an answer; `None` if it has produced something, or nothing yet."""
    buffer, begin = streamLog.buffer, countBefore(streamLog) + 1
    if buffer.first == 1 and streamLog.last >= begin and buffer.kind(begin) in (Kind.FAILED, Kind.CANCELLED):
        return _failure(_End(buffer.kind(begin), json.loads(buffer.entry(begin))))
    return None


def countBefore(streamLog: IStreamLog) -> int:
    """Count the entries before an answer: events of an upstream that no format but `responses` writes."""
    # The kinds are copied only where there is such an entry.
    buffer = streamLog.buffer
    isFirst = buffer.first == 1 and streamLog.last and buffer.kind(1) == Kind.RESPONSE_EVENT
    return countResponseEvents(buffer.kinds) if isFirst else 0


def _failure(end: _End) -> SSEServerError:
    if end.kind == Kind.FAILED:
        return SourceError.fromEntry(end.members)
    return RunCancelled(f"The answer was cancelled ({end.members.get('reason')}).")
