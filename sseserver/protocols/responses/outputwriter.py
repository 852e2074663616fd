"""
The events about the output of a response: its items, their parts, and the pieces of their texts.

`ResponseTranslator` writes the answer of a run with an `OutputWriter`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sseserver.jsontext import quoteAll, toJSON
from sseserver.protocols.chatcompletions import CallArguments, CallStart, Citation
from sseserver.protocols.responses.output import (
    CALL,
    COMPLETED,
    MESSAGE,
    REASONING,
    REFUSAL,
    SUMMARY,
    TEXT,
    Output,
    OutputItem,
    OutputPart,
)
from sseserver.wire import frames

#: Begin of the types of the events of a part, by the type of the part.
_EVENTS = {TEXT: "response.output_text", REFUSAL: "response.refusal", SUMMARY: "response.reasoning_summary_text"}


class OutputWriter:
    """
    Writes the output of a response as events, and numbers all events of the response.

    Args:
        output: The output, empty or as a translator before has left it.
        number: Number of the first event.

    Attributes:
        number: Number of the next event.
        part: The part whose text grows; `None` if there is none.
    """

    __slots__ = ("_calls", "_lead", "_middle", "_output", "_tail", "number", "part")

    def __init__(self, output: Output, number: int) -> None:
        self.number = number
        self.part: OutputPart | None = None
        # The constant bytes of the events of that part: before the number, between the number and the JSON of the
        # piece, and behind it.
        self._lead = self._middle = self._tail = b""
        self._output = output
        # The function calls by their numbers.
        self._calls: dict[int, OutputItem] = {}

    def fork(self) -> OutputWriter:
        """Return a writer that is in the same state now."""
        output = self._output.fork()
        other = OutputWriter(output, self.number)
        other._calls = {number: output.items[call.index] for number, call in self._calls.items()}
        if self.part is not None:
            other.part = output.items[-1].parts[-1]
            other._lead, other._middle, other._tail = self._lead, self._middle, self._tail
        return other

    def write(self, type: str, members: Mapping[str, Any]) -> bytes:
        """
        Write the next event of the response.

        Args:
            type: Its type.
            members: Its other members, without its number.
        """
        number = self.number
        self.number = number + 1
        return writeEvent(type, {"sequence_number": number, **members})

    def writePiece(self, part: OutputPart, text: bytes) -> bytes:
        """
        Add a piece to the part that grows, and write its event.

        Args:
            part: The part.
            text: UTF-8.
        """
        part.text.add(text)
        number = self.number
        self.number = number + 1
        # A template, not `write`: this is done for every token of every stream.
        piece = toJSON(text.decode("utf-8"))
        return frames.writeNumbered(self._lead, number, self._middle, piece, self._tail)

    def skip(self, text: bytes, count: int) -> bool:
        """See `TextTranslator.skip`."""
        if self.part is None or self.part.type is not TEXT:
            return False
        self.part.text.add(text)
        self.number += count
        return True

    def writeTexts(self, texts: list[bytes]) -> list[bytes]:
        """See `TextTranslator.writeTexts`."""
        number, whole = self.number, b"".join(texts)
        if not self.skip(whole, len(texts)):
            return []
        if frames.isPlain(whole):
            return frames.writeAllNumbered(self._lead, number, self._middle + b'"', texts, b'"' + self._tail)
        return frames.writeAllNumbered(self._lead, number, self._middle, quoteAll(texts), self._tail)

    def addText(self, type: str, text: bytes, events: list[bytes]) -> None:
        """
        Write a piece of text; a new part and a new item are opened for it where the type is another one.

        Args:
            type: Type of the part.
            text: UTF-8.
            events: Gets the events.
        """
        events.append(self.writePiece(self._findPart(type, events), text))

    def startCall(self, start: CallStart, events: list[bytes]) -> None:
        """Open the item of a function call. It is closed at the end: the pieces of several may come mixed."""
        self._closeText(events, COMPLETED)
        call = self._calls[start.number] = self._output.addItem(CALL)
        call.callID, call.name = start.id, start.name
        self._output.addPart(call, CALL)
        self._announce(call, events)

    def addArguments(self, arguments: CallArguments, events: list[bytes]) -> None:
        """Write a piece of the arguments of a function call."""
        call = self._calls[arguments.number]
        call.parts[0].text.add(arguments.json.encode("utf-8"))
        members = {"item_id": call.id, "output_index": call.index, "delta": arguments.json}
        events.append(self.write("response.function_call_arguments.delta", members))

    def cite(self, citation: Citation, events: list[bytes]) -> None:
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
        events.append(self.write("response.output_text.annotation.added", members))

    def close(self, status: str, events: list[bytes]) -> None:
        """
        Write the end of all items.

        Args:
            status: Status of those that are not complete yet.
            events: Gets the events.
        """
        self._closeText(events, status)
        for call in self._calls.values():
            members = {"item_id": call.id, "output_index": call.index, "name": call.name}
            members["arguments"] = call.parts[0].text.read()
            events.append(self.write("response.function_call_arguments.done", members))
            self._closeItem(call, status, events)

    def describe(self) -> list[dict[str, Any]]:
        """See `Output.describe`."""
        return self._output.describe()

    def _findPart(self, type: str, events: list[bytes]) -> OutputPart:
        """Return the part that grows, if it has a type; otherwise open one."""
        if self.part is not None and self.part.type == type:
            return self.part
        wanted = REASONING if type == SUMMARY else MESSAGE
        item = self._output.items[-1] if self.part is not None else None
        if item is None or item.type != wanted:
            self._closeText(events, COMPLETED)
            item = self._output.addItem(wanted)
            self._announce(item, events)
        else:
            self._closePart(item, events)
        return self._openPart(item, type, events)

    def _announce(self, item: OutputItem, events: list[bytes]) -> None:
        """Write the begin of an item."""
        events.append(self.write("response.output_item.added", {"output_index": item.index, "item": item.describe()}))

    def _openPart(self, item: OutputItem, type: str, events: list[bytes]) -> OutputPart:
        """Add the part that grows from now on."""
        part = self.part = self._output.addPart(item, type)
        place = _place(item, type)
        events.append(self.write(_partEvent(type, "added"), {**place, "part": part.describe("")}))
        members = toJSON(place)[1:-1]
        event = _EVENTS[type].encode("ascii")
        self._lead = b'event: %b.delta\ndata: {"type":"%b.delta","sequence_number":' % (event, event)
        self._middle = b',%b,"delta":' % members
        self._tail = b',"logprobs":[]}\n\n' if type == TEXT else b"}\n\n"
        return part

    def _closePart(self, item: OutputItem, events: list[bytes]) -> None:
        """Write the end of the part that grows."""
        part, self.part = self.part, None
        assert part is not None
        place, shown = _place(item, part.type), part.describe()
        told = {"refusal": shown["refusal"]} if part.type == REFUSAL else {"text": shown["text"]}
        if part.type == TEXT:
            told["logprobs"] = []
        events.append(self.write(f"{_EVENTS[part.type]}.done", {**place, **told}))
        events.append(self.write(_partEvent(part.type, "done"), {**place, "part": shown}))

    def _closeText(self, events: list[bytes], status: str) -> None:
        """Write the end of the message, or of the reasoning, that grows."""
        if self.part is not None:
            item = self._output.items[-1]
            self._closePart(item, events)
            self._closeItem(item, status, events)

    def _closeItem(self, item: OutputItem, status: str, events: list[bytes]) -> None:
        """Write the end of an item."""
        item.status = status
        events.append(self.write("response.output_item.done", {"output_index": item.index, "item": item.describe()}))


def writeEvent(type: str, members: Mapping[str, Any]) -> bytes:
    """
    Write an event.

    Args:
        type: Its type.
        members: Its other members.
    """
    return b"event: %b\ndata: %b\n\n" % (type.encode("ascii"), toJSON({"type": type, **members}))


def _place(item: OutputItem, type: str) -> dict[str, Any]:
    """Return the members that say which part of an item an event is about: the last one."""
    index = "summary_index" if type == SUMMARY else "content_index"
    return {"item_id": item.id, "output_index": item.index, index: len(item.parts) - 1}


def _partEvent(type: str, step: str) -> str:
    """Return the type of the event about the begin or the end of a part."""
    return f"response.{'reasoning_summary_part' if type == SUMMARY else 'content_part'}.{step}"
