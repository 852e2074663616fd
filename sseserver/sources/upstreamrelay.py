"""
Relay of an upstream's chunks: the data of its events on their way into a sink, and the errors that it sends among them.

`UpstreamAnswer` makes one `ChunkRelay` for each answer, and asks it whether the answer is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink
from sseserver.protocols.chatcompletions import ChunkEnd, ChunkReader, ErrorChunk
from sseserver.sources.upstreamerrors import makeStreamError
from sseserver.sources.upstreamsilence import SilenceTimer
from sseserver.values import Reason
from sseserver.wire import Decoder, Event

#: Seconds that an upstream has after the finish reason to send the usage and `[DONE]`.
GRACE_SECONDS = 3.0


class ChunkRelay:
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
        self._sink = sink
        self._silence = silence
        self._seconds = silence.seconds
        self._tokenTimeout = tokenTimeout
        self._choices = choices
        self._secrets = secrets
        # `None` after `stop`.
        self._onDone: Callable[[], object] | None = onDone
        self._reader = ChunkReader()
        self._hasChunk = False
        # Numbers of the choices that have a finish reason.
        self._ended: frozenset[int] = frozenset()
        self.finishReason: str | None = None

    def take(self, data: bytes) -> None:
        """
        Take the data of an event: a chunk, an error or `[DONE]`.

        Args:
            data: UTF-8.

        Raises:
            SourceError: The upstream reports an error or sent something else. This ends the reading of the response.
        """
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

        An EventSource discards it (WHATWG HTML 9.2.6), because the event may be cut. A chunk that is cut is no JSON.

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

    def stop(self) -> None:
        """Take nothing more, and forget the callback."""
        self._onDone = None

    def isComplete(self) -> bool:
        """Return whether all choices have ended. Only the usage and `[DONE]` can follow."""
        return len(self._ended) >= self._choices

    def _takeEnd(self, end: ChunkEnd) -> None:
        """Note the end of choices. The last one shortens the limit for silence."""
        self.finishReason = end.reason or self.finishReason
        self._ended |= end.choices
        if self.isComplete():
            self._silence.setLimit(min(self._tokenTimeout, GRACE_SECONDS))
