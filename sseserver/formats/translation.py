"""
The base of the formats that translate a log into the events of another protocol.

Such events depend on those before: a block is opened before its text, and the end repeats all of it. A `Translator`
has that state, and writes the events of one entry after the other. The rendering keeps copies of it at places of the
log, so that a viewer may start anywhere. Entries are never joined: the events of an entry are the same for every
viewer at any time, and so are their numbers.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from zope.interface import classImplements

from sseserver.errors import GapError, ReadingUnfinished, ViewerRefused
from sseserver.formats.places import NO_EVENTS, EventPlace, MakeTranslator, Place
from sseserver.formats.rendering import READ_ENTRIES, RESTARTED, EntryRendering, describeGap, identify
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.interfaces.reading import Reading, makeReading
from sseserver.values import Kind
from sseserver.wire import encodeRetry

#: Entries from one checkpoint to the next, at least.
CHECKPOINT = 256

#: Number. Limit of the places whose translators are kept for the viewers that stand there.
MOST_PLACES = 64

#: Number of texts that are written together. A reading exceeds its limit by no more events.
_ROW = 64

# Looked up for each entry.
_TOKEN = Kind.TOKEN.value
_CHUNK = Kind.CHUNK.value
_RESPONSE_EVENT = Kind.RESPONSE_EVENT.value
_INPUT = Kind.INPUT.value
_RESTART = Kind.RESTART.value
_KINDS = {kind.value: kind for kind in Kind}

#: Texts in a row: tokens, or chunks.
_ROWS = {kind: re.compile(b"[%b]+" % bytes((kind,))) for kind in (_TOKEN, _CHUNK)}

#: Bytes of their entries that are written together. A chunk has its text twice.
_ROW_BYTES = {_TOKEN: 2048, _CHUNK: 16384}

#: Entries. Limit of the texts that are skipped together, and so of the entries from one checkpoint to the next.
_LEAPS = {_TOKEN: 4096, _CHUNK: 512}
_LONGEST = max(_LEAPS.values())

#: Entries. As many that are skipped together take as long as a translated one.
_SKIPPED = {_TOKEN: 100, _CHUNK: 5}

_getAt, _getCount = attrgetter("at"), attrgetter("count")


class TranslatedRendering(EntryRendering):
    """
    Base class of renderings in which a translator writes the entries.

    A subclass provides `writeFailure`, and may replace `head`. The text before a restart of the run is void: its
    viewers are refused, new ones start after it, and its events keep their numbers. Memory: a copy of the translator
    for each `CHECKPOINT` entries, and for the last `MOST_PLACES` places at which viewers stood.

    Args:
        streamLog: The log.
        makeTranslator: Makes its translators.

    Attributes:
        hasIDs: Whether the last event of each entry has the ID of the entry.
        readsInput: Whether the translators write the entry `INPUT`, after a restart of the run before the next entry.
        takesTexts: Whether the translators are `TextTranslator`s.
        unread: Kinds of the entries that they do not get.
    """

    __slots__ = ("__weakref__", "_checkpoints", "_input", "_left", "_make", "_places", "_void")

    hasIDs: ClassVar[bool] = False
    readsInput: ClassVar[bool] = False
    takesTexts: ClassVar[bool] = False
    unread: ClassVar[bytes] = bytes((Kind.EVENT, Kind.RESPONSE_EVENT))

    def __init__(self, streamLog: IStreamLog, makeTranslator: MakeTranslator) -> None:
        super().__init__(streamLog)
        self._make = makeTranslator
        # Places at intervals, as far as the log was translated.
        self._checkpoints = [Place(0, 0, makeTranslator(streamLog, 0))]
        # Number of entries that a search may still translate in this turn.
        self._left = 0
        # The places up to which viewers have read, by their entries.
        self._places: dict[int, Place] = {}
        # Number of events before the last restart that has made text void, as far as known.
        self._void = 0
        self._input: bytes | None = None

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
        place = self._places.get(self._log.last) or self._seek(self._log.last)
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
        if event <= self._void:
            raise GapError("restarted", self.start(False), None)
        place = self._checkpoints[bisect_right(self._checkpoints, event, key=_getCount) - 1].fork()
        events, self._left = NO_EVENTS, READ_ENTRIES
        while place.count < event:
            if place.at == self._log.last:
                raise GapError("lost", self._buffer.first - 1, None)
            events = self._leap(place, place.at + event - place.count)
        self._keep(place)
        return EventPlace(place.at, self._write(place.at, events[len(events) - place.count + event :]))

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
            part = self._write(place.at + 1, self._step(place))
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
        kind, last = self._findRow(first, min(last, place.at + _ROW))
        if last <= first:
            return NO_EVENTS
        texts = self._readTexts(place, kind, first, self._buffer.fit(first, last, _ROW_BYTES[kind]))
        translator: Any = place.translator
        events: list[bytes] = translator.writeTexts(texts) if texts else NO_EVENTS
        if events:
            if self.hasIDs:
                events = [self._write(first + index, [event]) for index, event in enumerate(events)]
            self._move(place, place.at + len(events), len(events))
        return events

    def _findRow(self, first: int, last: int) -> tuple[int, int]:
        """
        Find the consecutive tokens, or chunks with text, from an entry up to another.

        Returns:
            The kind of the first entry, and the number of the last one of the row; 0 if there is none.
        """
        kind, start = self._buffer.kind(first), self._index(first)
        pattern = _ROWS.get(kind)
        row = None if pattern is None else pattern.match(self._buffer.kinds, start, last + 1 - self._buffer.first)
        return kind, 0 if row is None else first + row.end() - 1 - start

    def _readTexts(self, place: Place, kind: int, first: int, last: int) -> list[bytes]:
        """Return the texts of the first entries of a row, as far as they are found without reading JSON."""
        data, bounds = self._buffer.span(first, last), self._buffer.bounds(first, last)
        if kind == _TOKEN:
            return [data[start:end] for start, end in pairwise(bounds)]
        translator: Any = place.translator
        texts: list[bytes] = translator.findTexts(data, bounds)
        return texts

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
            ReadingUnfinished: See `_seek`.
        """
        place = self._places.pop(cursor, None)
        if place is not None and cursor + 1 >= self._buffer.first:
            return place
        try:
            return self._seek(cursor)
        except GapError as gap:
            message = f"{describeGap(gap).partition('.')[0]}: the answer cannot be whole."
            raise ViewerRefused(self.writeFailure(gap.reason, message)) from None

    def _keep(self, place: Place) -> None:
        """Keep a place for the viewers that stand there."""
        places = self._places
        places[place.at] = place
        if len(places) > MOST_PLACES:
            del places[next(iter(places))]

    def _seek(self, cursor: int) -> Place:
        """
        Make the place after an entry.

        Raises:
            GapError: An entry that is needed is no longer kept.
            ReadingUnfinished: It is far away. The checkpoints on the way are kept.
        """
        place = self._checkpoints[bisect_right(self._checkpoints, cursor, key=_getAt) - 1].fork()
        self._left = READ_ENTRIES
        while place.at < cursor:
            self._leap(place, cursor)
        self._index(cursor + 1)
        return place

    def _leap(self, place: Place, last: int) -> list[bytes]:
        """
        Move a place over one entry, or over several texts, up to an entry.

        Returns:
            The events of the entry; none of several texts.

        Raises:
            GapError: The entry is no longer kept.
            ReadingUnfinished: The search has taken long enough. The checkpoints on the way are kept.
        """
        if self._left <= 0:
            raise ReadingUnfinished
        first = place.at + 1
        self._index(first)
        if self.takesTexts and last > first:
            kind, end = self._findRow(first, min(last, self._log.last, place.at + _LONGEST))
            if end and self._skip(place, kind, end):
                return NO_EVENTS
        self._left -= 1
        return self._step(place)

    def _skip(self, place: Place, kind: int, last: int) -> bool:
        """Move a place over texts without writing them, as far as they are found; return whether there are any."""
        first, last = place.at + 1, min(last, place.at + _LEAPS[kind])
        if kind == _TOKEN:
            count, text = last - place.at, self._buffer.span(first, last)
        else:
            texts = self._readTexts(place, kind, first, last)
            count, text = len(texts), b"".join(texts)
        translator: Any = place.translator
        if not count or not translator.skip(text, count):
            return False
        self._left -= 1 + count // _SKIPPED[kind]
        self._move(place, place.at + count, count)
        return True

    def _step(self, place: Place) -> list[bytes]:
        """Move a place over the next entry, and return its events."""
        number = place.at + 1
        kind, events = self._buffer.kind(number), NO_EVENTS
        if kind == _RESTART:
            if place.hasBegun:
                place.translator = self._make(self._log, place.count)
                if self._input is not None:
                    place.waiting = place.translator.translate(Kind.INPUT, self._input)
                place.hasBegun = False
                self._void = max(self._void, place.count)
        elif kind == _INPUT:
            if self.readsInput:
                self._input = self._buffer.entry(number)
                events = place.translator.translate(Kind.INPUT, self._input)
        elif kind not in self.unread:
            place.hasBegun = True
            events = place.translator.translate(_KINDS[kind], self._buffer.entry(number))
            if place.waiting:
                events = place.waiting + events
                place.waiting = NO_EVENTS
        self._move(place, number, len(events))
        return events

    def _move(self, place: Place, at: int, count: int) -> None:
        """Note that a place has moved to an entry, over a number of events; it may be a new checkpoint there."""
        place.at = at
        place.count += count
        newest: Place = self._checkpoints[-1]
        if at >= newest.at + CHECKPOINT:
            self._checkpoints.append(place.fork())


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
