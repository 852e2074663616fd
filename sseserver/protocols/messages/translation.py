"""
Translation of an answer into the events of a streamed message.

Reference: https://docs.anthropic.com/en/docs/build-with-claude/streaming.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from sseserver.errors import RunCancelled, SourceError
from sseserver.jsontext import quoteAll, toJSON
from sseserver.protocols.chatcompletions import (
    CallArguments,
    CallStart,
    Delta,
    DeltaReader,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Usage,
    readModel,
    readUsage,
)
from sseserver.protocols.chatcompletions.textframe import TextFrame
from sseserver.protocols.messages.problems import convertProblem, writeProblem
from sseserver.protocols.messages.reasons import convertReason, convertUsage
from sseserver.values import Kind
from sseserver.wire import writeBlock

#: The event that stands for a heartbeat.
PING = b'event: ping\ndata: {"type":"ping"}\n\n'

_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

#: The event of a delta: index of the block, type and member of the delta, JSON string.
_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":%b}}\n\n'
)

# Looked up for each entry.
_TOKEN = Kind.TOKEN
_CHUNK = Kind.CHUNK
_SILENT = Kind.SILENT_CHUNK


class _Open(Enum):
    """The block that is open, other than those of tool calls."""

    NONE = None
    TEXT = "text"
    THINKING = "thinking"


# Looked up for each entry, too.
_TEXT = _Open.TEXT


class MessagesTranslator:
    """
    Writes the entries of one answer as the events of a message; see `sseserver.formats.translation.Translator`.

    A block of text or reasoning ends where another block begins. Those of tool calls stay open to the end, because
    upstreams may send the arguments of several calls in turn.

    Args:
        messageID: ID of the message.
        model: Name of the model, unless the chunks name another.
    """

    __slots__ = (
        "_blocks",
        "_calls",
        "_frame",
        "_head",
        "_id",
        "_isStarted",
        "_model",
        "_open",
        "_reader",
        "_reason",
        "_refuses",
        "_usage",
    )

    def __init__(self, messageID: str, model: str) -> None:
        self._id = messageID
        self._model = model
        self._isStarted = False
        self._reader = DeltaReader()
        self._frame = TextFrame()
        # Number of blocks so far. The one that is open is the last of them, if it is not that of a call.
        self._blocks = 0
        self._open = _Open.NONE
        # A delta of the open block up to its text.
        self._head = b""
        # The blocks of the calls by the numbers of the calls.
        self._calls: dict[int, int] = {}
        self._reason: str | None = None
        self._refuses = False
        self._usage: Usage | None = None

    def fork(self) -> MessagesTranslator:
        """See `Translator.fork`."""
        other = MessagesTranslator(self._id, self._model)
        other._isStarted, other._reader, other._frame = self._isStarted, self._reader.fork(), self._frame
        other._blocks, other._open, other._head = self._blocks, self._open, self._head
        other._calls = dict(self._calls)
        other._reason, other._refuses, other._usage = self._reason, self._refuses, self._usage
        return other

    def skip(self, text: bytes, count: int) -> bool:
        """See `TextTranslator.skip`: in an open block of text each one is a delta."""
        return self._open is _TEXT

    def writeTexts(self, texts: list[bytes]) -> list[bytes]:
        """See `TextTranslator.writeTexts`."""
        head = self._head
        return [b"%b%b}}\n\n" % (head, text) for text in quoteAll(texts)] if self._open is _TEXT else []

    def findTexts(self, data: bytes, bounds: list[int]) -> list[bytes]:
        """See `TextTranslator.findTexts`."""
        return self._frame.findAll(data, bounds)

    def translate(self, kind: Kind, data: bytes) -> list[bytes]:
        """See `Translator.translate`."""
        if kind is _CHUNK and self._open is _TEXT:
            text = self._frame.find(data)
            if text is not None:
                # Nearly all entries end here. JSON without escapes is what `toJSON` writes of ASCII.
                quoted = b'"%b"' % text if text.isascii() else toJSON(text.decode("utf-8"))
                return [b"%b%b}}\n\n" % (self._head, quoted)]
        events: list[bytes] = []
        if kind is _TOKEN:
            if not self._isStarted:
                self._start(events)
            self._addText(_TEXT, data.decode("utf-8"), events)
        elif kind is _CHUNK or kind is _SILENT:
            self._readChunk(data, events)
        elif kind == Kind.DONE:
            if not self._isStarted:
                self._start(events)
            self._end(json.loads(data), events)
        else:
            events.append(_writeFailure(kind, json.loads(data)))
        return events

    def _readChunk(self, data: bytes, events: list[bytes]) -> None:
        """Add what a chunk adds. Its text follows in a line of its own."""
        chunk = data.partition(b"\n")[0]
        if not self._isStarted:
            self._model = readModel(chunk) or self._model
            self._start(events)
        deltas = self._reader.read(chunk)
        for delta in deltas:
            if type(delta) is TextDelta:
                self._addText(_TEXT, delta.text, events)
            else:
                self._add(delta, events)
        if len(deltas) == 1 and type(deltas[0]) is TextDelta:
            self._frame.learn(data)

    def _start(self, events: list[bytes]) -> None:
        """Open the message."""
        self._isStarted = True
        message: dict[str, Any] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            # The tokens are known at the end.
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        events.append(_write("message_start", message=message))

    def _addText(self, block: _Open, text: str, events: list[bytes]) -> None:
        """Add text to the open block, or to a new one."""
        if self._open is not block:
            self._close(events)
            self._open = block
            self._openBlock({"type": "text", "text": ""} if block is _Open.TEXT else _THINKING, events)
            kind = block.value.encode("ascii")
            head, _, _ = (_DELTA % (self._blocks - 1, kind + b"_delta", kind, b"\0")).partition(b"\0")
            self._head = head
        events.append(b"%b%b}}\n\n" % (self._head, toJSON(text)))

    def _add(self, delta: Delta, events: list[bytes]) -> None:
        """Add anything but text. Citations have no place: Anthropic's name the passage of a document."""
        if isinstance(delta, ReasoningDelta):
            self._addText(_Open.THINKING, delta.text, events)
        elif isinstance(delta, RefusalDelta):
            self._refuses = True
            self._addText(_Open.TEXT, delta.text, events)
        elif isinstance(delta, CallStart):
            self._close(events)
            self._calls[delta.number] = self._blocks
            self._openBlock({"type": "tool_use", "id": delta.id, "name": delta.name, "input": {}}, events)
        elif isinstance(delta, CallArguments):
            arguments = (self._calls[delta.number], b"input_json_delta", b"partial_json", toJSON(delta.json))
            events.append(_DELTA % arguments)
        elif isinstance(delta, Finish):
            self._reason = delta.reason
        elif isinstance(delta, Usage):
            self._usage = delta

    def _openBlock(self, block: Mapping[str, object], events: list[bytes]) -> None:
        events.append(_write("content_block_start", index=self._blocks, content_block=block))
        self._blocks += 1

    def _close(self, events: list[bytes]) -> None:
        """End the open block of text or reasoning."""
        if self._open is not _Open.NONE:
            self._open = _Open.NONE
            events.append(_write("content_block_stop", index=self._blocks - 1))

    def _end(self, terminal: Mapping[str, Any], events: list[bytes]) -> None:
        """End the blocks and the message."""
        self._close(events)
        events += [_write("content_block_stop", index=index) for index in self._calls.values()]
        told = terminal.get("usage")
        known = readUsage(told) if isinstance(told, dict) else Usage(0, terminal.get("tokens") or 0, 0, 0)
        usage = convertUsage(self._usage or known)
        reason = convertReason(self._reason or terminal.get("reason"), bool(self._calls), self._refuses)
        events.append(_write("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage))
        events.append(_STOP)


#: A block of reasoning. Only Anthropic's own servers sign theirs.
_THINKING = {"type": "thinking", "thinking": "", "signature": ""}


def _write(name: str, **members: object) -> bytes:
    """Write an event."""
    return writeBlock(toJSON({"type": name, **members}), name.encode("ascii"))


def _writeFailure(kind: Kind, terminal: Mapping[str, Any]) -> bytes:
    """Write the end of an answer that is not complete."""
    if kind == Kind.FAILED:
        return writeProblem(convertProblem(SourceError.fromEntry(terminal)))
    return writeProblem(RunCancelled(f"The answer was cancelled ({terminal.get('reason')})."))
