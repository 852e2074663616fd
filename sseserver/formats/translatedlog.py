"""
A log as it is translated into the events of another protocol: the translation reaches any place in it.

`TranslatedRendering` reads and counts the events with a `TranslatedLog`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import pairwise
from operator import attrgetter
from typing import Any

from sseserver.errors import GapError, ReadingUnfinished
from sseserver.formats.places import NO_EVENTS, MakeTranslator, Place
from sseserver.formats.rendering import READ_ENTRIES
from sseserver.interfaces import IStreamLog
from sseserver.values import Kind

#: Entries from one checkpoint to the next, at least.
CHECKPOINT = 256

# Looked up for each entry.
_TOKEN = Kind.TOKEN.value
_CHUNK = Kind.CHUNK.value
_INPUT = Kind.INPUT.value
_RESTART = Kind.RESTART.value
_KINDS = {kind.value: kind for kind in Kind}

#: Texts in a row: tokens, or chunks.
_ROWS = {kind: re.compile(b"[%b]+" % bytes((kind,))) for kind in (_TOKEN, _CHUNK)}

#: Entries. Limit of the texts that are skipped together, and so of the entries from one checkpoint to the next.
_LEAPS = {_TOKEN: 4096, _CHUNK: 512}
_LONGEST = max(_LEAPS.values())

#: Entries. As many that are skipped together take as long as a translated one.
_SKIPPED = {_TOKEN: 100, _CHUNK: 8}

_getAt, _getCount = attrgetter("at"), attrgetter("count")


class TranslatedLog:
    """
    Moves places over the entries of one log, and finds the place after any entry or event.

    Memory: a copy of the translator for each `CHECKPOINT` entries.

    Args:
        streamLog: The log.
        makeTranslator: Makes its translators.
        readsInput: See `TranslatedRendering`.
        takesTexts: See `TranslatedRendering`.
        unread: See `TranslatedRendering`.

    Attributes:
        void: Number of events before the last restart that has made text void, as far as known.
    """

    __slots__ = (
        "_buffer",
        "_checkpoints",
        "_input",
        "_left",
        "_log",
        "_make",
        "_readsInput",
        "_takesTexts",
        "_unread",
        "void",
    )

    def __init__(
        self,
        streamLog: IStreamLog,
        makeTranslator: MakeTranslator,
        *,
        readsInput: bool,
        takesTexts: bool,
        unread: bytes,
    ) -> None:
        self.void = 0
        self._log = streamLog
        self._buffer = streamLog.buffer
        self._make = makeTranslator
        self._readsInput = readsInput
        self._takesTexts = takesTexts
        self._unread = unread
        # Places at intervals, as far as the log was translated.
        self._checkpoints = [Place(0, 0, makeTranslator(streamLog, 0))]
        # Number of entries that a search may still translate in this turn.
        self._left = 0
        self._input: bytes | None = None

    def find(self, cursor: int) -> Place:
        """
        Make the place after an entry.

        Args:
            cursor: Number of the entry.

        Raises:
            GapError: An entry that is needed is no longer kept.
            ReadingUnfinished: It is far away. The checkpoints on the way are kept.
        """
        place = self._checkpoints[bisect_right(self._checkpoints, cursor, key=_getAt) - 1].fork()
        self._left = READ_ENTRIES
        while place.at < cursor:
            self._leap(place, cursor)
        self._require(cursor + 1)
        return place

    def findEvent(self, event: int) -> tuple[Place, list[bytes]]:
        """
        Make the place after the entry that has an event.

        Args:
            event: Number of the event, from 1.

        Returns:
            The place, and the events of the entry after that one.

        Raises:
            GapError: `trimmed`: an entry that is needed is no longer kept. `lost`: there are fewer events.
            ReadingUnfinished: See `find`.
        """
        place = self._checkpoints[bisect_right(self._checkpoints, event, key=_getCount) - 1].fork()
        events, self._left = NO_EVENTS, READ_ENTRIES
        while place.count < event:
            if place.at == self._log.last:
                raise GapError("lost", self._buffer.first - 1, None)
            events = self._leap(place, place.at + event - place.count)
        return place, events[len(events) - place.count + event :]

    def step(self, place: Place) -> list[bytes]:
        """Move a place over the next entry, and return its events."""
        number = place.at + 1
        kind, events = self._buffer.kind(number), NO_EVENTS
        if kind == _RESTART:
            if place.hasBegun:
                place.translator = self._make(self._log, place.count)
                if self._input is not None:
                    place.waiting = place.translator.translate(Kind.INPUT, self._input)
                place.hasBegun = False
                self.void = max(self.void, place.count)
        elif kind == _INPUT:
            if self._readsInput:
                self._input = self._buffer.entry(number)
                events = place.translator.translate(Kind.INPUT, self._input)
        elif kind not in self._unread:
            place.hasBegun = True
            events = place.translator.translate(_KINDS[kind], self._buffer.entry(number))
            if place.waiting:
                events = place.waiting + events
                place.waiting = NO_EVENTS
        self.move(place, number, len(events))
        return events

    def move(self, place: Place, at: int, count: int) -> None:
        """Note that a place has moved to an entry, over a number of events; it may be a new checkpoint there."""
        place.at = at
        place.count += count
        newest: Place = self._checkpoints[-1]
        if at >= newest.at + CHECKPOINT:
            self._checkpoints.append(place.fork())

    def findRow(self, first: int, last: int) -> tuple[int, int]:
        """
        Find the consecutive tokens, or chunks with text, from an entry up to another.

        Returns:
            The kind of the first entry, and the number of the last one of the row; 0 if there is none.
        """
        kind, start = self._buffer.kind(first), first - self._buffer.first
        pattern = _ROWS.get(kind)
        row = None if pattern is None else pattern.match(self._buffer.kinds, start, last + 1 - self._buffer.first)
        return kind, 0 if row is None else first + row.end() - 1 - start

    def readTexts(self, place: Place, kind: int, first: int, last: int) -> list[bytes]:
        """Return the texts of the first entries of a row, as far as they are found without reading JSON."""
        data, bounds = self._buffer.span(first, last), self._buffer.bounds(first, last)
        if kind == _TOKEN:
            return [data[start:end] for start, end in pairwise(bounds)]
        translator: Any = place.translator
        texts: list[bytes] = translator.findTexts(data, bounds)
        return texts

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
        self._require(first)
        if self._takesTexts and last > first:
            kind, end = self.findRow(first, min(last, self._log.last, place.at + _LONGEST))
            if end and self._skip(place, kind, end):
                return NO_EVENTS
        self._left -= 1
        return self.step(place)

    def _skip(self, place: Place, kind: int, last: int) -> bool:
        """Move a place over texts without writing them, as far as they are found; return whether there are any."""
        first, last = place.at + 1, min(last, place.at + _LEAPS[kind])
        if kind == _TOKEN:
            count, text = last - place.at, self._buffer.span(first, last)
        else:
            texts = self.readTexts(place, kind, first, last)
            count, text = len(texts), b"".join(texts)
        translator: Any = place.translator
        if not count or not translator.skip(text, count):
            return False
        self._left -= 1 + count // _SKIPPED[kind]
        self.move(place, place.at + count, count)
        return True

    def _require(self, number: int) -> None:
        """Refuse to go on if an entry is no longer kept."""
        missed = self._buffer.first - number
        if missed > 0:
            raise GapError("trimmed", self._buffer.first - 1, missed)
