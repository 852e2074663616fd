"""
The format `completions`: the chunks of OpenAI's legacy completions, which have the text alone.
"""

from __future__ import annotations

from zope.interface import classImplements

from sseserver.formats.openai import OpenAIFormat, OpenAIRendering, nameAnswer
from sseserver.interfaces import IRendering, IStreamLog
from sseserver.jsontext import toJSON
from sseserver.protocols.chatcompletions.textframe import TextFrame
from sseserver.protocols.completions import TextWriter
from sseserver.streams.entries import unpack
from sseserver.values import Kind
from sseserver.wire import writeBlock


class _CompletionsRendering(OpenAIRendering):
    """
    A rendering with one chunk for each token. Chunks of an upstream without text and end are left out.

    Args:
        streamLog: The log.
        writer: Writes the chunks.
    """

    __slots__ = ("_begin", "_converter", "_end", "_frame")

    def __init__(self, streamLog: IStreamLog, writer: TextWriter) -> None:
        OpenAIRendering.__init__(self, streamLog, writer)
        self._converter = writer
        # The frame of the upstream's chunks, and what stands before and behind the text in a converted one.
        self._frame = TextFrame()
        self._begin = self._end = b""

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """See `EntryRendering.single`."""
        if kind not in (Kind.CHUNK, Kind.SILENT_CHUNK):
            return OpenAIRendering.single(self, number, kind, data)
        found = self._frame.find(data) if kind is Kind.CHUNK else None
        if found is not None:
            # Nearly all chunks differ in nothing but the text. A template, as in `piece`.
            quoted = toJSON(found.decode("utf-8"))
            return b"id: %b-%d\ndata: %b%b%b\n\n" % (self._epoch, number, self._begin, quoted, self._end)
        chunk, text = unpack(data)
        converted = self._converter.convert(chunk, text.decode("utf-8"))
        if text:
            self._learn(chunk, data)
        return b"" if converted is None else writeBlock(converted, id=b"%b-%d" % (self._epoch, number))

    def _learn(self, chunk: bytes, data: bytes) -> None:
        """Learn how a chunk with text is converted, to convert those that differ in nothing else without reading."""
        # No upstream knows the epoch.
        mark = self._epoch
        parts = (self._converter.convert(chunk, mark.decode("ascii")) or b"").split(b'"%b"' % mark)
        if len(parts) == 2 and self._frame.learn(data):
            self._begin, self._end = parts


classImplements(_CompletionsRendering, IRendering)


class CompletionsFormat(OpenAIFormat):
    """
    The format `completions`.

    Each token is an object `text_completion`. The last event is `[DONE]`, or an error as in `openai`.

    Args:
        model: See `OpenAIFormat`.
        withUsage: See `OpenAIFormat`.
    """

    name = "completions"

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        writer = TextWriter(nameAnswer(streamLog), int(streamLog.created), self.model, self.withUsage)
        return _CompletionsRendering(streamLog, writer)
