"""
The writer of a UI message stream, version 1: an answer as the parts of one message.

Each part is one event without an ID. The SDK counts them, so an entry always makes the same ones. Version 5.0 of the
SDK refuses members that it does not know.
"""

from __future__ import annotations

import msgspec

from sseserver.jsontext import toJSON
from sseserver.protocols.answerparts import Open, OpenCall, PartWriter, describeUsage
from sseserver.protocols.chatcompletions import Citation, Picture, Usage
from sseserver.values import Reason
from sseserver.wire import writeBlock

#: Name and value of the header that every response with a UI message stream has.
HEADER = (b"x-vercel-ai-ui-message-stream", b"v1")

#: The event after the last part of a message. It is no part.
DONE = writeBlock(b"[DONE]")

#: Checks JSON without making values of it.
_checkJSON = msgspec.json.Decoder(msgspec.Raw).decode

_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")

_BEGINNINGS = {Open.TEXT: "text", Open.REASONING: "reasoning"}


def writePart(type: str, **members: object) -> bytes:
    """
    Write a part as an event.

    Args:
        type: Its type.
        members: Its other members.
    """
    return writeBlock(toJSON({"type": type, **members}))


def writeProblem(message: str) -> bytes:
    """Write the last events of a message that cannot be whole: the part `error`, and `DONE`."""
    return writePart("error", errorText=message) + DONE


class MessageWriter(PartWriter):
    """
    Writes the parts of one message.

    Args:
        messageID: ID of the message.
    """

    __slots__ = ("_messageID", "_sources")

    def __init__(self, messageID: str) -> None:
        super().__init__()
        self._messageID = messageID
        # Number of sources so far.
        self._sources = 0

    def fork(self) -> MessageWriter:
        """Return a writer in the same state, which writes on for itself."""
        other = MessageWriter(self._messageID)
        other.before = self.before
        other._sources = self._sources
        return other

    def writeBegin(self) -> None:
        """See `PartWriter`."""
        self.events += writePart("start", messageId=self._messageID), writePart("start-step")

    def writeOpen(self, kind: Open, number: int) -> None:
        """See `PartWriter`."""
        name = _BEGINNINGS[kind]
        self.events.append(writePart(f"{name}-start", id=str(number)))
        self.before = b'data: {"type":"%b-delta","id":"%d","delta":' % (name.encode(), number)

    def makeDelta(self, text: str) -> bytes:
        """See `PartWriter`."""
        # A template, not `writePart`: this is done for every token of every stream.
        return b"%b%b}\n\n" % (self.before, toJSON(text))

    def writeClose(self, kind: Open, number: int) -> None:
        """See `PartWriter`."""
        self.events.append(writePart(f"{_BEGINNINGS[kind]}-end", id=str(number)))

    def writeCallStart(self, call: OpenCall) -> None:
        """See `PartWriter`."""
        self.events.append(writePart("tool-input-start", toolCallId=call.id, toolName=call.name))

    def writeArguments(self, call: OpenCall, piece: str) -> None:
        """See `PartWriter`."""
        call.pieces.append(piece)
        self.events.append(writePart("tool-input-delta", toolCallId=call.id, inputTextDelta=piece))

    def writeCallEnd(self, call: OpenCall) -> None:
        """See `PartWriter`. The whole input is repeated."""
        given = "".join(call.pieces)
        members: dict[str, object] = {"toolCallId": call.id, "toolName": call.name}
        value = given.strip().encode() or b"{}"
        try:
            _checkJSON(value)
        except (ValueError, RecursionError):
            problem = "The model has written an input that is not JSON."
            self.events.append(writePart("tool-input-error", **members, input=given, errorText=problem))
            return
        # As the model has written it, in one line: between the values of JSON a line end is like a space.
        before = toJSON({"type": "tool-input-available", **members})[:-1]
        self.events.append(b'data: %b,"input":%b}\n\n' % (before, value.translate(_ONE_LINE)))

    def writeCitation(self, citation: Citation) -> None:
        """See `PartWriter`."""
        title = {"title": citation.title} if citation.title else {}
        self.events.append(writePart("source-url", sourceId=f"source-{self._sources}", url=citation.url, **title))
        self._sources += 1

    def writePicture(self, picture: Picture) -> None:
        """See `PartWriter`."""
        self.events.append(writePart("file", url=picture.url, mediaType=picture.mediaType))

    def writeEnd(self, reason: str, usage: Usage | None) -> None:
        """See `PartWriter`. Metadata tell of what the SDK's first versions have no members for."""
        metadata: dict[str, object] = {}
        if reason != Reason.STOP:
            metadata["finishReason"] = reason.replace("_", "-")
        if usage is not None:
            metadata["usage"] = describeUsage(usage)
        more = {"messageMetadata": metadata} if metadata else {}
        self.events += writePart("finish-step"), writePart("finish", **more) + DONE

    def writeFailure(self, message: str, code: str) -> None:
        """See `PartWriter`."""
        self.events.append(writeProblem(message))

    def writeCancel(self, message: str) -> None:
        """See `PartWriter`."""
        self.events.append(writePart("abort") + DONE)
