"""
The base of the formats that translate a log into the events of another protocol.

Such events depend on those before: a block is opened before its text, and the end repeats all of it. A `Translator`
has that state, and writes the events of one entry after the other. The rendering keeps copies of it at places of the
log, so that a viewer may start anywhere. Entries are never joined: the events of an entry are the same for every
viewer at any time, and so are their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from zope.interface import classImplements

from sseserver.errors import GapError, ViewerRefused
from sseserver.formats.places import NO_EVENTS, EventPlace, MakeTranslator, Place
from sseserver.formats.rendering import READ_ENTRIES, RESTARTED, EntryRendering, describeGap, identify
from sseserver.formats.translatedlog import TranslatedLog
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.interfaces.reading import Reading, makeReading
from sseserver.values import Kind
from sseserver.wire import encodeRetry

#: Number. Limit of the places whose translators are kept for the viewers that stand there.
MOST_PLACES = 64

#: Number of texts that are written together. A reading exceeds its limit by no more events.
_ROW = 64

# Looked up for each entry.
_TOKEN = Kind.TOKEN.value
_CHUNK = Kind.CHUNK.value
_RESPONSE_EVENT = Kind.RESPONSE_EVENT.value
_RESTART = Kind.RESTART.value

#: Bytes of the entries with texts that are written together. A chunk has its text twice.
_ROW_BYTES = {_TOKEN: 2048, _CHUNK: 16384}


class TranslatedRendering(EntryRendering):
    """
    Base class of renderings in which a translator writes the entries.

    A subclass provides `writeFailure`, and may replace `head`. The text before a restart of the run is void: its
    viewers are refused, new ones start after it, and its events keep their numbers. Memory: a `TranslatedLog`, and a
    copy of the translator for the last `MOST_PLACES` places at which viewers stood.

    Args:
        streamLog: The log.
        makeTranslator: Makes its translators.

    Attributes:
        hasIDs: Whether the last event of each entry has the ID of the entry.
        readsInput: Whether the translators write the entry `INPUT`, after a restart of the run before the next entry.
        takesTexts: Whether the translators are `TextTranslator`s.
        unread: Kinds of the entries that they do not get.
    """

    __slots__ = ("__weakref__", "_place", "_places", "_translated")

    hasIDs: ClassVar[bool] = False
    readsInput: ClassVar[bool] = False
    takesTexts: ClassVar[bool] = False
    unread: ClassVar[bytes] = bytes((Kind.EVENT, Kind.RESPONSE_EVENT))

    def __init__(self, streamLog: IStreamLog, makeTranslator: MakeTranslator) -> None:
        super().__init__(streamLog)
        self._translated = TranslatedLog(
            streamLog,
            makeTranslator,
            readsInput=self.readsInput,
            takesTexts=self.takesTexts,
            unread=self.unread,
        )
        # The places up to which viewers have read: the newest one, and the others by their entries. The viewer of a
        # stream of its own needs no dictionary, which would be one more thing to touch for each token.
        self._place: Place | None = None
        self._places: dict[int, Place] = {}

    def writeFailure(self, reason: str, message: str) -> bytes:
        """
        Write the last events of a response that cannot go on.

        Args:
            reason: A word: `trimmed`, `lost`, `unknown`, `restarted` or `retired`.
            message: A sentence.
        """
        raise NotImplementedError("A subclass of TranslatedRendering must implement writeFailure().")

    def start(self, fromNow: bool) -> int:
        """See `IRendering.start`. Nobody starts at the end: an answer without its beginning cannot be read."""
        begin = self.findBegin()
        return begin if begin and self.voidsText(begin) else 0

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        """See `IRendering.head`: a field of the first event."""
        return encodeRetry(retry)

    def retire(self, retry: int) -> bytes:
        """See `IRendering.retire`."""
        return self.writeFailure("retired", "The server ends this response early. Resume the stream later.")

    def gap(self, asked: str, gap: GapError) -> bytes:
        """See `IRendering.gap`."""
        return self.writeFailure(gap.reason, describeGap(gap))

    def countEvents(self) -> int:
        """
        Return the number of events of all visible entries, void ones included.

        Raises:
            GapError: They cannot be counted, since entries are no longer kept.
            ReadingUnfinished: Ask again in another turn.
        """
        place = self._take(self._log.last) or self._translated.find(self._log.last)
        self._keep(place)
        return place.count

    def findEvent(self, event: int) -> EventPlace:
        """
        Find the place after a number of events.

        Args:
            event: The number; 0 is the start of the answer.

        Raises:
            GapError: `trimmed`: entries that are needed are no longer kept. `lost`: there are fewer events.
                `restarted`: the run has begun anew after them.
            ReadingUnfinished: Ask again in another turn.
        """
        if self.findBegin():
            # The last restart is beyond the translated entries.
            self.countEvents()
        if not event:
            begin = self.start(False)
            self._index(begin + 1)
            return EventPlace(begin, b"")
        if event <= self._translated.void:
            raise GapError("restarted", self.start(False), None)
        place, events = self._translated.findEvent(event)
        self._keep(place)
        return EventPlace(place.at, self._write(place.at, events))

    def hasEvent(self, event: int) -> bool:
        """
        Return whether `findEvent` is sure to find a place, as far as that can be told without translating.

        Args:
            event: See `findEvent`.
        """
        if self._buffer.first > 1 or self.findBegin():
            return False
        # Each event of an upstream that passes is one; otherwise each text has one, at least.
        return event <= (self._buffer.kinds.count(_RESPONSE_EVENT) or self._buffer.tokens)

    def _encode(self, number: int) -> bytes:
        """See `EntryRendering._encode`."""
        return self._translate(number - 1, 1).data

    def _list(self, cursor: int, maxBytes: int) -> Reading:
        """See `EntryRendering._list`."""
        return self._translate(cursor, maxBytes)

    def _join(self, cursor: int, maxBytes: int) -> Reading:
        """See `EntryRendering._join`. Nothing is joined."""
        return self._translate(cursor, maxBytes)

    def _translate(self, cursor: int, maxBytes: int) -> Reading:
        """Read the entries after a cursor."""
        place = self._find(cursor)
        parts: list[bytes] = []
        size, last = 0, min(self._log.last, cursor + READ_ENTRIES)
        while place.at < last and size < maxBytes:
            if place.hasBegun and self._buffer.kind(place.at + 1) == _RESTART:
                if parts:
                    break
                self._keep(place)
                raise ViewerRefused(self.writeFailure("restarted", RESTARTED))
            if self.takesTexts and last - place.at > 1:
                row = self._writeRow(place, last)
                if row:
                    parts += row
                    size += sum(map(len, row))
                    continue
            # Not as an argument beside `step`: compiled, it would be read after the place has moved.
            number = place.at + 1
            part = self._write(number, self._translated.step(place))
            parts.append(part)
            size += len(part)
        self._keep(place)
        return makeReading(place.at, parts[0] if len(parts) == 1 else b"".join(parts))

    def _writeRow(self, place: Place, last: int) -> list[bytes]:
        """
        Move a place over texts up to an entry.

        Returns:
            What each of them is written as; empty if the next entry must be translated by itself.
        """
        first = place.at + 1
        kind, last = self._translated.findRow(first, min(last, place.at + _ROW))
        if last <= first:
            return NO_EVENTS
        last = self._buffer.fit(first, last, _ROW_BYTES[kind])
        texts = self._translated.readTexts(place, kind, first, last)
        translator: Any = place.translator
        events: list[bytes] = translator.writeTexts(texts) if texts else NO_EVENTS
        if events:
            if self.hasIDs:
                events = [self._write(first + index, [event]) for index, event in enumerate(events)]
            self._translated.move(place, place.at + len(events), len(events))
        return events

    def _write(self, number: int, events: list[bytes]) -> bytes:
        """Write the events of an entry together."""
        if self.hasIDs and events:
            events = [*events[:-1], identify(events[-1], b"%b-%d" % (self._epoch, number))]
        return events[0] if len(events) == 1 else b"".join(events)

    def _find(self, cursor: int) -> Place:
        """
        Take the place of a viewer out of those that are kept.

        Raises:
            ViewerRefused: Entries after the cursor are no longer kept.
            ReadingUnfinished: See `TranslatedLog.find`.
        """
        place = self._take(cursor)
        if place is not None and cursor + 1 >= self._buffer.first:
            return place
        try:
            return self._translated.find(cursor)
        except GapError as gap:
            message = f"{describeGap(gap).partition('.')[0]}: the answer cannot be whole."
            raise ViewerRefused(self.writeFailure(gap.reason, message)) from None

    def takePlace(self, cursor: int) -> Place | None:
        """Return the place after an entry if a reader stands there, and keep it no longer."""
        return self._take(cursor)

    def keepPlace(self, place: Place) -> None:
        """
        Keep a place for the reader that goes on there.

        Args:
            place: A place in the same entries, of this rendering or of an earlier one. Nobody else moves it.
        """
        self._keep(place)

    def _take(self, cursor: int) -> Place | None:
        """Return the place after an entry if it is kept, and keep it no longer."""
        place = self._place
        if place is None or place.at != cursor:
            return self._places.pop(cursor, None)
        self._place = None
        return place

    def _keep(self, place: Place) -> None:
        """Keep a place for the viewers that stand there."""
        before, self._place = self._place, place
        if before is not None:
            places = self._places
            places[before.at] = before
            if len(places) >= MOST_PLACES:
                del places[next(iter(places))]


classImplements(TranslatedRendering, IRendering)


class TranslatedFormat:
    """Base class of formats with a `TranslatedRendering`, which is found again while somebody uses it."""

    name = ""
    headers: Sequence[tuple[bytes, bytes]] = ()
    reconnects = False

    def __init__(self) -> None:
        # By the identities of their logs.
        self._renderings: WeakValueDictionary[int, TranslatedRendering] = WeakValueDictionary()

    def makeRendering(self, streamLog: IStreamLog) -> TranslatedRendering:
        """Make a rendering of a log."""
        raise NotImplementedError("A subclass of TranslatedFormat must implement makeRendering().")

    def render(self, streamLog: IStreamLog) -> Any:
        """See `IFormat.render`."""
        rendering = self._renderings.get(id(streamLog))
        if rendering is None:
            rendering = self._renderings[id(streamLog)] = self.makeRendering(streamLog)
        return rendering


classImplements(TranslatedFormat, IFormat)
