"""
Places in a log that is translated into the events of another protocol, and the contract of the translators.

`TranslatedLog` moves them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from sseserver.interfaces import IStreamLog
from sseserver.values import Kind

#: The events of an entry that has none. It is never changed.
NO_EVENTS: list[bytes] = []


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


class TextTranslator(Translator, Protocol):
    """
    A translator that takes in many texts together. See `TranslatedRendering.takesTexts`.

    Texts are tokens, and chunks that add nothing but their text.
    """

    def skip(self, text: bytes, count: int) -> bool:
        """
        Take in consecutive texts without writing them.

        Args:
            text: All of them, UTF-8.
            count: Number of texts.

        Returns:
            Whether it was done, because each of them has exactly one event. Otherwise nothing has changed.
        """

    def writeTexts(self, texts: list[bytes]) -> list[bytes]:
        """
        Write consecutive texts.

        Args:
            texts: UTF-8, none of them empty if it is of a chunk.

        Returns:
            One event for each of them; none if some have more, in which case nothing has changed.
        """

    def findTexts(self, data: bytes, bounds: list[int]) -> list[bytes]:
        """
        Find the texts of consecutive chunks, without reading their JSON.

        Args:
            data: See `IEntryBuffer.span`.
            bounds: See `IEntryBuffer.bounds`.

        Returns:
            The texts of the first ones, up to a chunk that must be read: it may add something else. There may be none.
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
        self.waiting = NO_EVENTS

    def fork(self) -> Place:
        """Return the same place with a translator of its own."""
        place = Place(self.at, self.count, self.translator.fork(), self.hasBegun)
        place.waiting = self.waiting
        return place
