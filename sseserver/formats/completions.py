"""
The format `completions`: the chunks of OpenAI's legacy completions, which have the text alone.
"""

from __future__ import annotations

from zope.interface import classImplements

from sseserver.formats.openai import OpenAIFormat, OpenAIRendering, nameAnswer
from sseserver.interfaces import IRendering, IStreamLog
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

    __slots__ = ("_converter",)

    def __init__(self, streamLog: IStreamLog, writer: TextWriter) -> None:
        OpenAIRendering.__init__(self, streamLog, writer)
        self._converter = writer

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """See `EntryRendering.single`."""
        if kind not in (Kind.CHUNK, Kind.SILENT_CHUNK):
            return OpenAIRendering.single(self, number, kind, data)
        chunk, text = unpack(data)
        converted = self._converter.convert(chunk, text.decode("utf-8"))
        return b"" if converted is None else writeBlock(converted, id=b"%b-%d" % (self._epoch, number))


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
