"""
The format `openai`: the chunks of a chat completion, as OpenAI's clients read them.

These clients are not EventSources: they parse the data of every event as JSON. So no event has a type, and none is
without data.
"""

from __future__ import annotations

import json
import re

from zope.interface import classImplements

from sseserver.errors import GapError, ViewerRefused
from sseserver.formats.rendering import RESTARTED, EntryRendering, describeFailure, describeGap
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.jsontext import toJSON
from sseserver.protocols.chatcompletions import FINISH_REASONS, ChunkWriter, writeError
from sseserver.streams.entries import unpack
from sseserver.streams.ids import findFirstEpoch
from sseserver.values import Kind, Reason
from sseserver.wire import encodeRetry, writeBlock

# Tokens are joined, chunks are not: a chunk contains more than its text.
_TOKEN = bytes((Kind.TOKEN,))
_TOKENS = re.compile(b"[%b]+" % _TOKEN)

#: Data of the last event of an answer.
_DONE = b"[DONE]"


class OpenAIRendering(EntryRendering):
    """
    A rendering with one chunk for each token, and the chunks of an upstream as they came.

    Args:
        streamLog: The log.
        writer: Writes the chunks.
    """

    __slots__ = ("_before", "_behind", "_writer")

    pieces = _TOKEN
    row = _TOKENS

    def __init__(self, streamLog: IStreamLog, writer: ChunkWriter) -> None:
        super().__init__(streamLog)
        self._writer = writer
        self._before, self._behind = self._writer.split()

    def start(self, fromNow: bool) -> int:
        """See `IRendering.start`. A new viewer does not get void text, which its client could not take back."""
        return self._log.last if fromNow else self.findBegin() or self._buffer.first - 1

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See `IRendering.head`: a field of the first event. By itself it would be an event without data."""
        buffer = self._buffer
        if buffer.first <= cursor <= self._log.last and buffer.kind(cursor) == Kind.RESTART and not self._hasChunks():
            return writeBlock(self._role(), retry=retry)
        return encodeRetry(retry)

    def retire(self, retry: int) -> bytes:
        """See `IRendering.retire`."""
        error = writeError("The server ends this response early. Resume the stream later.", Reason.SHUTDOWN)
        return writeBlock(error, retry=retry)

    def gap(self, asked: str, gap: GapError) -> bytes:
        """See `IRendering.gap`."""
        return self._event(gap.cursor, writeError(describeGap(gap), "gap"))

    def piece(self, number: int, text: bytes, index: int) -> bytes:
        """See `EntryRendering.piece`. JSON escapes CR and LF, so it does not matter how a line end is cut."""
        opening = self._opening() if index + self._buffer.first == 1 else b""
        # A template, not `wire.encode`: this is done for every token of every stream.
        return b"%bid: %b-%d\ndata: %b%b%b\n\n" % (
            opening,
            self._epoch,
            number,
            self._before,
            toJSON(text.decode("utf-8")),
            self._behind,
        )

    def single(self, number: int, kind: Kind, data: bytes) -> bytes:
        """See `EntryRendering.single`. Published events are left out."""
        if kind in (Kind.CHUNK, Kind.SILENT_CHUNK):
            # A template, as in `piece`. A chunk has no line ends (`packChunk`).
            return b"id: %b-%d\ndata: %b\n\n" % (self._epoch, number, unpack(data)[0])
        if kind == Kind.RESPONSE_EVENT:
            return b""
        if kind in (Kind.EVENT, Kind.INPUT):
            return self._event(number, self._role()) if number == 1 else b""
        opening = self._opening() if number == 1 else b""
        if kind == Kind.RESTART:
            return self._restart(number, opening)
        terminal = json.loads(data)
        if kind == Kind.DONE:
            return opening + self._closing(terminal) + self._event(number, _DONE)
        code, type = terminal.get("code") or terminal.get("reason"), terminal.get("type")
        error = writeError(describeFailure(kind, terminal), code, type or "server_error", terminal.get("param"))
        return self._event(number, error)

    def _restart(self, number: int, opening: bytes) -> bytes:
        """
        Write a restart, which a viewer without text does not see.

        Args:
            number: Its number.
            opening: The event before the first text, if this is the first entry.

        Raises:
            ViewerRefused: The viewer may have text.
        """
        if self.voidsText(number):
            raise ViewerRefused(self._event(number, writeError(RESTARTED, Reason.INTERRUPTED)))
        return opening

    def _event(self, number: int, data: bytes) -> bytes:
        """Write the last event of an entry, which has the entry's ID."""
        return writeBlock(data, id=b"%b-%d" % (self._epoch, number))

    def _role(self) -> bytes:
        """Write the chunk that opens an answer."""
        return self._writer.write({"role": "assistant", "content": ""})

    def _opening(self) -> bytes:
        """Write the event before the first text."""
        return writeBlock(self._role())

    def _hasChunks(self) -> bool:
        """Return whether the answer is one of an upstream, whose chunks have everything."""
        kinds = self._buffer.kinds
        return Kind.CHUNK in kinds or Kind.SILENT_CHUNK in kinds

    def _closing(self, terminal: dict[str, object]) -> bytes:
        """Write the events before `[DONE]`: the finish reason, and the usage. The chunks of an upstream have both."""
        if self._hasChunks():
            return b""
        reason, usage = terminal.get("reason"), terminal.get("usage")
        chunks = [self._writer.write({}, reason if reason in FINISH_REASONS else Reason.STOP)]
        if isinstance(usage, dict):
            chunks.append(self._writer.writeUsage(usage))
        return b"".join(map(writeBlock, chunks))


classImplements(OpenAIRendering, IRendering)


def nameAnswer(streamLog: IStreamLog) -> str:
    """Return the ID of an answer as a chat completion, unless it is an upstream's."""
    return f"chatcmpl-{findFirstEpoch(streamLog)}"


class OpenAIFormat:
    """
    The format `openai`.

    Each token is an object `chat.completion.chunk`. The last event is `[DONE]`, or an error if the stream failed, was
    cancelled, or has begun anew.

    Args:
        model: Name of the model in the chunks.
        withUsage: Whether each chunk has the member `usage`, as for clients that requested it.

    Attributes:
        model: See above.
        name: `openai`, or another name with `withUsage`: the viewers of one name share their events.
        withUsage: See above.
    """

    name = "openai"
    headers = ()
    reconnects = False

    def __init__(self, model: str, withUsage: bool = False) -> None:
        self.model = model
        self.withUsage = withUsage
        if withUsage:
            self.name = f"{self.name} with usage"

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        answerID, created = nameAnswer(streamLog), int(streamLog.created)
        return OpenAIRendering(streamLog, ChunkWriter(answerID, created, self.model, self.withUsage))


classImplements(OpenAIFormat, IFormat)
