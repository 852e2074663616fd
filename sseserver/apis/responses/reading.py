"""
A run's stream log, read into a response; and the request, as its first entry keeps it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

from sseserver.errors import AnswerTooLong, RunCancelled, SourceError, SSEServerError
from sseserver.formats import ResponsesFormat
from sseserver.interfaces import IStreamLog
from sseserver.values import Kind, State

#: Bytes of entries that are read in one turn of the reactor, at least one entry.
STEP_BYTES = 256 * 1024

#: Entries that are read in one turn of the reactor. Tokens in a row count as one.
STEP_ENTRIES = 250

_TOKENS = re.compile(b"[%b]+" % bytes((Kind.TOKEN,)))


class ResponseReader:
    """
    Reads a run's stream log into a response, entry by entry, as the log grows.

    Args:
        streamLog: The log of the run.
        form: Makes the translator.
        maxBytes: Limit of the entries of the answer.
    """

    def __init__(self, streamLog: IStreamLog, form: ResponsesFormat, maxBytes: int) -> None:
        self._left = maxBytes
        self._log = streamLog
        self._form = form
        self._translator = form.makeTranslator(streamLog)
        # The request, as the first entry has it.
        self._input = b"{}\n[]"

    def read(self, cursor: int) -> tuple[int, bool]:
        """
        Take in the entries after a cursor, as many as one turn of the reactor has time for.

        Returns:
            The new cursor, and whether it is at the end of the stream.

        Raises:
            AnswerTooLong: The answer exceeds the limit, or its beginning is no longer kept.
        """
        log, buffer = self._log, self._log.buffer
        if cursor + 1 < buffer.first:
            raise AnswerTooLong("The beginning of this response is no longer kept.")
        end = buffer.fit(cursor + 1, log.last, STEP_BYTES) if cursor < log.last else cursor
        start = cursor + 1
        for _ in range(STEP_ENTRIES):
            if cursor == end:
                break
            row = _TOKENS.match(buffer.kinds, cursor + 1 - buffer.first, end + 1 - buffer.first)
            count = row.end() - row.start() if row else 0
            if count and self._translator.skip(buffer.span(cursor + 1, cursor + count), count):
                cursor += count
            else:
                cursor += 1
                self._take(Kind(buffer.kind(cursor)), buffer.entry(cursor))
        self._left -= buffer.measure(start, cursor)
        if self._left < 0:
            raise AnswerTooLong("The answer is too long for one piece: ask for it as a stream.")
        return cursor, cursor == log.last and log.state is not State.OPEN

    def readSteps(self) -> Generator[None, None, dict[str, Any]]:
        """Read the log as it is now, step by step, and return the response."""
        last = self._log.last
        cursor, _ = self.read(0)
        while cursor < last:
            yield
            cursor, _ = self.read(cursor)
        return self.describe()

    def describe(self) -> dict[str, Any]:
        """Return the response as far as it was read."""
        return self._translator.describe()

    def _take(self, kind: Kind, data: bytes) -> None:
        """Take in one entry."""
        if kind == Kind.INPUT:
            self._input = data
        if kind == Kind.RESTART:
            self._translator = self._form.makeTranslator(self._log)
            self._translator.translate(Kind.INPUT, self._input)
        elif kind != Kind.EVENT:
            self._translator.translate(kind, data)


class KeptRequest(NamedTuple):
    """
    The request of a response, as its stream keeps it.

    Attributes:
        asked: Members of the response.
        items: JSON of the input items.
    """

    asked: Mapping[str, Any]
    items: bytes


def readRequest(streamLog: IStreamLog) -> KeptRequest | None:
    """Return the request of the response that a stream is; `None` if it is none, or its beginning is not kept."""
    buffer = streamLog.buffer
    if buffer.first > 1 or not streamLog.last or buffer.kind(1) != Kind.INPUT:
        return None
    first, _, items = buffer.entry(1).partition(b"\n")
    asked = json.loads(first)
    # A run of AG-UI begins with an entry of this kind, too, which names its API.
    return None if "api" in asked else KeptRequest(asked, items)


def findRefusal(streamLog: IStreamLog, before: int = 0) -> SSEServerError | None:
    """
    Return the error of a run that ended without an answer; `None` if it has produced something, or nothing yet.

    Args:
        streamLog: The log of the run.
        before: Number of entries behind the request that are no answer.
    """
    buffer, number = streamLog.buffer, 2 + before
    if buffer.first > 1 or streamLog.last < number or buffer.kind(number) not in (Kind.FAILED, Kind.CANCELLED):
        return None
    members = json.loads(buffer.entry(number))
    if buffer.kind(number) == Kind.FAILED:
        return SourceError.fromEntry(members)
    return RunCancelled(f"The answer was cancelled ({members.get('reason')}).")
