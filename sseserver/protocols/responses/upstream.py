"""
The answer of an upstream that speaks OpenAI's Responses: its events, made into the chunks of a chat completion.

The upstream source puts each event into the log, and after it the chunks that a `ResponseConverter` makes of it: the
format `responses` passes the events on (`passing`), and every other one has the chunks. `upstreamrequest` makes the
requests.

Reference: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from sseserver.errors import SourceError
from sseserver.jsontext import toJSON
from sseserver.protocols.chatcompletions.chunk import decodeValue
from sseserver.protocols.responses.passing import DONE
from sseserver.values import Reason

#: Finish reasons by the reasons of incomplete responses. Any other reason is a limit of the upstream.
_INCOMPLETE = {"max_output_tokens": Reason.LENGTH, "content_filter": Reason.CONTENT_FILTER}

#: Members of the usage, by their names in chat completions.
_USAGE = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "total_tokens": "total_tokens",
    "prompt_tokens_details": "input_tokens_details",
    "completion_tokens_details": "output_tokens_details",
}

Members = Mapping[str, Any]


class _Text(NamedTuple):
    """
    A text that comes in pieces.

    Attributes:
        member: Member of a delta that takes it.
        list: Member of the item that has the whole text in its parts.
        number: Member of the event that numbers the part.
    """

    member: str
    list: str
    number: str


#: The texts by the types of their events.
_TEXTS = {
    "response.output_text.delta": _Text("content", "content", "content_index"),
    "response.refusal.delta": _Text("refusal", "content", "content_index"),
    "response.reasoning_text.delta": _Text("reasoning_content", "content", "content_index"),
    "response.reasoning_summary_text.delta": _Text("reasoning_content", "summary", "summary_index"),
}

#: The same by the types of the parts in an item.
_PARTS = {
    "output_text": _TEXTS["response.output_text.delta"],
    "refusal": _TEXTS["response.refusal.delta"],
    "reasoning_text": _TEXTS["response.reasoning_text.delta"],
    "summary_text": _TEXTS["response.reasoning_summary_text.delta"],
}


class _Place(NamedTuple):
    """
    A text in the output of a response.

    Attributes:
        item: Number of the item.
        list: Member of the item that has the text, in parts or itself.
        part: Number of the part.
    """

    item: int
    list: str
    part: int = 0


class _ChunkWriter:
    """
    Writes the chunks of one answer, and notes how much of each text of the response they have.
    """

    def __init__(self) -> None:
        self._members: dict[str, Any] = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
        self._isBegun = False
        # Numbers of the function calls, by the numbers of their items.
        self._calls: dict[int, int] = {}
        # Characters that were written, by the place.
        self._sent: dict[_Place, int] = {}

    @property
    def hasCalls(self) -> bool:
        """Whether the answer has function calls."""
        return bool(self._calls)

    def note(self, response: Members) -> None:
        """Note the ID, the time and the model of a response."""
        name, created, model = (response.get(member) for member in ("id", "created_at", "model"))
        if isinstance(name, str) and name:
            self._members["id"] = name
        if isinstance(created, int | float) and created > 0:
            self._members["created"] = int(created)
        if isinstance(model, str) and model:
            self._members["model"] = model

    def write(self, delta: Members, finish: Reason | None = None, **more: Any) -> bytes:
        """
        Write a chunk. The first one has the role.

        Args:
            delta: What it adds to the answer.
            finish: The finish reason, in the last chunk.
            more: Further members of the chunk.

        Returns:
            JSON, UTF-8. So do the other methods that write.
        """
        if not self._isBegun:
            self._isBegun = True
            delta = {"role": "assistant", **delta}
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return toJSON({**self._members, "choices": [choice], **more})

    def writeUsage(self, usage: Members) -> bytes:
        """Write the chunk of the usage, which has no choices."""
        return toJSON({**self._members, "choices": [], "usage": usage})

    def addText(self, text: _Text, place: _Place, piece: object) -> Iterator[bytes]:
        """
        Write a piece of a text, if it is one. A further summary is a paragraph of its own.

        Args:
            text: Kind of the text.
            place: Its place in the output.
            piece: The piece. Anything but a string is left out.
        """
        if isinstance(piece, str) and piece:
            isNext = place.list == "summary" and place.part > 0 and place not in self._sent
            self._count(place, piece)
            yield self.write({text.member: f"\n\n{piece}" if isNext else piece})

    def beginCall(self, number: int, item: Members) -> Iterator[bytes]:
        """
        Write the begin of the function call of an item, unless it was written.

        Args:
            number: Number of the item in the output.
            item: The item.
        """
        if number not in self._calls:
            self._calls[number] = len(self._calls)
            callID, name = item.get("call_id") or item.get("id") or "", item.get("name") or ""
            call = {"id": callID, "type": "function", "function": {"name": name, "arguments": ""}}
            yield self.write({"tool_calls": [{"index": self._calls[number], **call}]})

    def addArguments(self, number: int, piece: object) -> Iterator[bytes]:
        """
        Write a piece of the arguments of a function call that has begun.

        Args:
            number: Number of its item in the output.
            piece: The piece. Anything but a string is left out.
        """
        if isinstance(piece, str) and piece:
            self._count(_Place(number, "arguments"), piece)
            yield self.write({"tool_calls": [{"index": self._calls[number], "function": {"arguments": piece}}]})

    def addRest(self, output: object) -> Iterator[bytes]:
        """Write what the items of a response have beyond the pieces."""
        for number, item in enumerate(output if isinstance(output, list) else ()):
            members = _objectOf(item)
            if members.get("type") == "function_call":
                yield from self.beginCall(number, members)
                rest = self._findRest(_Place(number, "arguments"), members.get("arguments"))
                yield from self.addArguments(number, rest)
            for name in ("summary", "content"):
                parts = members.get(name)
                for index, part in enumerate(parts if isinstance(parts, list) else ()):
                    yield from self._addPart(_Place(number, name, index), _objectOf(part))

    def _addPart(self, place: _Place, part: Members) -> Iterator[bytes]:
        text = _PARTS.get(str(part.get("type")))
        if text is not None and text.list == place.list:
            whole = part.get("refusal" if text.member == "refusal" else "text")
            yield from self.addText(text, place, self._findRest(place, whole))

    def _findRest(self, place: _Place, whole: object) -> str:
        """Return the end of a text that has not come in pieces."""
        return whole[self._sent.get(place, 0) :] if isinstance(whole, str) else ""

    def _count(self, place: _Place, piece: str) -> None:
        self._sent[place] = self._sent.get(place, 0) + len(piece)


class ResponseConverter:
    """
    Makes the chunks of one answer of the events of a response.

    Text, refusals, reasoning, function calls and citations become deltas. The end of the response becomes the finish
    reason and the usage, and a failure the object of an error. What came without deltas is taken from the response at
    its end.

    Args:
        withUsage: Whether the client has requested the usage, which then has a chunk of its own, behind the finish
            reason. Otherwise it is in the chunk with the finish reason.
    """

    def __init__(self, withUsage: bool = False) -> None:
        self._withUsage = withUsage
        self._writer = _ChunkWriter()

    def convert(self, event: Members) -> list[bytes]:
        """
        Convert an event.

        Args:
            event: Its members.

        Returns:
            The chunks, JSON in UTF-8, and `[DONE]` behind the last one; empty for an event that adds nothing.
        """
        kind = event.get("type")
        text = _TEXTS.get(kind) if isinstance(kind, str) else None
        if text is not None:
            place = _Place(_numberOf(event, "output_index"), text.list, _numberOf(event, text.number))
            return list(self._writer.addText(text, place, event.get("delta")))
        take = self._EVENTS.get(kind) if isinstance(kind, str) else None
        if take is not None:
            return list(take(self, event))
        # Proxies send errors in the shape of chat completions.
        return [_writeError(event["error"])] if event.get("error") else []

    def readDocument(self, document: bytes) -> list[bytes]:
        """
        Read a response that came in one piece, although a stream was requested.

        Args:
            document: JSON in UTF-8: a response, or an error.

        Returns:
            The chunks, without `[DONE]`.

        Raises:
            SourceError: It is neither.
        """
        try:
            response = decodeValue(document)
        except SourceError:
            response = None
        if isinstance(response, dict) and response.get("object") == "response":
            take = self._EVENTS.get(f"response.{response.get('status')}")
            if take is not None:
                return [chunk for chunk in take(self, {"response": response}) if chunk != DONE]
        if isinstance(response, dict) and response.get("error"):
            return [_writeError(response["error"])]
        raise SourceError("The upstream's answer is neither an event stream nor a response.", Reason.MALFORMED)

    def _begin(self, event: Members) -> Iterator[bytes]:
        self._writer.note(_objectOf(event.get("response")))
        yield from ()

    def _addItem(self, event: Members) -> Iterator[bytes]:
        """Write the begin of a function call."""
        item, number = _objectOf(event.get("item")), _numberOf(event, "output_index")
        if item.get("type") == "function_call":
            yield from self._writer.beginCall(number, item)
            yield from self._writer.addArguments(number, item.get("arguments"))

    def _addArguments(self, event: Members) -> Iterator[bytes]:
        """Write a piece of the arguments of a function call."""
        number = _numberOf(event, "output_index")
        yield from self._writer.beginCall(number, {"id": event.get("item_id")})
        yield from self._writer.addArguments(number, event.get("delta"))

    def _addCitation(self, event: Members) -> Iterator[bytes]:
        annotation = _objectOf(event.get("annotation"))
        if annotation.get("type") == "url_citation":
            cited = {name: value for name, value in annotation.items() if name != "type"}
            yield self._writer.write({"annotations": [{"type": "url_citation", "url_citation": cited}]})

    def _complete(self, event: Members) -> Iterator[bytes]:
        return self._end(_objectOf(event.get("response")), Reason.STOP)

    def _breakOff(self, event: Members) -> Iterator[bytes]:
        """Write the end of a response that is incomplete."""
        response = _objectOf(event.get("response"))
        details = _objectOf(response.get("incomplete_details"))
        return self._end(response, _INCOMPLETE.get(str(details.get("reason")), Reason.LENGTH))

    def _end(self, response: Members, reason: Reason) -> Iterator[bytes]:
        """Write what is missing of the answer, the finish reason and the usage."""
        self._writer.note(response)
        yield from self._writer.addRest(response.get("output"))
        if reason is Reason.STOP and self._writer.hasCalls:
            reason = Reason.TOOL_CALLS
        usage = _readUsage(response.get("usage"))
        inside = {} if usage is None or self._withUsage else {"usage": usage}
        yield self._writer.write({}, reason, **inside)
        if usage is not None and self._withUsage:
            yield self._writer.writeUsage(usage)
        yield DONE

    def _fail(self, event: Members) -> Iterator[bytes]:
        """Write the error of a response that has failed, or was cancelled."""
        yield _writeError(_objectOf(event.get("response")).get("error") or "The upstream's response failed.")

    def _failWhole(self, event: Members) -> Iterator[bytes]:
        """Write the error of an event `error`, which has the members itself or in an object."""
        yield _writeError(event.get("error") or {name: event.get(name) for name in ("code", "message", "param")})

    # The methods that read the events, by their types. Events of other types add nothing.
    _EVENTS: ClassVar[Mapping[str, Callable[[ResponseConverter, Members], Iterator[bytes]]]] = {
        "error": _failWhole,
        "response.cancelled": _fail,
        "response.completed": _complete,
        "response.created": _begin,
        "response.failed": _fail,
        "response.function_call_arguments.delta": _addArguments,
        "response.in_progress": _begin,
        "response.incomplete": _breakOff,
        "response.output_item.added": _addItem,
        "response.output_text.annotation.added": _addCitation,
    }


def _writeError(error: object) -> bytes:
    """Write an error in the shape of chat completions."""
    return toJSON({"error": error})


def _readUsage(usage: object) -> dict[str, Any] | None:
    """Return the usage with the names of chat completions; `None` if there is none."""
    if not isinstance(usage, dict):
        return None
    return {name: usage[known] for name, known in _USAGE.items() if usage.get(known) is not None}


def _objectOf(value: object) -> Members:
    """Return an object; empty if the value is none."""
    return value if isinstance(value, Mapping) else {}


def _numberOf(event: Members, name: str) -> int:
    """Return a number of an event; 0 if it has none."""
    number = event.get(name)
    return number if isinstance(number, int) else 0
