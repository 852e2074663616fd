"""
The answer of a run as the events of a response.

Each event has a number, counted from 0; `event:` equals its `type`. `formats.responses` writes streams with it, and the
API describes whole responses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sseserver.jsontext import quoteAll, toJSON
from sseserver.protocols.chatcompletions import (
    CallArguments,
    CallStart,
    Citation,
    Delta,
    DeltaReader,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TextFrame,
    Usage,
)
from sseserver.protocols.chatcompletions.deltas import readUsage
from sseserver.protocols.responses.output import (
    CALL,
    COMPLETED,
    IN_PROGRESS,
    INCOMPLETE,
    MESSAGE,
    REASONING,
    REFUSAL,
    SUMMARY,
    TEXT,
    Output,
    OutputItem,
    OutputPart,
)
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

#: Begin of the types of the events of a part, by the type of the part.
_EVENTS = {TEXT: "response.output_text", REFUSAL: "response.refusal", SUMMARY: "response.reasoning_summary_text"}

#: The last event of a response, by its status.
_LAST = {"completed": "response.completed", "failed": "response.failed"}


class ResponseTranslator:
    """
    Writes the entries of a log as the events of a response. See `formats.translation.Translator`.

    Args:
        identity: The members that come from the stream.
        number: Number of the first event.
    """

    __slots__ = (
        "_asked",
        "_calls",
        "_frame",
        "_identity",
        "_lead",
        "_middle",
        "_number",
        "_outcome",
        "_output",
        "_part",
        "_passed",
        "_reader",
        "_tail",
        "_usage",
    )

    def __init__(self, identity: Identity, number: int = 0) -> None:
        self._identity = identity
        self._number = number
        self._asked: Mapping[str, Any] = {}
        # `None` before the first event.
        self._outcome: Outcome | None = None
        self._output = Output(identity.name)
        # The function calls by their numbers.
        self._calls: dict[int, OutputItem] = {}
        self._reader = DeltaReader()
        self._frame = TextFrame()
        self._usage: Usage | None = None
        # The part whose text grows, and the constant bytes of its events: before the number, between the number and the
        # JSON of the piece, and behind it.
        self._part: OutputPart | None = None
        self._lead = self._middle = self._tail = b""
        # The response of an upstream whose events pass; `None` if there is none.
        self._passed: PassedResponse | None = None

    def fork(self) -> ResponseTranslator:
        """See `Translator.fork`."""
        other = ResponseTranslator(self._identity, self._number)
        other._asked, other._outcome, other._usage = self._asked, self._outcome, self._usage
        other._output = self._output.fork()
        other._calls = {number: other._output.items[call.index] for number, call in self._calls.items()}
        other._reader, other._frame = self._reader.fork(), self._frame
        other._passed = None if self._passed is None else self._passed.fork()
        if self._part is not None:
            other._part = other._output.items[-1].parts[-1]
            other._lead, other._middle, other._tail = self._lead, self._middle, self._tail
        return other

    def translate(self, kind: Kind, data: bytes) -> list[bytes]:
        """See `Translator.translate`."""
        part = self._part
        if part is not None and part.type is TEXT:
            # Nearly all entries end here.
            if kind is _TOKEN:
                return [self._writePiece(part, data)]
            text = self._frame.find(data) if kind is _CHUNK else None
            if text is not None:
                return [self._writePiece(part, text)]
        if kind == _INPUT:
            return self._takeRequest(json.loads(data.partition(b"\n")[0]))
        if self._passed is not None or kind == _RESPONSE_EVENT:
            return self._pass(kind, data)
        events: list[bytes] = []
        if self._outcome is None:
            self._open(events)
        if self._outcome is not None and self._outcome.status == "queued":
            self._outcome = Outcome(IN_PROGRESS)
            events.append(self._write("response.in_progress", {"response": self.describe()}))
        if kind == _TOKEN:
            self._addText(TEXT, data, events)
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
        if self._part is None or self._part.type is not TEXT or self._passed is not None:
            return False
        self._part.text.add(text)
        self._number += count
        return True

    def writeTexts(self, texts: list[bytes]) -> list[bytes]:
        """See `TextTranslator.writeTexts`."""
        number, lead, middle, tail = self._number, self._lead, self._middle, self._tail
        if not self.skip(b"".join(texts), len(texts)):
            return []
        # As in `_writePiece`, without a call for each.
        template = b"%b%%d%b%%b%b" % (lead.replace(b"%", b"%%"), middle.replace(b"%", b"%%"), tail)
        return [template % event for event in enumerate(quoteAll(texts), number)]

    def findTexts(self, data: bytes, bounds: list[int]) -> list[bytes]:
        """See `TextTranslator.findTexts`."""
        return self._frame.findAll(data, bounds)

    def describe(self) -> dict[str, Any]:
        """Return the response as far as it was translated."""
        if self._passed is not None:
            return self._passed.describe(self._outcome)
        outcome = self._outcome or Outcome("queued" if self._asked.get("background") is True else IN_PROGRESS)
        return describeResponse(self._identity, self._asked, outcome, self._output.describe(), self._usage)

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
            passed = self._passed = PassedResponse(self._identity, self._asked)
            self._outcome = None
        number = self._number
        if kind == _RESPONSE_EVENT:
            self._number = number + 1
            return [passed.write(data, number)]
        if kind in _REPEATED:
            return []
        self._outcome = readOutcome(kind, json.loads(data))
        if passed.isOver:
            return [DONE]
        last = _LAST.get(self._outcome.status, "response.incomplete")
        return [self._write(last, {"response": self.describe()}), DONE]

    def _open(self, events: list[bytes]) -> None:
        """Write the events before the first item. A background response waits until its run has begun."""
        waits = self._asked.get("background") is True
        self._outcome = Outcome("queued" if waits else IN_PROGRESS)
        response = self.describe()
        events.append(self._write("response.created", {"response": response}))
        events.append(self._write("response.queued" if waits else "response.in_progress", {"response": response}))

    def _take(self, delta: Delta, events: list[bytes]) -> None:
        """Write an addition of a chunk."""
        if isinstance(delta, TextDelta):
            self._addText(TEXT, delta.text.encode("utf-8"), events)
        elif isinstance(delta, ReasoningDelta):
            self._addText(SUMMARY, delta.text.encode("utf-8"), events)
        elif isinstance(delta, RefusalDelta):
            self._addText(REFUSAL, delta.text.encode("utf-8"), events)
        elif isinstance(delta, CallStart):
            self._startCall(delta, events)
        elif isinstance(delta, CallArguments):
            call = self._calls[delta.number]
            call.parts[0].text.add(delta.json.encode("utf-8"))
            members = {"item_id": call.id, "output_index": call.index, "delta": delta.json}
            events.append(self._write("response.function_call_arguments.delta", members))
        elif isinstance(delta, Citation):
            self._cite(delta, events)
        elif isinstance(delta, Usage):
            self._usage = delta

    def _addText(self, type: str, text: bytes, events: list[bytes]) -> None:
        """Write a piece of text; a new part and a new item are opened for it where the type is another one."""
        events.append(self._writePiece(self._findPart(type, events), text))

    def _findPart(self, type: str, events: list[bytes]) -> OutputPart:
        """Return the part that grows, if it has a type; otherwise open one."""
        if self._part is not None and self._part.type == type:
            return self._part
        wanted = REASONING if type == SUMMARY else MESSAGE
        item = self._output.items[-1] if self._part is not None else None
        if item is None or item.type != wanted:
            self._closeText(events, COMPLETED)
            item = self._output.addItem(wanted)
            self._announce(item, events)
        else:
            self._closePart(item, events)
        return self._openPart(item, type, events)

    def _announce(self, item: OutputItem, events: list[bytes]) -> None:
        """Write the begin of an item."""
        events.append(self._write("response.output_item.added", {"output_index": item.index, "item": item.describe()}))

    def _openPart(self, item: OutputItem, type: str, events: list[bytes]) -> OutputPart:
        """Add the part that grows from now on."""
        part = self._part = self._output.addPart(item, type)
        place = _place(item, type)
        events.append(self._write(_partEvent(type, "added"), {**place, "part": part.describe("")}))
        members = toJSON(place)[1:-1]
        event = _EVENTS[type].encode("ascii")
        self._lead = b'event: %b.delta\ndata: {"type":"%b.delta","sequence_number":' % (event, event)
        self._middle = b',%b,"delta":' % members
        self._tail = b',"logprobs":[]}\n\n' if type == TEXT else b"}\n\n"
        return part

    def _writePiece(self, part: OutputPart, text: bytes) -> bytes:
        """Add a piece to the part that grows, and write its event."""
        part.text.add(text)
        number = self._number
        self._number = number + 1
        # A template, not `_write`: this is done for every token of every stream.
        piece = toJSON(text.decode("utf-8"))
        return b"%b%d%b%b%b" % (self._lead, number, self._middle, piece, self._tail)

    def _closePart(self, item: OutputItem, events: list[bytes]) -> None:
        """Write the end of the part that grows."""
        part, self._part = self._part, None
        assert part is not None
        place, shown = _place(item, part.type), part.describe()
        told = {"refusal": shown["refusal"]} if part.type == REFUSAL else {"text": shown["text"]}
        if part.type == TEXT:
            told["logprobs"] = []
        events.append(self._write(f"{_EVENTS[part.type]}.done", {**place, **told}))
        events.append(self._write(_partEvent(part.type, "done"), {**place, "part": shown}))

    def _closeText(self, events: list[bytes], status: str) -> None:
        """Write the end of the message, or of the reasoning, that grows."""
        if self._part is not None:
            item = self._output.items[-1]
            self._closePart(item, events)
            self._closeItem(item, status, events)

    def _closeItem(self, item: OutputItem, status: str, events: list[bytes]) -> None:
        """Write the end of an item."""
        item.status = status
        events.append(self._write("response.output_item.done", {"output_index": item.index, "item": item.describe()}))

    def _startCall(self, start: CallStart, events: list[bytes]) -> None:
        """Open the item of a function call. It is closed at the end: the pieces of several may come mixed."""
        self._closeText(events, COMPLETED)
        call = self._calls[start.number] = self._output.addItem(CALL)
        call.callID, call.name = start.id, start.name
        self._output.addPart(call, CALL)
        self._announce(call, events)

    def _cite(self, citation: Citation, events: list[bytes]) -> None:
        """Write an annotation of the text so far."""
        part = self._findPart(TEXT, events)
        item = self._output.items[-1]
        annotation = {
            "type": "url_citation",
            "start_index": 0,
            "end_index": len(part.text.read()),
            "url": citation.url,
            "title": citation.title,
        }
        number = len(part.annotations)
        part.annotations.append(annotation)
        members = {**_place(item, TEXT), "annotation_index": number, "annotation": annotation}
        events.append(self._write("response.output_text.annotation.added", members))

    def _end(self, kind: int, terminal: Mapping[str, Any], events: list[bytes]) -> None:
        """Write the end of all items, and of the response."""
        outcome = readOutcome(kind, terminal)
        status = COMPLETED if outcome.status == COMPLETED else INCOMPLETE
        self._closeText(events, status)
        for call in self._calls.values():
            members = {"item_id": call.id, "output_index": call.index, "name": call.name}
            members["arguments"] = call.parts[0].text.read()
            events.append(self._write("response.function_call_arguments.done", members))
            self._closeItem(call, status, events)
        usage = terminal.get("usage")
        if self._usage is None and isinstance(usage, Mapping):
            self._usage = readUsage(usage)
        self._outcome = outcome
        events.append(self._write(_LAST.get(outcome.status, "response.incomplete"), {"response": self.describe()}))
        events.append(DONE)

    def _write(self, type: str, members: Mapping[str, Any]) -> bytes:
        """Write the next event."""
        number = self._number
        self._number = number + 1
        return writeEvent(type, {"sequence_number": number, **members})


def writeEvent(type: str, members: Mapping[str, Any]) -> bytes:
    """
    Write an event.

    Args:
        type: Its type.
        members: Its other members.
    """
    return b"event: %b\ndata: %b\n\n" % (type.encode("ascii"), toJSON({"type": type, **members}))


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


def _place(item: OutputItem, type: str) -> dict[str, Any]:
    """Return the members that say which part of an item an event is about: the last one."""
    index = "summary_index" if type == SUMMARY else "content_index"
    return {"item_id": item.id, "output_index": item.index, index: len(item.parts) - 1}


def _partEvent(type: str, step: str) -> str:
    """Return the type of the event about the begin or the end of a part."""
    return f"response.{'reasoning_summary_part' if type == SUMMARY else 'content_part'}.{step}"
