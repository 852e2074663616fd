"""
The event stream format, both ways and without I/O: L{encode} writes events,
L{Decoder} reads them as EventSource does.

The grammar (WHATWG HTML 9.2.5, "Parsing an event stream")::

    stream      = [ bom ] *event
    event       = *( comment / field ) end-of-line
    comment     = colon *any-char end-of-line
    field       = 1*name-char [ colon [ space ] *any-char ] end-of-line
    end-of-line = ( cr lf / cr / lf )

    lf          = %x000A
    cr          = %x000D
    space       = %x0020
    colon       = %x003A
    bom         = %xFEFF
    name-char   = %x0000-0009 / %x000B-000C / %x000E-0039 / %x003B-10FFFF
    any-char    = %x0000-0009 / %x000B-000C / %x000E-10FFFF

What the lines mean is 9.2.6, "Interpreting an event stream". In this module a
I{block} is the grammar's `event`, the lines up to an empty one; an I{event} is
what EventSource dispatches, and a block without data gives none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sseserver.errors import EventTooLarge, MalformedEvent

DEFAULT_TYPE = "message"
"""The type of an event whose block names none (9.2.6)."""

HEARTBEAT = b":\n"
"""
What keeps a quiet connection alive: a comment without an empty line, because
OpenAI's Python client makes an event of the empty line once it has seen an ID.
"""

MAX_EVENT_BYTES = 1024 * 1024
"""What a L{Decoder} holds of one event, in bytes, unless told otherwise."""

MAX_RECONNECTION_TIME = 2**31 - 1
"""The longest reconnection time, in milliseconds: what a browser's timer can wait (24.8 days)."""

_BOM = b"\xef\xbb\xbf"
_COLON = ord(":")
_LF = ord("\n")

# NUL makes clients ignore an ID (9.2.6); it is legal in a type, but refused there too. Lone surrogates have no UTF-8.
_UNFIT = re.compile(r"[\r\n\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True, init=False)
class Event:
    """
    One event: what is given to L{encode} and what a L{Decoder} returns.

    Attributes:
        data: The text. L{encode} accepts any line ends; decoded, they are LF.
        type: What listeners are registered for.
        id: To encode: the event's ID, or `None` to send none. Decoded: the
            last event ID string when the event was dispatched, also if an
            earlier block set it; `""` when there is none or it was reset.
        retry: The reconnection time in milliseconds that is sent with the
            event, or `None`.
    """

    data: str
    type: str
    id: str | None
    retry: int | None

    # Written out: the generated one sets each field by its name, so that decoding a small event takes a third longer.
    def __init__(self, data: str, type: str = DEFAULT_TYPE, id: str | None = None, retry: int | None = None) -> None:
        _setData(self, data)
        _setType(self, type)
        _setID(self, id)
        _setRetry(self, retry)


_setData, _setType, _setID, _setRetry = (vars(Event)[name].__set__ for name in Event.__slots__)


def encode(event: Event) -> bytes:
    """
    Write one whole block, with its empty line.

    Args:
        event: Any event whose fields are fit for the format. Line ends in its
            data (CR LF, CR, LF) become LF for the reader.

    Returns:
        UTF-8 with LF line ends: `event:` unless the type is the default one,
        `retry:`, `id:`, then the data lines.

    Raises:
        MalformedEvent: See L{checkType} and L{checkID}; or the reconnection
            time is no integer from 0 to L{MAX_RECONNECTION_TIME}; or the data
            hold a lone surrogate. Nothing is ever repaired.
    """
    block = ""
    if event.type != DEFAULT_TYPE:
        block = f"event: {checkType(event.type)}\n"
    if event.retry is not None:
        block += f"retry: {_checkRetry(event.retry)}\n"
    if event.id is not None:
        block += f"id: {checkID(event.id)}\n"
    return b"%b%b\n" % (block.encode("utf-8"), dataLines(_toUTF8(event.data)))


def encodeRetry(retry: int) -> bytes:
    """
    Write a `retry` field, which sets the reconnection time of the client as soon as its line ends.

    Args:
        retry: Milliseconds.

    Returns:
        One line, without an empty line after it.

    Raises:
        MalformedEvent: The reconnection time is not an integer from 0 to L{MAX_RECONNECTION_TIME}.
    """
    return b"retry: %d\n" % _checkRetry(retry)


def dataLines(data: bytes) -> bytes:
    """
    Write a payload as `data:` lines, without the empty line that ends a block.

    Args:
        data: UTF-8 (not checked), with any line ends.

    Returns:
        At least one line; the last one ends with its one LF.
    """
    # One space after the colon, always: 9.2.6 removes exactly one, so the leading space of a token survives.
    return b"data: %b\n" % continued(data)


def continued(data: bytes) -> bytes:
    """
    Write a payload as L{dataLines} does, without the name of the first line's
    field and without the last line's end: for who joins it to more at once.
    """
    # Lines end at CR LF, CR and LF (9.2.5), nowhere else: str.splitlines would also split at U+2028, U+0085, VT, FF ...
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.replace(b"\n", b"\ndata: ") if b"\n" in data else data


def comment(text: str = "") -> bytes:
    """
    Write a comment line, without an empty line after it (see L{HEARTBEAT}).

    Args:
        text: What follows the colon and a space; without it the colon stands
            alone.

    Returns:
        One line, UTF-8, with its LF.

    Raises:
        MalformedEvent: The text holds CR, LF or a lone surrogate.
    """
    if "\r" in text or "\n" in text:
        raise MalformedEvent("A comment must not contain CR or LF.")
    return b": %b\n" % _toUTF8(text) if text else HEARTBEAT


def checkType(type: str) -> str:
    """
    Refuse an event type that the format cannot carry.

    Returns:
        The type, unchanged.

    Raises:
        MalformedEvent: It is empty (clients would take it for the default
            type), or holds CR, LF, NUL or a lone surrogate.
    """
    return _checkValue("An event type", type)


def checkID(id: str) -> str:
    """
    Refuse an event ID that the format cannot carry.

    Returns:
        The ID, unchanged.

    Raises:
        MalformedEvent: It is empty (which would reset the client's last event
            ID), or holds CR, LF, NUL or a lone surrogate.
    """
    return _checkValue("An event ID", id)


def _checkValue(what: str, value: str) -> str:
    """Refuse what cannot stand behind `event:` or `id:`; return it unchanged."""
    if not value:
        raise MalformedEvent(f"{what} must not be empty.")
    if _UNFIT.search(value):
        raise MalformedEvent(f"{what} must not contain CR, LF, NUL or a lone surrogate.")
    return value


def _checkRetry(retry: int) -> int:
    """
    Refuse what is no reconnection time; return it unchanged.

    Python takes a `bool` for an `int`, and cannot format more than 4,300 digits.
    """
    if type(retry) is int and 0 <= retry <= MAX_RECONNECTION_TIME:
        return retry
    raise MalformedEvent(f"A reconnection time must be an integer from 0 to {MAX_RECONNECTION_TIME} milliseconds.")


def _toUTF8(text: str) -> bytes:
    """Encode text; a lone surrogate is a L{MalformedEvent}."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedEvent("A text must not contain a lone surrogate.") from None


def wholeEvent(data: bytes) -> bytes | None:
    """
    Recognise one whole event of a single `data` line, with LF as line end, the form of most events of a slow stream.

    Returns:
        Its data, not checked to be UTF-8; C{None} when it is anything else.
    """
    if data[:6] == b"data: " and data.find(b"\n") == len(data) - 2 and data[-1] == _LF and b"\r" not in data:
        return data[6:-2]
    return None


class Decoder:
    """
    Read an event stream as EventSource does (9.2.5, 9.2.6), in pieces of any
    size; where they are cut makes no difference.

    An event is returned by the L{feed} that brings the end of its empty line,
    be it a CR that might still be followed by LF. Bytes that are no UTF-8
    become U+FFFD, as the Encoding Standard has it. What stands after the last
    empty line is never dispatched: see L{pending}.

    Time and memory are linear in what is fed and in `maxEventBytes`.

    Args:
        maxEventBytes: The largest block that is accepted: its lines with one
            byte for each line end, without comments and the empty line.
            Comments are thrown away as they come and may be of any length.
        lastEventID: Where a reconnecting client goes on: events carry it until
            the stream sets another. By the letter of 9.2.6 each connection
            starts with `""`, and the first event without an ID would reset
            the client's; browsers do it as here, and web-platform-tests
            (eventsource/format-field-id-2) demands it.

    Attributes:
        lastEventID: The last event ID string: of the last block that ended,
            whether it had data or not. `""` when there is none or it was
            reset.
        reconnectionTime: Milliseconds, of the last valid `retry` line; `None`
            before one was seen. It counts from its own line's end on. Larger
            numbers, of any length, are read as L{MAX_RECONNECTION_TIME}.
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
        "reconnectionTime",
    )

    def __init__(self, maxEventBytes: int = MAX_EVENT_BYTES, *, lastEventID: str = "") -> None:
        self.lastEventID = lastEventID
        self.reconnectionTime: int | None = None
        self._maxEventBytes = maxEventBytes
        self._dead = False
        # Until the stream's first bytes are known to be a BOM or none: what came of it so far. Then None.
        self._bom: bytes | None = b""
        self._afterCR = False
        # The line under way, of a comment only its colon. A bytearray: joining bytes at each feed would be quadratic.
        self._line = bytearray()
        # The block under way: the standard's three buffers (the data buffer as its lines), its `retry`, and its bytes.
        self._data: list[bytes] = []
        self._type = ""
        self._idBuffer = lastEventID
        self._retry: int | None = None
        self._blockBytes = 0
        # The last event ID string while a feed is interpreted; published only when the feed is through.
        self._committedID = lastEventID

    @property
    def pending(self) -> bool:
        """
        Whether an unfinished line or block is held, which 9.2.6 drops when the
        stream ends here. A finished comment line is not held; a decoder that
        refused an event keeps it pending.
        """
        return self._dead or bool(self._blockBytes or self._line or self._bom)

    @property
    def takesWhole(self) -> int:
        """
        The size up to which a L{wholeEvent} that comes next is that event and
        nothing else, and leaves everything here as it is; 0 while something
        is unfinished. Only a L{feed} changes it.
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
            EventTooLarge: An event is over the limit. Events that the same
                bytes complete before it are lost, so L{lastEventID} stays as
                the last feed left it. The decoder is dead: every later feed
                raises this again.
        """
        if self._dead:
            raise self._tooLarge()
        # (A CR that ended the feed before stays noted: the LF that may be skipped for it is then an empty line between
        # two blocks, which means nothing.)
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
        Split at the line ends; the last item is the line under way.

        Splitting bytes is safe, and each line can be decoded on its own: in
        UTF-8 a CR or LF byte is never part of another character, and ends a
        broken one.
        """
        if self._bom is not None:
            data = self._skipBOM(data)
        if not data:
            return [b""]
        # A CR ends its line at once, without waiting for what follows; so the LF of a CR LF cut in two is skipped here.
        if self._afterCR and data[0] == _LF:
            data = data[1:]
        self._afterCR = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data.split(b"\n")

    def _skipBOM(self, data: bytes) -> bytes:
        """
        Take one BOM, which may come in pieces, off the stream's start (9.2.6).

        Returns:
            What follows it; `b""` while that is not decided.
        """
        data = (self._bom or b"") + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._bom = data
            return b""
        self._bom = None
        return data.removeprefix(_BOM)

    def _completed(self, lines: list[bytes]) -> list[bytes]:
        """Put what was held of the line under way before its end; return the same list."""
        if self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line = bytearray()
        return lines

    def _interpret(self, lines: list[bytes]) -> list[Event]:
        """
        Process finished lines (9.2.6, "Lines must be processed ...").

        The loop through which every line goes: the usual `data: ` line and the
        empty line are done in place, with local names, all else by L{_field}.
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
            else:
                # "Dispatch the event": the ID counts also without data; an empty data buffer dispatches nothing.
                if size > self._maxEventBytes:
                    raise self._tooLarge()
                self._committedID = self._idBuffer
                if parts:
                    # 9.2.6 appends LF to each line and strips the last; the same as joining them.
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
        """Process one field (9.2.6): names are exact, a line without colon has no value, unknown names are ignored."""
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
            # bytes.isdigit: ASCII only, and not b"". Eleven digits are over the maximum anyway; int() fails at 4,301.
            self._retry = min(int(value.lstrip(b"0")[:11] or b"0"), MAX_RECONNECTION_TIME)
            self.reconnectionTime = self._retry

    def _holdLine(self, rest: bytes) -> None:
        """Keep the beginning of a line until its end comes."""
        self._line += rest
        if self._line[:1] == b":":
            del self._line[1:]
        elif self._blockBytes + len(self._line) > self._maxEventBytes:
            raise self._tooLarge()

    def _tooLarge(self) -> EventTooLarge:
        """Die: let go of the lines held, and make the exception to raise."""
        self._dead = True
        self._line = bytearray()
        self._data = []
        return EventTooLarge(f"An event is larger than {self._maxEventBytes} bytes.")
