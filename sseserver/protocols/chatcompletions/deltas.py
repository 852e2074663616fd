"""
Deltas: the additions of one chunk to an answer, as values for every protocol: text, reasoning, tool calls, usage.

The formats of other protocols (`responses`, `messages`, `ui`, `agui`) make their events of these values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from sseserver.protocols.chatcompletions.chunk import decodeChunk, replaceSurrogates
from sseserver.protocols.chatcompletions.content import textOf


class TextDelta(NamedTuple):
    """
    Text of the answer.

    Attributes:
        text: Never empty.
    """

    text: str


class ReasoningDelta(NamedTuple):
    """
    Text of the model's reasoning.

    Attributes:
        text: Never empty.
    """

    text: str


class RefusalDelta(NamedTuple):
    """
    Text with which the model refuses to answer.

    Attributes:
        text: Never empty.
    """

    text: str


class CallStart(NamedTuple):
    """
    The beginning of a tool call. Its arguments follow.

    Attributes:
        number: Number of the call in the answer, from 0.
        id: Its ID; `call_<number>` where the upstream gave none.
        name: Name of the tool.
    """

    number: int
    id: str
    name: str


class CallArguments(NamedTuple):
    """
    A piece of the arguments of a tool call.

    Attributes:
        number: Number of the call.
        json: A piece of JSON; never empty.
    """

    number: int
    json: str


class Citation(NamedTuple):
    """
    A page that the answer cites.

    Attributes:
        url: Its URL.
        title: Its title; may be empty.
    """

    url: str
    title: str


class Picture(NamedTuple):
    """
    A picture that the model has made.

    Attributes:
        url: Its URL, usually with scheme `data`.
        mediaType: Its media type; `image/*` where the URL does not say.
    """

    url: str
    mediaType: str


class Finish(NamedTuple):
    """
    The end of the answer.

    Attributes:
        reason: The finish reason as the upstream sent it.
    """

    reason: str


class Usage(NamedTuple):
    """
    How many tokens the answer took.

    Attributes:
        prompt: Tokens of the prompt.
        completion: Tokens of the answer, those of the reasoning included.
        cached: Tokens of the prompt that the upstream had in its cache.
        reasoning: Tokens of the reasoning.
    """

    prompt: int
    completion: int
    cached: int
    reasoning: int


#: A media type at the beginning of a URL with scheme `data`.
_DATA_TYPE = re.compile(r"data:([\w.+-]+/[\w.+-]+)[;,]", re.ASCII)

#: One addition of a chunk.
Delta = TextDelta | ReasoningDelta | RefusalDelta | CallStart | CallArguments | Citation | Picture | Finish | Usage


class _Members(Struct, gc=False):
    content: Any = None
    reasoningContent: Any = msgspec.field(name="reasoning_content", default=None)
    reasoning: Any = None
    refusal: Any = None
    toolCalls: Any = msgspec.field(name="tool_calls", default=None)
    functionCall: Any = msgspec.field(name="function_call", default=None)
    annotations: Any = None
    images: Any = None


class _Choice(Struct, gc=False):
    index: int | None = 0
    delta: _Members | None = None
    finishReason: Any = msgspec.field(name="finish_reason", default=None)


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = None


class _Named(Struct, gc=False):
    model: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode
_decodeName = msgspec.json.Decoder(_Named).decode


class _Call:
    """
    A tool call whose pieces are being read.

    Attributes:
        number: Number of the call in the answer.
        id: Its ID; empty before a piece had one.
        waiting: Arguments that came before the name; `None` once the call is announced.
    """

    __slots__ = ("id", "number", "waiting")

    def __init__(self, number: int, id: str = "", waiting: str | None = "") -> None:
        self.number = number
        self.id = id
        self.waiting = waiting


class DeltaReader:
    """
    Reads what the chunks of one answer add, in the order of the chunks.

    Only the first choice counts. The pieces of a tool call belong together as in `accumulation.Calls`: by their index,
    and a piece with another ID begins a new call.
    """

    __slots__ = ("_calls", "_count")

    def __init__(self) -> None:
        # The newest call with each index.
        self._calls: dict[int, _Call] = {}
        self._count = 0

    def fork(self) -> DeltaReader:
        """Return a reader in the same state, which reads on for itself."""
        other = DeltaReader()
        other._calls = {index: _Call(call.number, call.id, call.waiting) for index, call in self._calls.items()}
        other._count = self._count
        return other

    def read(self, data: bytes) -> list[Delta]:
        """
        Read a chunk.

        Args:
            data: A JSON object, UTF-8, which a `ChunkReader` has accepted.

        Returns:
            What it adds: reasoning, text, refusal, calls, citations, pictures, the end, the usage. Empty for nothing.
        """
        try:
            chunk = _decode(data)
        except (ValueError, RecursionError):
            chunk = _makeChunk(decodeChunk(data))
        deltas: list[Delta] = []
        for choice in chunk.choices or ():
            if not choice.index:
                if choice.delta is not None:
                    self._readMembers(choice.delta, deltas)
                if choice.finishReason and isinstance(choice.finishReason, str):
                    deltas.append(Finish(choice.finishReason))
        if isinstance(chunk.usage, Mapping):
            deltas.append(readUsage(chunk.usage))
        return deltas

    def _readMembers(self, members: _Members, deltas: list[Delta]) -> None:
        """Add what the members of a message add."""
        reasoning = members.reasoningContent or members.reasoning
        if reasoning and isinstance(reasoning, str):
            deltas.append(ReasoningDelta(replaceSurrogates(reasoning)))
        text = textOf(members.content)
        if text:
            deltas.append(TextDelta(replaceSurrogates(text)))
        if members.refusal and isinstance(members.refusal, str):
            deltas.append(RefusalDelta(replaceSurrogates(members.refusal)))
        if isinstance(members.functionCall, Mapping):
            self._readCall(0, {"function": members.functionCall}, deltas)
        if isinstance(members.toolCalls, list):
            for place, piece in enumerate(members.toolCalls):
                if isinstance(piece, Mapping):
                    self._readCall(place, piece, deltas)
        if isinstance(members.annotations, list):
            deltas.extend(_readCitations(members.annotations))
        if isinstance(members.images, list):
            deltas.extend(_readPictures(members.images))

    def _readCall(self, place: int, piece: Mapping[str, Any], deltas: list[Delta]) -> None:
        """
        Add what a piece of a tool call adds.

        Args:
            place: Its place in the list, which counts where it has no index.
            piece: The piece.
            deltas: What it adds is put at their end.
        """
        call = self._findCall(place, piece)
        function = piece.get("function")
        members: Mapping[str, Any] = function if isinstance(function, Mapping) else {}
        name, text = _readText(members, "name"), _readText(members, "arguments")
        if call.waiting is None:
            if text:
                deltas.append(CallArguments(call.number, text))
        elif name:
            deltas.append(CallStart(call.number, call.id or f"call_{call.number}", name))
            if call.waiting or text:
                deltas.append(CallArguments(call.number, call.waiting + text))
            call.waiting = None
        else:
            call.waiting += text

    def _findCall(self, place: int, piece: Mapping[str, Any]) -> _Call:
        """Return the call that a piece belongs to."""
        name, index = _readText(piece, "id"), piece.get("index")
        key = index if isinstance(index, int) else place
        if not isinstance(index, int) and name:
            for known in self._calls.values():
                if known.id == name:
                    return known
        call = self._calls.get(key)
        if call is None or (name and call.id and name != call.id):
            call = self._calls[key] = _Call(self._count, name)
            self._count += 1
        elif name and not call.id:
            call.id = name
        return call


def readUsage(usage: Mapping[str, Any]) -> Usage:
    """
    Read the usage that an upstream reports.

    Args:
        usage: The member `usage` of a chunk. What is not a number counts as 0.
    """
    return Usage(
        _readCount(usage, "prompt_tokens"),
        _readCount(usage, "completion_tokens"),
        _readCount(usage.get("prompt_tokens_details"), "cached_tokens"),
        _readCount(usage.get("completion_tokens_details"), "reasoning_tokens"),
    )


def _readCount(members: object, name: str) -> int:
    """Return a number of tokens."""
    value = members.get(name) if isinstance(members, Mapping) else None
    return value if isinstance(value, int) and value > 0 else 0


def _readText(members: Mapping[str, Any], name: str) -> str:
    """Return a string; empty if the member is missing or something else."""
    value = members.get(name)
    return replaceSurrogates(value) if isinstance(value, str) else ""


def _readCitations(annotations: list[Any]) -> Iterator[Citation]:
    """Return the pages that annotations cite."""
    for annotation in annotations:
        citation = annotation.get("url_citation") if isinstance(annotation, Mapping) else None
        if isinstance(citation, Mapping):
            url = _readText(citation, "url")
            if url:
                yield Citation(url, _readText(citation, "title"))


def _readPictures(images: list[Any]) -> Iterator[Picture]:
    """Return the pictures in the member `images` of OpenRouter and LiteLLM."""
    for image in images:
        place = image.get("image_url") if isinstance(image, Mapping) else None
        url = _readText(place, "url") if isinstance(place, Mapping) else ""
        if url:
            found = _DATA_TYPE.match(url)
            yield Picture(url, found[1] if found else "image/*")


def _makeChunk(value: dict[str, Any]) -> _Chunk:
    """Make a chunk of JSON in an unusual shape: members of wrong types are left out."""
    found = value.get("choices")
    choices = []
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict):
            index, delta = one.get("index"), one.get("delta")
            members = _makeMembers(delta) if isinstance(delta, dict) else None
            choices.append(_Choice(index if isinstance(index, int) else 0, members, one.get("finish_reason")))
    return _Chunk(choices, value.get("usage"))


def _makeMembers(delta: dict[str, Any]) -> _Members:
    """Make the members of a message."""
    names = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call")
    return _Members(*(delta.get(name) for name in (*names, "annotations", "images")))


def readModel(data: bytes) -> str | None:
    """
    Read the name of the model in a chunk.

    Args:
        data: See `DeltaReader.read`.

    Returns:
        The name; `None` if there is none.
    """
    try:
        model = _decodeName(data).model
    except (ValueError, RecursionError):
        model = decodeChunk(data).get("model")
    return replaceSurrogates(model) if isinstance(model, str) and model else None
