"""
The answer of a run as the events of a response.

Each event has a number, counted from 0; `event:` equals its `type`. `formats.responses` writes streams with it, and the
API describes whole responses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sseserver.interfaces import ByteCount
from sseserver.protocols.chatcompletions import (
    CallArguments,
    CallStart,
    Citation,
    Delta,
    DeltaReader,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Usage,
)
from sseserver.protocols.chatcompletions.deltas import readUsage
from sseserver.protocols.chatcompletions.textframe import TextFrame
from sseserver.protocols.responses.output import COMPLETED, IN_PROGRESS, INCOMPLETE, REFUSAL, SUMMARY, TEXT, Output
from sseserver.protocols.responses.outputwriter import OutputWriter, writeEvent
from sseserver.protocols.responses.passing import PassedResponse
from sseserver.protocols.responses.response import Identity, Outcome, describeResponse, readOutcome
from sseserver.values import Kind

#: The event after the last one of a response. It has no number.
DONE = b"data: [DONE]\n\n"

# Looked up for each entry.
_TOKEN, _CHUNK, _SILENT_CHUNK, _INPUT = Kind.TOKEN, Kind.CHUNK, Kind.SILENT_CHUNK, Kind.INPUT
_RESPONSE_EVENT = Kind.RESPONSE_EVENT

#: The kinds of entries that have the events of an upstream once more, for other formats.
_REPEATED = (_TOKEN, _CHUNK, _SILENT_CHUNK)

#: Member of the first entry of a run whose source may write the events of an upstream: these begin the response
#: themselves. It is not one of the request.
_FROM_UPSTREAM = "fromUpstream"

#: The same as JSON, for the beginning of an object.
NOTE = b'"fromUpstream":true,'

#: The last event of a response, by its status.
_LAST = {"completed": "response.completed", "failed": "response.failed"}


class ResponseTranslator:
    """
    Writes the entries of a log as the events of a response. See `formats.translation.Translator`.

    Args:
        identity: The members that come from the stream.
        number: Number of the first event.
        account: Counts the bytes of the texts so far, which the end repeats; `None` for nobody.
    """

    __slots__ = (
        "_account",
        "_asked",
        "_frame",
        "_identity",
        "_outcome",
        "_passed",
        "_reader",
        "_usage",
        "_writer",
    )

    def __init__(self, identity: Identity, number: int = 0, account: ByteCount | None = None) -> None:
        self._identity = identity
        self._account = account
        self._writer = OutputWriter(Output(identity.name, account), number)
        self._asked: Mapping[str, Any] = {}
        # `None` before the first event.
        self._outcome: Outcome | None = None
        self._reader = DeltaReader()
        self._frame = TextFrame()
        self._usage: Usage | None = None
        # The response of an upstream whose events pass; `None` if there is none.
        self._passed: PassedResponse | None = None

    def fork(self) -> ResponseTranslator:
        """See `Translator.fork`."""
        other = ResponseTranslator(self._identity, 0, self._account)
        other._asked, other._outcome, other._usage = self._asked, self._outcome, self._usage
        other._writer = self._writer.fork()
        other._reader, other._frame = self._reader.fork(), self._frame
        other._passed = None if self._passed is None else self._passed.fork()
        return other

    def translate(self, kind: Kind, data: bytes) -> list[bytes]:
        """See `Translator.translate`."""
        writer = self._writer
        part = writer.part
        if part is not None and part.type is TEXT:
            # Nearly all entries end here.
            if kind is _TOKEN:
                return [writer.writePiece(part, data)]
            text = self._frame.find(data) if kind is _CHUNK else None
            if text is not None:
                return [writer.writePiece(part, text)]
        if kind == _INPUT:
            return self._takeRequest(json.loads(data.partition(b"\n")[0]))
        if self._passed is not None or kind == _RESPONSE_EVENT:
            return self._pass(kind, data)
        events: list[bytes] = []
        if self._outcome is None:
            self._open(events)
        if self._outcome is not None and self._outcome.status == "queued":
            self._outcome = Outcome(IN_PROGRESS)
            events.append(writer.write("response.in_progress", {"response": self.describe()}))
        if kind == _TOKEN:
            writer.addText(TEXT, data, events)
        elif kind in (_CHUNK, _SILENT_CHUNK):
            deltas = self._reader.read(data.partition(b"\n")[0])
            for delta in deltas:
                self._take(delta, events)
            if len(deltas) == 1 and type(deltas[0]) is TextDelta:
                self._frame.learn(data)
        else:
            self._end(kind, json.loads(data), events)
        return events

    def skip(self, text: bytes, count: int) -> bool:
        """See `TextTranslator.skip`."""
        return self._passed is None and self._writer.skip(text, count)

    def writeTexts(self, texts: list[bytes]) -> list[bytes]:
        """See `TextTranslator.writeTexts`."""
        return self._writer.writeTexts(texts) if self._passed is None else []

    def findTexts(self, data: bytes, bounds: list[int]) -> list[bytes]:
        """See `TextTranslator.findTexts`."""
        return self._frame.findAll(data, bounds)

    def describe(self) -> dict[str, Any]:
        """Return the response as far as it was translated."""
        if self._passed is not None:
            return self._passed.describe(self._outcome)
        outcome = self._outcome or Outcome("queued" if self._asked.get("background") is True else IN_PROGRESS)
        return describeResponse(self._identity, self._asked, outcome, self._writer.describe(), self._usage)

    def _takeRequest(self, asked: dict[str, Any]) -> list[bytes]:
        """Begin the response to a request, unless an upstream may do it."""
        events: list[bytes] = []
        mayPass = asked.pop(_FROM_UPSTREAM, False)
        self._asked = asked
        if not mayPass:
            self._open(events)
        return events

    def _pass(self, kind: Kind, data: bytes) -> list[bytes]:
        """Write an entry of an upstream whose events pass. The end is written if the upstream has not written it."""
        passed = self._passed
        if passed is None:
            passed = self._passed = PassedResponse(self._identity, self._asked, self._account)
            self._outcome = None
        writer = self._writer
        if kind == _RESPONSE_EVENT:
            writer.number += 1
            return [passed.write(data, writer.number - 1)]
        if kind in _REPEATED:
            return []
        self._outcome = readOutcome(kind, json.loads(data))
        if passed.isOver:
            return [DONE]
        last = _LAST.get(self._outcome.status, "response.incomplete")
        return [writer.write(last, {"response": self.describe()}), DONE]

    def _open(self, events: list[bytes]) -> None:
        """Write the events before the first item. A background response waits until its run has begun."""
        waits = self._asked.get("background") is True
        self._outcome = Outcome("queued" if waits else IN_PROGRESS)
        response = self.describe()
        second = "response.queued" if waits else "response.in_progress"
        events.append(self._writer.write("response.created", {"response": response}))
        events.append(self._writer.write(second, {"response": response}))

    def _take(self, delta: Delta, events: list[bytes]) -> None:
        """Write an addition of a chunk."""
        writer = self._writer
        if isinstance(delta, TextDelta):
            writer.addText(TEXT, delta.text.encode("utf-8"), events)
        elif isinstance(delta, ReasoningDelta):
            writer.addText(SUMMARY, delta.text.encode("utf-8"), events)
        elif isinstance(delta, RefusalDelta):
            writer.addText(REFUSAL, delta.text.encode("utf-8"), events)
        elif isinstance(delta, CallStart):
            writer.startCall(delta, events)
        elif isinstance(delta, CallArguments):
            writer.addArguments(delta, events)
        elif isinstance(delta, Citation):
            writer.cite(delta, events)
        elif isinstance(delta, Usage):
            self._usage = delta

    def _end(self, kind: int, terminal: Mapping[str, Any], events: list[bytes]) -> None:
        """Write the end of all items, and of the response."""
        outcome = readOutcome(kind, terminal)
        writer = self._writer
        writer.close(COMPLETED if outcome.status == COMPLETED else INCOMPLETE, events)
        usage = terminal.get("usage")
        if self._usage is None and isinstance(usage, Mapping):
            self._usage = readUsage(usage)
        self._outcome = outcome
        events.append(writer.write(_LAST.get(outcome.status, "response.incomplete"), {"response": self.describe()}))
        events.append(DONE)


def writeProblem(message: str, code: str, number: int = 0) -> bytes:
    """
    Write the event `error`, with which a stream of events ends before the response does.

    Args:
        message: A sentence.
        code: A word.
        number: Number of the event. It is not one of the response.
    """
    error = {"type": "server_error", "code": code, "message": message, "param": None}
    return writeEvent("error", {"sequence_number": number, "error": error})
