"""
Pages: the messages of a stream from a place on, as JSON, and where the reader is after them.

`streams` uses it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sseserver.delivery.document import STEP_BYTES
from sseserver.errors import ClientError, GapError, ReadingUnfinished, ViewerRefused
from sseserver.formats.durable import extractMessages, findPosition
from sseserver.formats.places import Place
from sseserver.formats.rendering import JOINED_BYTES
from sseserver.formats.translation import TranslatedRendering
from sseserver.interfaces import IFormat, IStreamLog
from sseserver.protocols.durablestreams import Offset, Position
from sseserver.timing.turns import awaitTurn
from sseserver.tracebacks import forgetTraceback
from sseserver.values import State

#: Bytes. A page ends with the entry that reaches this size: unless an entry has more than `JOINED_BYTES`, a page is
#: written at once.
PAGE_BYTES = STEP_BYTES - JOINED_BYTES


#: Places of readers that are remembered: each has the state of a translator, and the tool calls of its answer.
MOST_PLACES = 16


class OffsetGone(ClientError):
    """A reader cannot continue after its offset: what follows is no longer kept, was lost, or is void."""

    status = 410
    code = "offset_gone"


class Page(NamedTuple):
    """
    A part of a stream.

    Attributes:
        start: Number of the entry before the page.
        end: Number of its last entry.
        messages: JSON values with commas between them.
        position: The position after the page.
    """

    start: int
    end: int
    messages: bytes
    position: Position

    @property
    def body(self) -> bytes:
        """The page as a JSON array."""
        return b"[%b]" % self.messages


class PagePlaces:
    """
    The places at which readers have got a page and will ask for the next one.

    To seek a place from the start of its stream for each page would take a time that grows with the square of the
    stream's length. A place is handed out once, and the oldest one makes room for a new one.
    """

    def __init__(self) -> None:
        # By the epoch, and the number of the entry before the place: these entries never change.
        self._places: dict[tuple[str, int], Place] = {}

    def restore(self, rendering: TranslatedRendering, epoch: str, cursor: int) -> None:
        """Give the place after an entry back to a rendering of the stream with this epoch, if it is known."""
        place = self._places.pop((epoch, cursor), None)
        if place is not None:
            rendering.keepPlace(place)

    def remember(self, rendering: TranslatedRendering, epoch: str, cursor: int) -> None:
        """Take the place after an entry from a rendering."""
        place = rendering.takePlace(cursor)
        if place is not None:
            self._places[epoch, cursor] = place
            if len(self._places) > MOST_PLACES:
                del self._places[next(iter(self._places))]


class PageReader:
    """
    Reads the pages of one stream for one request.

    It keeps the rendering of the messages, so that viewers that follow before it is dropped use the same one.

    Args:
        streamLog: The stream.
        messages: The format of the messages.
        clock: The reactor, or a `task.Clock`.
        places: Remembers where readers of pages go on.

    Attributes:
        cursor: Number of the last entry read.
        page: The page that was read last, if any.
    """

    def __init__(self, streamLog: IStreamLog, messages: IFormat, clock: Any, places: PagePlaces) -> None:
        self.cursor = 0
        self.page: Page | None = None
        self._log = streamLog
        self._clock = clock
        self._places = places
        rendering: Any = messages.render(streamLog)
        self._rendering: TranslatedRendering = rendering

    def locate(self, offset: Offset | None, fromNow: bool) -> None:
        """
        Set the cursor.

        Args:
            offset: Where the client starts; `None` for the start, or for the end.
            fromNow: Whether it starts at the end.

        Raises:
            OffsetGone: It cannot continue there.
        """
        begin = self._rendering.findBegin()
        if offset is None:
            self.cursor = self._log.last if fromNow else self._rendering.start(False)
        else:
            try:
                self.cursor = self._log.locate(f"{offset.epoch}-{offset.number}")
            except GapError as gap:
                raise _makeGone(gap.reason) from None
            if self.cursor < begin:
                if self._rendering.voidsText(self.cursor + 1):
                    raise _makeGone("restarted")
                self.cursor = self._rendering.start(False)
        if self.cursor == self._log.last and self._log.state is State.OPEN and begin + 1 < self._log.buffer.first:
            # There is nothing to read yet, and what follows could not be read without the beginning.
            raise _makeGone("trimmed")

    async def readNext(self) -> Page:
        """
        Read the next page of a reader that asks for one after the other.

        Raises:
            OffsetGone: The client cannot continue at the cursor.
        """
        epoch = self._log.epoch
        if self._rendering.findBegin() + 1 >= self._log.buffer.first:
            self._places.restore(self._rendering, epoch, self.cursor)
        page = await self.read()
        if not self._log.viewers and not page.position.isClosed:
            self._places.remember(self._rendering, epoch, page.end)
        return page

    async def read(self, maxBytes: int = PAGE_BYTES) -> Page:
        """
        Read the next page, in as many turns of the reactor as it takes.

        Args:
            maxBytes: The page ends with the entry that reaches this size.

        Raises:
            OffsetGone: The client cannot continue at the cursor.
        """
        while True:
            try:
                return self._read(maxBytes)
            except ReadingUnfinished as unfinished:
                forgetTraceback(unfinished)
                await awaitTurn(self._clock)

    def wait(self, _: int) -> tuple[int, bool]:
        """
        Read on until there is a message, or the end: a `Reader` for `Viewers.wait`.

        Raises:
            OffsetGone: The client cannot continue at the cursor.
        """
        try:
            page = self._read(PAGE_BYTES)
        except ReadingUnfinished as unfinished:
            forgetTraceback(unfinished)
            return self.cursor, False
        self.cursor = page.end
        return page.end, bool(page.messages) or page.position.isClosed

    def _read(self, maxBytes: int) -> Page:
        """
        Read the next page.

        Raises:
            OffsetGone: The client cannot continue at the cursor.
            ReadingUnfinished: Read again in another turn of the reactor.
        """
        try:
            reading = self._rendering.read(self.cursor, maxBytes, False)
        except ViewerRefused:
            raise _makeGone("trimmed" if self._log.buffer.first > 1 else "restarted") from None
        end = reading.cursor
        self.page = Page(self.cursor, end, extractMessages(reading.data), findPosition(self._log, end))
        return self.page


def _makeGone(reason: str) -> OffsetGone:
    """Make the error for a place after which a reader cannot continue."""
    if reason == "restarted":
        return OffsetGone("The answer has begun anew after this offset. Read it from its start, with offset=-1.")
    if reason == "trimmed":
        return OffsetGone("Entries of this stream are no longer kept (trimmed): its messages cannot be whole.")
    return OffsetGone("This stream does not have this offset any more. Read it from its start, with offset=-1.")
