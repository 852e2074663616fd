"""
PartWriter: base of the writers of protocols whose answers are made of parts: text, reasoning, tool calls.

It knows which part is open. A subclass (`uimessages.MessageWriter`, `agui.RunWriter`) knows how events are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from sseserver.protocols.chatcompletions import (
    CallArguments,
    CallStart,
    Citation,
    Delta,
    Picture,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Usage,
)
from sseserver.protocols.chatcompletions.deltas import readUsage
from sseserver.values import Reason


class Open(Enum):
    """The part to which the newest delta belongs."""

    NONE = 0
    TEXT = 1
    REASONING = 2


# Looked up for each token.
_TEXT = Open.TEXT


class OpenCall:
    """
    A tool call whose arguments are being written.

    Attributes:
        id: Its ID.
        name: Name of the tool.
        pieces: Its arguments so far, if the protocol repeats them at the end.
    """

    __slots__ = ("id", "name", "pieces")

    def __init__(self, id: str, name: str, pieces: list[str]) -> None:
        self.id = id
        self.name = name
        self.pieces = pieces


class PartWriter:
    """
    Writes one answer as events.

    One part of text or reasoning is open at a time. Tool calls stay open until the answer ends, since upstreams may mix
    the pieces of several calls.

    """

    __slots__ = ("_before", "_calls", "_events", "_isBegun", "_open", "_part", "_usage")

    def __init__(self) -> None:
        # Whether the events before the first part are written.
        self._isBegun = False
        # Number of the newest part of text or reasoning, from 0.
        self._part = -1
        # The events of the entry that is being written.
        self._events: list[bytes] = []
        self._open = Open.NONE
        # The bytes before the JSON string in a delta of the open part.
        self._before = b""
        # The tool calls by their numbers.
        self._calls: dict[int, OpenCall] = {}
        self._usage: Usage | None = None

    def fork(self) -> PartWriter:
        """Return a writer in the same state, which writes on for itself."""
        raise NotImplementedError

    def copyTo(self, other: PartWriter) -> None:
        """
        Bring another writer of the same answer into this state. The two write on independently.

        Args:
            other: A writer that was just made.
        """
        other._isBegun = self._isBegun
        other._part = self._part
        other._open = self._open
        other._before = self._before
        other._calls = {number: OpenCall(call.id, call.name, list(call.pieces)) for number, call in self._calls.items()}
        other._usage = self._usage

    def writeInput(self, members: Mapping[str, Any]) -> list[bytes]:
        """
        Write the entry `INPUT`, with which a stream may begin. Most protocols leave it out.

        Args:
            members: First line of the entry.

        Returns:
            The events. So do the other methods that write.
        """
        return []

    def writeText(self, text: str) -> list[bytes]:
        """
        Write text of the answer.

        Args:
            text: Never empty.
        """
        if self._open is _TEXT:
            return [self._makeDelta(text)]
        self._begin()
        self._addText(text)
        return self._take()

    def skipText(self, count: int) -> bool:
        """
        Take in tokens whose events nobody reads.

        Args:
            count: Number of tokens.

        Returns:
            Whether it was done, because each token is one event. Otherwise nothing has changed.
        """
        return self._open is _TEXT

    def writeDeltas(self, deltas: Iterable[Delta], text: str) -> list[bytes]:
        """
        Write the additions of a chunk.

        Args:
            deltas: From a `DeltaReader`.
            text: The text among them, as a `ChunkReader` has read it; it may be empty, and is written in one piece.
        """
        self._begin()
        for delta in deltas:
            if not isinstance(delta, TextDelta):
                self._addDelta(delta)
            elif text:
                self._addText(text)
                text = ""
        return self._take()

    def writeDone(self, members: Mapping[str, Any]) -> list[bytes]:
        """
        Write the end of an answer that is complete.

        Args:
            members: Members of the entry `done`.
        """
        self._begin()
        usage = members.get("usage")
        if self._usage is None and isinstance(usage, Mapping):
            self._usage = readUsage(usage)
        self._close()
        for call in self._calls.values():
            self._writeCallEnd(call)
        self._writeEnd(str(members.get("reason") or Reason.STOP))
        return self._take()

    def writeFailed(self, message: str, code: str) -> list[bytes]:
        """
        Write the end of an answer that has failed.

        Args:
            message: A sentence for people.
            code: A word for programs.
        """
        self._begin()
        self._writeFailure(message, code)
        return self._take()

    def writeCancelled(self, message: str) -> list[bytes]:
        """
        Write the end of an answer that was cancelled.

        Args:
            message: A sentence for people.
        """
        self._begin()
        self._writeCancel(message)
        return self._take()

    def _take(self) -> list[bytes]:
        """Return the events since the last call."""
        events, self._events = self._events, []
        return events

    def _begin(self) -> None:
        """Write the events before the first part, unless they are written."""
        if not self._isBegun:
            self._isBegun = True
            self._writeBegin()

    def _addText(self, text: str) -> None:
        """Write text of the answer."""
        if self._open is not _TEXT:
            self._openPart(_TEXT)
        self._events.append(self._makeDelta(text))

    def _addDelta(self, delta: Delta) -> None:
        """Write a delta that is not text."""
        if isinstance(delta, ReasoningDelta):
            if self._open is not Open.REASONING:
                self._openPart(Open.REASONING)
            self._events.append(self._makeDelta(delta.text))
        elif isinstance(delta, RefusalDelta):
            self._addText(delta.text)
        elif isinstance(delta, CallStart):
            self._close()
            call = OpenCall(delta.id, delta.name, [])
            self._calls[delta.number] = call
            self._writeCallStart(call)
        elif isinstance(delta, CallArguments):
            self._writeArguments(self._calls[delta.number], delta.json)
        elif isinstance(delta, Citation):
            self._writeCitation(delta)
        elif isinstance(delta, Picture):
            self._writePicture(delta)
        elif isinstance(delta, Usage):
            self._usage = delta

    def _openPart(self, kind: Open) -> None:
        """Open a part of text or reasoning, after the one that is open."""
        self._close()
        self._open = kind
        self._part += 1
        self._writeOpen(kind)

    def _close(self) -> None:
        """Close the part of text or reasoning that is open."""
        if self._open is not Open.NONE:
            kind, self._open = self._open, Open.NONE
            self._writeClose(kind)

    def _writeBegin(self) -> None:
        """Write the events before the first part."""
        raise NotImplementedError

    def _writeOpen(self, kind: Open) -> None:
        """Write the beginning of a part of text or reasoning, and set `_before`."""
        raise NotImplementedError

    def _makeDelta(self, text: str) -> bytes:
        """Return the event for text of the open part."""
        raise NotImplementedError

    def _writeClose(self, kind: Open) -> None:
        """Write the end of the newest part of text or reasoning."""
        raise NotImplementedError

    def _writeCallStart(self, call: OpenCall) -> None:
        """Write the beginning of a tool call."""
        raise NotImplementedError

    def _writeArguments(self, call: OpenCall, piece: str) -> None:
        """Write a piece of the arguments of a tool call."""
        raise NotImplementedError

    def _writeCallEnd(self, call: OpenCall) -> None:
        """Write the end of a tool call."""
        raise NotImplementedError

    def _writeCitation(self, citation: Citation) -> None:
        """Write a page that the answer cites."""
        raise NotImplementedError

    def _writePicture(self, picture: Picture) -> None:
        """Write a picture that the model has made."""
        raise NotImplementedError

    def _writeEnd(self, reason: str) -> None:
        """Write the events after the last part of a complete answer, which has a finish reason."""
        raise NotImplementedError

    def _writeFailure(self, message: str, code: str) -> None:
        """Write the end of an answer that has failed; see `writeFailed`."""
        raise NotImplementedError

    def _writeCancel(self, message: str) -> None:
        """Write the end of an answer that was cancelled."""
        raise NotImplementedError


def describeUsage(usage: Usage) -> dict[str, int]:
    """Return the usage with the names that AG-UI's `TokenUsage` and the SDK's `LanguageModelUsage` have in common."""
    return {
        "inputTokens": usage.prompt,
        "outputTokens": usage.completion,
        "totalTokens": usage.prompt + usage.completion,
        "reasoningTokens": usage.reasoning,
        "cachedInputTokens": usage.cached,
    }
