"""
PartTranslator: the translator of the formats whose protocols write an answer as parts, `ui` and `agui`.
"""

from __future__ import annotations

import json

from sseserver.formats.rendering import describeFailure
from sseserver.protocols.answerparts import AnswerParts
from sseserver.protocols.chatcompletions import DeltaReader, TextDelta
from sseserver.protocols.chatcompletions.textframe import TextFrame
from sseserver.streams.entries import unpack
from sseserver.values import Kind

# Looked up for each entry.
_TOKEN = Kind.TOKEN
_CHUNK = Kind.CHUNK


class PartTranslator:
    """
    Gives the entries of a log to the parts of an answer. It is a `TextTranslator`.

    Most upstreams write chunks that differ in nothing but the text. When one that adds nothing but text was translated,
    others that look the same are not decoded.

    Args:
        parts: The parts, with the writer of the protocol.
    """

    __slots__ = ("_frame", "_parts", "_reader")

    def __init__(self, parts: AnswerParts) -> None:
        self._parts = parts
        self._reader = DeltaReader()
        self._frame = TextFrame()

    def fork(self) -> PartTranslator:
        """See `Translator.fork`."""
        other = PartTranslator(self._parts.fork())
        other._reader, other._frame = self._reader.fork(), self._frame
        return other

    def translate(self, kind: Kind, data: bytes) -> list[bytes]:
        """See `Translator.translate`."""
        if kind is _TOKEN:
            return self._parts.writeText(data.decode("utf-8"))
        if kind is _CHUNK:
            text = self._frame.find(data)
            return self._readChunk(data) if text is None else self._parts.writeText(text.decode("utf-8"))
        if kind is Kind.SILENT_CHUNK:
            return self._parts.writeDeltas(self._reader.read(unpack(data)[0]), "")
        if kind is Kind.INPUT:
            return self._parts.writeInput(json.loads(unpack(data)[0]))
        members = json.loads(data)
        if kind is Kind.DONE:
            return self._parts.writeDone(members)
        message = describeFailure(kind, members)
        if kind is Kind.CANCELLED:
            return self._parts.writeCancelled(message)
        return self._parts.writeFailed(message, str(members.get("code") or members.get("reason")))

    def skip(self, text: bytes, count: int) -> bool:
        """See `TextTranslator.skip`."""
        return self._parts.skipText(count)

    def writeTexts(self, texts: list[bytes]) -> list[bytes]:
        """See `TextTranslator.writeTexts`."""
        return self._parts.writeTexts(texts)

    def findTexts(self, data: bytes, bounds: list[int]) -> list[bytes]:
        """See `TextTranslator.findTexts`."""
        return self._frame.findAll(data, bounds)

    def _readChunk(self, data: bytes) -> list[bytes]:
        """Translate a chunk with text, and learn what it looks like if it adds nothing else."""
        chunk, text = unpack(data)
        plain = text.decode("utf-8")
        deltas = self._reader.read(chunk)
        if deltas == [TextDelta(plain)]:
            self._frame.learn(data)
            return self._parts.writeText(plain)
        return self._parts.writeDeltas(deltas, plain)
