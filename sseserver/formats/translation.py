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
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple, Protocol
from weakref import WeakValueDictionary

from zope.interface import classImplements

from sseserver.errors import GapError, ReadingUnfinished, ViewerRefused
from sseserver.formats.rendering import READ_ENTRIES, RESTARTED, EntryRendering, describeGap, identify
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.interfaces.reading import Reading, makeReading
from sseserver.values import Kind
from sseserver.wire import encodeRetry

#: Entries from one checkpoint to the next.
CHECKPOINT = 256

#: Number. Limit of the places whose translators are kept for the viewers that stand there.
MOST_PLACES = 64

#: Entries. As many that are skipped together take as long as a translated one.
_SKIPPED = 100

# Looked up for each entry.
_TOKEN = Kind.TOKEN.value
_INPUT = Kind.INPUT.value
_RESTART = Kind.RESTART.value
_KINDS = {kind.value: kind for kind in Kind}
_TOKENS = re.compile(b"[%b]+" % bytes((_TOKEN,)))

#: The events of an entry that has none. It is never changed.
_NONE: list[bytes] = []


class Translator(Protocol):
    """Writes the entries of one log, in their order, as events of a protocol. Its state depends on nothing else."""

    def translate(self, kind: Kind, data: bytes) -> list[bytes]:
        """
        Write the next entry.

        Args:
            kind: Its kind; never a restart. See `TranslatedRendering.readsInput` and `unread`.
            data: Its data.

        Returns:
            Whole events, none or several.
        """

    def fork(self) -> Translator:
        """Return a translator in the same state, which goes on for itself."""


class TextSkipper(Translator, Protocol):
    """A translator that can take in many tokens without writing them. See `TranslatedRendering.skips`."""

    def skip(self, text: bytes, count: int) -> bool:
        """
        Take in a number of consecutive tokens, whose text is given together.

        Args:
            text: Their text, UTF-8.
            count: Number of tokens.

        Returns:
            Whether it was done, because each of them has exactly one event. Otherwise nothing has changed.
        """


#: Makes the translator of a log, and gets the number of events before its first one: 0, or more after a restart of the
#: run that has made text void.
MakeTranslator = Callable[[IStreamLog, int], Translator]


class EventPlace(NamedTuple):
    """
    The place in a log after a number of events.

    Attributes:
        cursor: Number of the entry that has the last of these events.
        events: The other events of that entry, which come next.
    """

    cursor: int
    events: bytes


class Place:
    """
    A place in a log, with a translator that has written everything before it.

    Args:
        at: Number of the entry before the place.
        count: Number of events before it.
        translator: The translator.

    Attributes:
        hasBegun: Whether the translator has written an entry other than that of the request.
        waiting: Events that stand before those of the next entry. They are not counted yet.
    """

    __slots__ = ("at", "count", "hasBegun", "translator", "waiting")

    def __init__(self, at: int, count: int, translator: Translator, hasBegun: bool = False) -> None:
        self.at = at
        self.count = count
        self.translator = translator
        self.hasBegun = hasBegun
        self.waiting = _NONE

    def fork(self) -> Place:
        """Return the same place with a translator of its own."""
        place = Place(self.at, self.count, self.translator.fork(), self.hasBegun)
        place.waiting = self.waiting
        return place


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
        skips: Whether the translators are `TextSkipper`s.
        unread: Kinds of the entries that they do not get.
    """

    __slots__ = ("__weakref__", "_checkpoints", "_input", "_make", "_places", "_void")

    hasIDs: ClassVar[bool] = False
    readsInput: ClassVar[bool] = False
    skips: ClassVar[bool] = False
    unread: ClassVar[bytes] = bytes((Kind.EVENT, Kind.RESPONSE_EVENT))

    def __init__(self, streamLog: IStreamLog, makeTranslator: MakeTranslator) -> None:
        super().__init__(streamLog)
        self._make = makeTranslator
        # The places after every `CHECKPOINT` entries, as far as the log was translated.
        self._checkpoints = [Place(0, 0, makeTranslator(streamLog, 0))]
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
        place = self._checkpoints[bisect_right(self._checkpoints, event, key=attrgetter("count")) - 1].fork()
        events, left = _NONE, READ_ENTRIES
        while place.count < event:
            if place.at == self._log.last:
                raise GapError("lost", self._buffer.first - 1, None)
            if left <= 0:
                raise ReadingUnfinished
            before = place.at
            events = self._leap(place, place.at + event - place.count)
            left -= 1 + (place.at - before) // _SKIPPED
        self._keep(place)
        return EventPlace(place.at, self._write(place.at, events[len(events) - place.count + event :]))

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
            events = self._step(place)
            part = self._write(place.at, events)
            parts.append(part)
            size += len(part)
        self._keep(place)
        return makeReading(place.at, parts[0] if len(parts) == 1 else b"".join(parts))

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
        place = self._checkpoints[min(cursor // CHECKPOINT, len(self._checkpoints) - 1)].fork()
        left = READ_ENTRIES
        while place.at < cursor:
            if left <= 0:
                raise ReadingUnfinished
            before = place.at
            self._leap(place, cursor)
            left -= 1 + (place.at - before) // _SKIPPED
        self._index(cursor + 1)
        return place

    def _leap(self, place: Place, last: int) -> list[bytes]:
        """
        Move a place over one entry, or over several tokens, up to an entry or a checkpoint.

        Returns:
            The events of the entry; none of several tokens.

        Raises:
            GapError: The entry is no longer kept.
        """
        start = self._index(place.at + 1)
        if self.skips and last > place.at + 1:
            first = place.at + 1
            last = min(last, self._log.last, first + CHECKPOINT - 1 - place.at % CHECKPOINT)
            row = _TOKENS.match(self._buffer.kinds, start, last + 1 - self._buffer.first)
            count = row.end() - start if row else 0
            translator: Any = place.translator
            if count and translator.skip(self._buffer.span(first, place.at + count), count):
                self._move(place, place.at + count, count)
                return _NONE
        return self._step(place)

    def _step(self, place: Place) -> list[bytes]:
        """Move a place over the next entry, and return its events."""
        number = place.at + 1
        kind, events = self._buffer.kind(number), _NONE
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
                place.waiting = _NONE
        self._move(place, number, len(events))
        return events

    def _move(self, place: Place, at: int, count: int) -> None:
        """Note that a place has moved to an entry, over a number of events; it may be a new checkpoint there."""
        place.at = at
        place.count += count
        if not at % CHECKPOINT and at == CHECKPOINT * len(self._checkpoints):
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
