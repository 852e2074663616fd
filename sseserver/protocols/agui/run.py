"""
The writer of a run of AG-UI: an answer as `RUN_STARTED`, the events of its parts, and `RUN_FINISHED` or `RUN_ERROR`.

Each event has an ID, directly before its one line of data: clients read line by line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sseserver.jsontext import toJSON
from sseserver.protocols.answerparts import Open, OpenCall, PartWriter, describeUsage
from sseserver.protocols.chatcompletions import Citation, Picture, Usage
from sseserver.wire import writeBlock


def writeProblem(message: str, code: str) -> bytes:
    """
    Write an event `RUN_ERROR` without an ID, for a response that ends before its run.

    Args:
        message: A sentence for people.
        code: A word for programs.
    """
    return writeBlock(toJSON({"type": "RUN_ERROR", "message": message, "code": code}))


class RunNames(NamedTuple):
    """
    The names that a client has given.

    Attributes:
        thread: ID of the conversation.
        run: ID of the run.
    """

    thread: str
    run: str


def packNames(names: RunNames) -> bytes:
    """Return the data of the entry with which the stream of a run begins: its names, and no list of anything."""
    return toJSON({"api": "agui", "threadId": names.thread, "runId": names.run}) + b"\n[]"


def readNames(members: Mapping[str, Any]) -> RunNames | None:
    """
    Return the names of a run; `None` if the entry is one of another API.

    Args:
        members: First line of the entry.
    """
    if members.get("api") != "agui":
        return None
    return RunNames(str(members.get("threadId")), str(members.get("runId")))


class IDs:
    """
    The first half of the event IDs of a run, shared by its writers: a log may get another epoch.

    Args:
        epoch: Epoch of the stream.

    Attributes:
        epoch: The epoch, as it is written.
    """

    __slots__ = ("epoch",)

    def __init__(self, epoch: str) -> None:
        self.set(epoch)

    def set(self, epoch: str) -> None:
        """Write events with another epoch from now on."""
        self.epoch = epoch.encode("ascii")


class RunWriter(PartWriter):
    """
    Writes the events of one run.

    Args:
        ids: Has the epoch in the IDs of the events.
        answer: Name of the answer: part of the IDs of messages, and the IDs of thread and run until they are named.
        number: Number of events before the first one.
    """

    __slots__ = ("_answer", "_ids", "_number", "_parent", "_run", "_thread")

    def __init__(self, ids: IDs, answer: str, number: int = 0) -> None:
        super().__init__()
        self._thread = self._run = answer
        self._ids = ids
        self._answer = answer
        # Number of events so far.
        self._number = number
        # ID of the message to which tool calls belong: the newest text, or a message without text.
        self._parent = f"msg-{answer}"

    def fork(self) -> RunWriter:
        """Return a writer in the same state, which writes on for itself."""
        other = RunWriter(self._ids, self._answer, self._number)
        other.before = self.before
        other._thread, other._run = self._thread, self._run
        other._parent = self._parent
        return other

    def readInput(self, members: Mapping[str, Any]) -> bool:
        """See `PartWriter`. The run starts at once if it was asked for by AG-UI."""
        names = readNames(members)
        if names is None:
            return False
        self._thread, self._run = names
        return True

    def skipDeltas(self, count: int) -> None:
        """See `PartWriter`."""
        self._number += count

    def _write(self, type: str, **members: object) -> None:
        """Write an event with its ID."""
        self._number += 1
        data = toJSON({"type": type, **members})
        self.events.append(b"id: %b.%d\ndata: %b\n\n" % (self._ids.epoch, self._number, data))

    def writeBegin(self) -> None:
        """See `PartWriter`."""
        self._write("RUN_STARTED", threadId=self._thread, runId=self._run)

    def writeOpen(self, kind: Open, number: int) -> None:
        """See `PartWriter`."""
        messageID = self._nameMessage(kind, number)
        if kind is Open.TEXT:
            self._parent = messageID
            self._write("TEXT_MESSAGE_START", messageId=messageID, role="assistant")
        else:
            self._write("REASONING_START", messageId=messageID)
            self._write("REASONING_MESSAGE_START", messageId=messageID, role="reasoning")
        type = "TEXT_MESSAGE_CONTENT" if kind is Open.TEXT else "REASONING_MESSAGE_CONTENT"
        self.before = b'data: %b,"delta":' % toJSON({"type": type, "messageId": messageID})[:-1]

    def makeDelta(self, text: str) -> bytes:
        """See `PartWriter`."""
        # A template, not `_write`: this is done for every token of every stream.
        self._number += 1
        return b"id: %b.%d\n%b%b}\n\n" % (self._ids.epoch, self._number, self.before, toJSON(text))

    def writeClose(self, kind: Open, number: int) -> None:
        """See `PartWriter`."""
        messageID = self._nameMessage(kind, number)
        if kind is Open.TEXT:
            self._write("TEXT_MESSAGE_END", messageId=messageID)
        else:
            self._write("REASONING_MESSAGE_END", messageId=messageID)
            self._write("REASONING_END", messageId=messageID)

    def writeCallStart(self, call: OpenCall) -> None:
        """See `PartWriter`."""
        self._write("TOOL_CALL_START", toolCallId=call.id, toolCallName=call.name, parentMessageId=self._parent)

    def writeArguments(self, call: OpenCall, piece: str) -> None:
        """See `PartWriter`."""
        self._write("TOOL_CALL_ARGS", toolCallId=call.id, delta=piece)

    def writeCallEnd(self, call: OpenCall) -> None:
        """See `PartWriter`."""
        self._write("TOOL_CALL_END", toolCallId=call.id)

    def writeCitation(self, citation: Citation) -> None:
        """See `PartWriter`."""
        self._write("CUSTOM", name="citation", value={"url": citation.url, "title": citation.title})

    def writePicture(self, picture: Picture) -> None:
        """See `PartWriter`."""
        self._write("CUSTOM", name="image", value={"url": picture.url, "mimeType": picture.mediaType})

    def writeEnd(self, reason: str, usage: Usage | None) -> None:
        """See `PartWriter`."""
        used = {} if usage is None else {"usage": [describeUsage(usage)]}
        self._write("RUN_FINISHED", threadId=self._thread, runId=self._run, **used)

    def writeFailure(self, message: str, code: str) -> None:
        """See `PartWriter`."""
        self._write("RUN_ERROR", message=message, code=code)

    def writeCancel(self, message: str) -> None:
        """See `PartWriter`. It is an error: older clients would take any other end for success."""
        self._write("RUN_ERROR", message=message, code="cancelled")

    def _nameMessage(self, kind: Open, number: int) -> str:
        """Return the ID of a message."""
        name = "msg" if kind is Open.TEXT else "reasoning"
        return f"{name}-{self._answer}-{number}"
