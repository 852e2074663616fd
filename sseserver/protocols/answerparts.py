"""
AnswerParts: an answer in the events of a protocol whose answers are made of parts: text, reasoning, tool calls.

It knows which part is open. A `PartWriter` (`uimessages.MessageWriter`, `agui.RunWriter`) knows how events are written.
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
    Base of the writers: how a protocol writes the events of an answer. `AnswerParts` says in which order.

    Attributes:
        before: The bytes before the JSON string in a delta of the open part. `writeOpen` sets them.
        events: The events of the entry that is being written.
    """

    __slots__ = ("before", "events")

    def __init__(self) -> None:
        self.before = b""
        self.events: list[bytes] = []

    def fork(self) -> PartWriter:
        """Return a writer in the same state, which writes on for itself."""
        raise NotImplementedError

    def readInput(self, members: Mapping[str, Any]) -> bool:
        """
        Read the entry `INPUT`, with which a stream may begin. Most protocols leave it out.

        Args:
            members: First line of the entry.

        Returns:
            Whether the answer begins with it.
        """
        return False

    def skipDeltas(self, count: int) -> None:
        """
        Count deltas that nobody reads, if the protocol numbers its events.

        Args:
            count: Number of deltas.
        """

    def writeBegin(self) -> None:
        """Write the events before the first part."""
        raise NotImplementedError

    def writeOpen(self, kind: Open, number: int) -> None:
        """
        Write the beginning of a part, and set `before`.

        Args:
            kind: Text or reasoning.
            number: Number of the part among those of text and reasoning, from 0.
        """
        raise NotImplementedError

    def makeDelta(self, text: str) -> bytes:
        """Return the event for text of the open part."""
        raise NotImplementedError

    def writeClose(self, kind: Open, number: int) -> None:
        """Write the end of a part. See `writeOpen`."""
        raise NotImplementedError

    def writeCallStart(self, call: OpenCall) -> None:
        """Write the beginning of a tool call."""
        raise NotImplementedError

    def writeArguments(self, call: OpenCall, piece: str) -> None:
        """
        Write a piece of the arguments of a tool call.

        Args:
            call: The call.
            piece: JSON, or a piece of it.
        """
        raise NotImplementedError

    def writeCallEnd(self, call: OpenCall) -> None:
        """Write the end of a tool call."""
        raise NotImplementedError

    def writeCitation(self, citation: Citation) -> None:
        """Write a page that the answer cites."""
        raise NotImplementedError

    def writePicture(self, picture: Picture) -> None:
        """Write a picture that the model has made."""
        raise NotImplementedError

    def writeEnd(self, reason: str, usage: Usage | None) -> None:
        """
        Write the events after the last part of a complete answer.

        Args:
            reason: The finish reason.
            usage: The usage, if it is known.
        """
        raise NotImplementedError

    def writeFailure(self, message: str, code: str) -> None:
        """Write the end of an answer that has failed. See `AnswerParts.writeFailed`."""
        raise NotImplementedError

    def writeCancel(self, message: str) -> None:
        """Write the end of an answer that was cancelled. See `AnswerParts.writeCancelled`."""
        raise NotImplementedError


class AnswerParts:
    """
    The parts of one answer, written as events.

    One part of text or reasoning is open at a time. Tool calls stay open until the answer ends, since upstreams may mix
    the pieces of several calls.

    Args:
        writer: Writes the events.
    """

    __slots__ = ("_calls", "_isBegun", "_open", "_part", "_usage", "_writer")

    def __init__(self, writer: PartWriter) -> None:
        self._writer = writer
        # Whether the events before the first part are written.
        self._isBegun = False
        # Number of the newest part of text or reasoning, from 0.
        self._part = -1
        self._open = Open.NONE
        # The tool calls by their numbers.
        self._calls: dict[int, OpenCall] = {}
        self._usage: Usage | None = None

    def fork(self) -> AnswerParts:
        """Return the parts in the same state, which go on for themselves."""
        other = AnswerParts(self._writer.fork())
        other._isBegun = self._isBegun
        other._part = self._part
        other._open = self._open
        other._calls = {number: OpenCall(call.id, call.name, list(call.pieces)) for number, call in self._calls.items()}
        other._usage = self._usage
        return other

    def writeInput(self, members: Mapping[str, Any]) -> list[bytes]:
        """
        Write the entry `INPUT`, with which a stream may begin.

        Args:
            members: First line of the entry.

        Returns:
            The events. So do the other methods that write.
        """
        if self._writer.readInput(members):
            self._begin()
        return self._take()

    def writeText(self, text: str) -> list[bytes]:
        """
        Write text of the answer.

        Args:
            text: Never empty.
        """
        if self._open is _TEXT:
            return [self._writer.makeDelta(text)]
        self._begin()
        self._addText(text)
        return self._take()

    def skipText(self, count: int) -> bool:
        """
        Take in texts whose events nobody reads.

        Args:
            count: Number of texts.

        Returns:
            Whether it was done, because each text is one event. Otherwise nothing has changed.
        """
        if self._open is not _TEXT:
            return False
        self._writer.skipDeltas(count)
        return True

    def writeTexts(self, texts: list[bytes]) -> list[bytes]:
        """
        Write several texts of the answer.

        Args:
            texts: UTF-8.

        Returns:
            One event for each of them; none if some have more, in which case nothing has changed.
        """
        return [self._writer.makeDelta(text.decode("utf-8")) for text in texts] if self._open is _TEXT else []

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
            self._writer.writeCallEnd(call)
        self._writer.writeEnd(str(members.get("reason") or Reason.STOP), self._usage)
        return self._take()

    def writeFailed(self, message: str, code: str) -> list[bytes]:
        """
        Write the end of an answer that has failed.

        Args:
            message: A sentence for people.
            code: A word for programs.
        """
        self._begin()
        self._writer.writeFailure(message, code)
        return self._take()

    def writeCancelled(self, message: str) -> list[bytes]:
        """
        Write the end of an answer that was cancelled.

        Args:
            message: A sentence for people.
        """
        self._begin()
        self._writer.writeCancel(message)
        return self._take()

    def _take(self) -> list[bytes]:
        """Return the events since the last call."""
        writer = self._writer
        events, writer.events = writer.events, []
        return events

    def _begin(self) -> None:
        """Write the events before the first part, unless they are written."""
        if not self._isBegun:
            self._isBegun = True
            self._writer.writeBegin()

    def _addText(self, text: str) -> None:
        """Write text of the answer."""
        if self._open is not _TEXT:
            self._openPart(_TEXT)
        self._writer.events.append(self._writer.makeDelta(text))

    def _addDelta(self, delta: Delta) -> None:
        """Write a delta that is not text."""
        if isinstance(delta, ReasoningDelta):
            if self._open is not Open.REASONING:
                self._openPart(Open.REASONING)
            self._writer.events.append(self._writer.makeDelta(delta.text))
        elif isinstance(delta, RefusalDelta):
            self._addText(delta.text)
        elif isinstance(delta, CallStart):
            self._close()
            call = OpenCall(delta.id, delta.name, [])
            self._calls[delta.number] = call
            self._writer.writeCallStart(call)
        elif isinstance(delta, CallArguments):
            self._writer.writeArguments(self._calls[delta.number], delta.json)
        elif isinstance(delta, Citation):
            self._writer.writeCitation(delta)
        elif isinstance(delta, Picture):
            self._writer.writePicture(delta)
        elif isinstance(delta, Usage):
            self._usage = delta

    def _openPart(self, kind: Open) -> None:
        """Open a part of text or reasoning, after the one that is open."""
        self._close()
        self._open = kind
        self._part += 1
        self._writer.writeOpen(kind, self._part)

    def _close(self) -> None:
        """Close the part of text or reasoning that is open."""
        if self._open is not Open.NONE:
            kind, self._open = self._open, Open.NONE
            self._writer.writeClose(kind, self._part)


def describeUsage(usage: Usage) -> dict[str, int]:
    """Return the usage with the names that AG-UI's `TokenUsage` and the SDK's `LanguageModelUsage` have in common."""
    return {
        "inputTokens": usage.prompt,
        "outputTokens": usage.completion,
        "totalTokens": usage.prompt + usage.completion,
        "reasoningTokens": usage.reasoning,
        "cachedInputTokens": usage.cached,
    }
