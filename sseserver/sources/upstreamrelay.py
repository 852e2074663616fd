"""
Relay of an upstream's chunks: the data of its events on their way into a sink, and the errors that it sends among them.

`UpstreamAnswer` makes one `ChunkRelay` for each answer, and asks it whether the answer is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink
from sseserver.jsontext import toJSON
from sseserver.protocols.chatcompletions import ChunkEnd, ChunkReader, ErrorChunk, convertCompletion
from sseserver.protocols.responses.passing import ReadEvent, readEvent
from sseserver.protocols.responses.upstream import ResponseConverter
from sseserver.sources.upstreamerrors import hideErrors, makeStreamError
from sseserver.sources.upstreamsilence import SilenceTimer
from sseserver.values import Reason
from sseserver.wire import Decoder, Event

#: Seconds that an upstream has after the finish reason to send the usage and `[DONE]`.
GRACE_SECONDS = 3.0


#: Bytes. A larger first chunk is not held.
HELD_BYTES = 4096

#: Types of the events of a response that an upstream sends before it knows whether it can answer.
_HELD_EVENTS = frozenset(
    {
        "response.content_part.added",
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.queued",
    }
)

#: Bytes. Limit of those that are held.
HELD_EVENTS_BYTES = 256 * 1024

#: Types of the events of a response that has failed.
_ERRORS = frozenset({"error", "response.cancelled", "response.failed"})


class EventIntake:
    """Intake of the events of an answer. A subclass takes their data, and tells errors."""

    __slots__ = ()

    def take(self, data: bytes) -> None:
        """
        Take the data of an event.

        Args:
            data: UTF-8.

        Raises:
            SourceError: The upstream reports an error or sent something else. This ends the reading of the response.
        """
        raise NotImplementedError("A subclass of EventIntake must implement take().")

    def takeEvent(self, event: Event) -> None:
        """
        Take an event that has more fields than its data.

        Args:
            event: The event, of which only the data count.

        Raises:
            SourceError: As `take` does.
        """
        self.take(event.data.encode("utf-8"))

    def takeRest(self, decoder: Decoder) -> None:
        """
        Take a last event whose empty line is missing at a clean end.

        An EventSource discards it (WHATWG HTML 9.2.6), because the event may be cut. An object that is cut is no JSON.

        Args:
            decoder: The decoder of the response.

        Raises:
            SourceError: The event is complete, and `take` refuses it.
        """
        try:
            for event in decoder.feed(b"\n\n"):
                self.takeEvent(event)
        except SourceError as error:
            if error.reason != Reason.MALFORMED:
                raise


class ChunkRelay(EventIntake):
    """
    Relay of the chunks of one answer, which notes how the upstream ends it.

    Args:
        sink: Receives the chunks, unchanged.
        silence: Learns the time of each chunk, and the limit that follows it.
        tokenTimeout: Seconds from one chunk to the next.
        choices: Number of choices that were requested.
        secrets: The API key and the like, which must not appear in errors.
        onDone: Called at `[DONE]`.

    Attributes:
        finishReason: Finish reason of the answer; `None` before the upstream has sent one.
    """

    __slots__ = (
        "_choices",
        "_ended",
        "_hasChunk",
        "_held",
        "_onDone",
        "_reader",
        "_seconds",
        "_secrets",
        "_silence",
        "_sink",
        "_tokenTimeout",
        "finishReason",
    )

    def __init__(
        self,
        sink: ITokenSink,
        silence: SilenceTimer,
        tokenTimeout: float,
        choices: int,
        secrets: Sequence[str],
        onDone: Callable[[], object],
    ) -> None:
        self._sink: ITokenSink | _HeldChunk = sink
        self._silence = silence
        self._seconds = silence.seconds
        self._tokenTimeout = tokenTimeout
        self._choices = choices
        self._secrets = secrets
        # `None` after `stop`.
        self._onDone: Callable[[], object] | None = onDone
        self._reader = ChunkReader()
        self._hasChunk = False
        # The sink that holds the first chunk; `None` if none is held.
        self._held: _HeldChunk | None = None
        # Numbers of the choices that have a finish reason.
        self._ended: frozenset[int] = frozenset()
        self.finishReason: str | None = None

    @property
    def isOver(self) -> bool:
        """Whether nothing more is taken."""
        return self._onDone is None

    @property
    def hasBegun(self) -> bool:
        """Whether the sink has a chunk."""
        return self._hasChunk and self._held is None

    def hold(self, onBegin: Callable[[], object]) -> None:
        """
        Hold the first chunk if it has no text, until another one follows or the answer is complete.

        Most upstreams send the role of the message before they know whether they can answer.

        Args:
            onBegin: Called before the first chunk goes to the sink.
        """
        sink: Any = self._sink
        self._held = self._sink = _HeldChunk(sink, onBegin, self._letGo)

    def flush(self) -> None:
        """Write a chunk that is held. Does nothing if there is none."""
        if self._held is not None:
            self._held.release()

    def drop(self) -> None:
        """Drop a chunk that is held. Does nothing if there is none."""
        if self._held is not None:
            self._held.drop()

    def _letGo(self, sink: ITokenSink) -> None:
        """Write all further chunks to the sink itself."""
        self._sink, self._held = sink, None

    def hear(self) -> None:
        """Note that an upstream that has begun its answer is at work, although it has sent no chunk."""
        if self._hasChunk:
            self._silence.heard = self._seconds()

    def take(self, data: bytes) -> None:
        """See `EventIntake.take`: the data are a chunk, an error or `[DONE]`."""
        if self._onDone is None:
            return
        # A slice of one byte takes a third of the time of `startswith`.
        isObject = data[:1] == b"{"
        if not isObject and data.startswith(b"[DONE]"):
            if not self._hasChunk:
                raise SourceError("The upstream's answer ended without a chunk.", Reason.TRUNCATED)
            self._onDone()
        elif isObject or data.decode("utf-8").strip():
            try:
                read = self._reader.read(data)
            except ErrorChunk as told:
                raise makeStreamError(told.error, told.errorCode, self._secrets) from None
            if read is None:
                return
            text, end = read
            self._silence.heard = self._seconds()
            if not self._hasChunk:
                self._hasChunk = True
                self._silence.setLimit(self._tokenTimeout)
            if end is not None:
                self._takeEnd(end)
            self._sink.writeChunk(data, text)

    def passEvent(self, event: ReadEvent) -> None:
        """
        Pass an event of a response on. The chunks that it becomes are taken after it.

        Args:
            event: The event. The sink is an `IResponseSink`.
        """
        line, kind = event.line, event.members.get("type")
        if line is None:
            return
        if kind in _ERRORS and self._secrets:
            line = toJSON(hideErrors(event.members, self._secrets))
        if self._held is not None:
            if kind in _ERRORS or (kind in _HELD_EVENTS and self._held.keep(line)):
                # Another upstream may be asked.
                return
            self._held.release()
        sink: Any = self._sink
        sink.writeResponseEvent(line)

    def stop(self) -> None:
        """Take nothing more, and forget the callback."""
        self._onDone = None

    def takeDocument(self, document: bytes) -> None:
        """
        Take an answer in one piece, as a chunk.

        Args:
            document: JSON in UTF-8.

        Raises:
            SourceError: It is no answer, or an error.
        """
        self.take(convertCompletion(document))

    def isComplete(self) -> bool:
        """Return whether all choices have ended. Only the usage and `[DONE]` can follow."""
        return len(self._ended) >= self._choices

    def _takeEnd(self, end: ChunkEnd) -> None:
        """Note the end of choices. The last one shortens the limit for silence."""
        self.finishReason = end.reason or self.finishReason
        self._ended |= end.choices
        if self.isComplete():
            self._silence.setLimit(min(self._tokenTimeout, GRACE_SECONDS))


class _HeldChunk:
    """
    Sink that holds the first chunk, and the first events of a response.

    Args:
        sink: Takes the chunks; an `IResponseSink` if there are events.
        onBegin: Called once before it takes the first one.
        letGo: Called with the sink when nothing is held any more.
    """

    __slots__ = ("_chunk", "_events", "_letGo", "_onBegin", "_sink")

    def __init__(self, sink: Any, onBegin: Callable[[], object], letGo: Callable[[ITokenSink], object]) -> None:
        self._sink = sink
        self._onBegin = onBegin
        self._letGo = letGo
        self._chunk: bytes | None = None
        # The events of a response before the chunk, and the one that became it.
        self._events: list[bytes] = []

    def keep(self, event: bytes) -> bool:
        """
        Hold an event of a response.

        Returns:
            Whether it is held. Otherwise there are too many, or the first chunk is there already.
        """
        if self._chunk is not None or sum(map(len, self._events)) + len(event) > HELD_EVENTS_BYTES:
            return False
        self._events.append(event)
        return True

    def writeChunk(self, chunk: bytes, text: str) -> None:
        """See `ITokenSink.writeChunk`."""
        if self._chunk is None and not text and len(chunk) <= HELD_BYTES:
            self._chunk = chunk
        else:
            self.release()
            self._sink.writeChunk(chunk, text)

    def release(self) -> None:
        """Write the events and the chunk, and hold nothing any more."""
        self._letGo(self._sink)
        self._onBegin()
        for event in self._events:
            self._sink.writeResponseEvent(event)
        if self._chunk is not None:
            self._sink.writeChunk(self._chunk, "")

    def drop(self) -> None:
        """Write nothing any more, and forget the callbacks."""
        self._chunk = None
        self._events = []
        self._letGo = self._onBegin = _ignore


def _ignore(*arguments: object) -> None:
    """Do nothing: the answer is over."""


class TranslatedRelay(EventIntake):
    """
    Relay of the events of another protocol, which become chunks. The sink gets each event before its chunks.

    Args:
        relay: Takes the chunks.
        converter: Makes them.
        passes: Whether the sink takes the events, too: it is an `IResponseSink`.
    """

    __slots__ = ("_converter", "_passes", "_relay")

    def __init__(self, relay: ChunkRelay, converter: ResponseConverter, passes: bool) -> None:
        self._passes = passes
        self._relay = relay
        self._converter = converter

    def take(self, data: bytes) -> None:
        """See `EventIntake.take`."""
        if self._relay.isOver:
            return
        self._relay.hear()
        event = readEvent(data)
        if event is not None:
            if self._passes:
                self._relay.passEvent(event)
            for chunk in self._converter.convert(event.members):
                self._relay.take(chunk)

    def takeDocument(self, document: bytes) -> None:
        """
        Take an answer in one piece.

        Args:
            document: JSON in UTF-8.

        Raises:
            SourceError: It is no answer, or an error.
        """
        for chunk in self._converter.readDocument(document):
            self._relay.take(chunk)
