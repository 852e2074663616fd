"""
Reading events: `Decoder`, and `wholeEvent` for the most common bytes.

`sseserver.client` reads responses with it, and the native API published event streams.
"""

from __future__ import annotations

from collections.abc import Callable

from sseserver.errors import EventTooLarge
from sseserver.wire.encoder import DEFAULT_TYPE, MAX_RECONNECTION_TIME, Event

#: Bytes. Default limit of one event in a `Decoder`.
MAX_EVENT_BYTES = 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_COLON = ord(":")
_CR, _LF = b"\r\n"


def wholeEvent(data: bytes) -> bytes | None:
    """
    Recognise bytes that are exactly one event of the simplest kind: one `data` line and an empty line, with LF.

    Most events of a slow stream arrive in this form.

    Returns:
        The event's data, not checked to be UTF-8; `None` for any other bytes.
    """
    if data[:6] == b"data: " and data.find(b"\n") == len(data) - 2 and data[-1] == _LF and _CR not in data:
        return data[6:-2]
    return None


class Decoder:
    """
    Reads an event stream as EventSource does (9.2.5, 9.2.6), in pieces of any size.

    An event is returned by the `feed` that completes its empty line, even by a CR that a LF may still follow. Bytes
    that are not UTF-8 become U+FFFD, as in the Encoding Standard. Lines after the last empty line are never
    dispatched; see `pending`. Time and memory are linear in the bytes fed and in `maxEventBytes`.

    Args:
        maxEventBytes: Limit of a block: its lines with one byte for each line end, without comments and the empty
            line. Comments are dropped as they arrive, and may have any length.
        lastEventID: Last event ID of a client that reconnects; events carry it until the stream sets another. By the
            letter of 9.2.6 each connection starts with `""`, so that the first event without an ID resets the
            client's. Browsers keep it, as here, and so demands web-platform-tests (eventsource/format-field-id-2).

    Attributes:
        onComment: Called with the text of each comment, up to `maxEventBytes` of it; `None` drops comments as they
            arrive. It is called inside `feed`, so it must not call `feed`.
        lastEventID: The last event ID string: that of the last complete block, with or without data. `""` if there is
            none or it was reset.
        reconnectionTime: Milliseconds, from the last valid `retry` line, as soon as the line ends; `None` before the
            first. Larger numbers are read as `MAX_RECONNECTION_TIME`.
    """

    __slots__ = (
        "_afterCR",
        "_blockBytes",
        "_bom",
        "_committedID",
        "_data",
        "_dead",
        "_idBuffer",
        "_line",
        "_maxEventBytes",
        "_retry",
        "_type",
        "lastEventID",
        "onComment",
        "reconnectionTime",
    )

    def __init__(self, maxEventBytes: int = MAX_EVENT_BYTES, *, lastEventID: str = "") -> None:
        self.lastEventID = lastEventID
        self.onComment: Callable[[str], object] | None = None
        self.reconnectionTime: int | None = None
        self._maxEventBytes = maxEventBytes
        self._dead = False
        # The first bytes of the stream, until they are known to be a BOM or not; then `None`.
        self._bom: bytes | None = b""
        self._afterCR = False
        # The incomplete line; of a comment, only the colon. Joining `bytes` at each feed would take quadratic time.
        self._line = bytearray()
        # The incomplete block: the three buffers of 9.2.6 (the data buffer as its lines), its `retry`, and its size.
        self._data: list[bytes] = []
        self._type = ""
        self._idBuffer = lastEventID
        self._retry: int | None = None
        self._blockBytes = 0
        # The last event ID string while a feed is interpreted; `lastEventID` changes when the feed is complete.
        self._committedID = lastEventID

    @property
    def pending(self) -> bool:
        """
        Whether an incomplete line or block is held, which 9.2.6 drops if the stream ends now.

        Complete comment lines are not held. After an event over the limit this stays true.
        """
        return self._dead or bool(self._blockBytes or self._line or self._bom)

    @property
    def takesWhole(self) -> int:
        """
        Bytes. Limit up to which the next `wholeEvent` is one event and leaves the decoder unchanged.

        It is 0 while a line or block is incomplete. Only a `feed` changes it.
        """
        between = self._bom is None and not (self._dead or self._line or self._blockBytes)
        return self._maxEventBytes + 1 if between else 0

    def feed(self, data: bytes) -> list[Event]:
        """
        Take the next bytes of the stream.

        Args:
            data: Any number of bytes.

        Returns:
            The events that these bytes complete, in order.

        Raises:
            EventTooLarge: An event exceeds the limit. Events that the same bytes complete before it are lost, so
                `lastEventID` stays as the last feed left it. Every later feed raises this again.
        """
        if self._dead:
            raise self._tooLarge()
        # (A CR at the end of the last feed stays noted. The LF that is skipped for it later is then an empty line
        # between two blocks, which has no meaning.)
        if len(data) <= self.takesWhole and (payload := wholeEvent(data)) is not None:
            return [Event(payload.decode("utf-8", "replace"), DEFAULT_TYPE, self._committedID)]
        lines = self._split(data)
        rest = lines.pop()
        events = self._interpret(self._completed(lines)) if lines else []
        if rest:
            self._holdLine(rest)
        self.lastEventID = self._committedID
        return events

    def _split(self, data: bytes) -> list[bytes]:
        """
        Split at the line ends. The last item is the incomplete line.

        Bytes can be split, and each line decoded alone: in UTF-8 a byte CR or LF is never part of another character,
        and ends a broken one.
        """
        if self._bom is not None:
            data = self._skipBOM(data)
        if not data:
            return [b""]
        # A CR ends its line at once. The LF of a CR LF that was cut in two is skipped here.
        if self._afterCR and data[0] == _LF:
            data = data[1:]
        self._afterCR = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data.split(b"\n")

    def _skipBOM(self, data: bytes) -> bytes:
        """Remove one BOM, which may arrive in pieces, from the start of the stream (9.2.6)."""
        data = (self._bom or b"") + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._bom = data
            return b""
        self._bom = None
        return data.removeprefix(_BOM)

    def _completed(self, lines: list[bytes]) -> list[bytes]:
        """Put the held start of a line before the first of these lines; return the same list."""
        if self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line = bytearray()
        return lines

    def _interpret(self, lines: list[bytes]) -> list[Event]:
        """
        Process complete lines (9.2.6, "Lines must be processed ...").

        Every line goes through this loop. It handles the common `data: ` line and the empty line in place, with local
        names, and leaves the others to `_field`.
        """
        events = []
        parts = self._data
        size = self._blockBytes
        for line in lines:
            if line[:6] == b"data: ":
                size += len(line) + 1
                parts.append(line[6:])
            elif line:
                if line[0] != _COLON:
                    size += len(line) + 1
                    self._field(line)
                elif self.onComment is not None:
                    self.onComment(line[1:].removeprefix(b" ").decode("utf-8", "replace"))
            else:
                # "Dispatch the event": the ID counts even without data; an empty data buffer dispatches nothing.
                if size > self._maxEventBytes:
                    raise self._tooLarge()
                self._committedID = self._idBuffer
                if parts:
                    # 9.2.6 appends LF to each line and strips the last one, which is the same as joining them.
                    text = (parts[0] if len(parts) == 1 else b"\n".join(parts)).decode("utf-8", "replace")
                    events.append(Event(text, self._type or DEFAULT_TYPE, self._committedID, self._retry))
                    parts.clear()
                self._type = ""
                self._retry = None
                size = 0
        if size > self._maxEventBytes:
            raise self._tooLarge()
        self._blockBytes = size
        return events

    def _field(self, line: bytes) -> None:
        """Process a field (9.2.6). Names are exact; a line without a colon has no value; unknown names are ignored."""
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"id":
            if b"\0" not in value:
                self._idBuffer = value.decode("utf-8", "replace")
        elif name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            # `bytes.isdigit` accepts only ASCII digits. Eleven of them exceed the maximum; `int` refuses 4,301.
            self._retry = min(int(value.lstrip(b"0")[:11] or b"0"), MAX_RECONNECTION_TIME)
            self.reconnectionTime = self._retry

    def _holdLine(self, rest: bytes) -> None:
        """Keep the start of a line until the line is complete."""
        self._line += rest
        if self._line[:1] == b":":
            del self._line[1 if self.onComment is None else 1 + self._maxEventBytes :]
        elif self._blockBytes + len(self._line) > self._maxEventBytes:
            raise self._tooLarge()

    def _tooLarge(self) -> EventTooLarge:
        """Drop the held lines, refuse all later feeds, and return the exception to raise."""
        self._dead = True
        self._line = bytearray()
        self._data = []
        return EventTooLarge(f"An event is larger than {self._maxEventBytes} bytes.")
