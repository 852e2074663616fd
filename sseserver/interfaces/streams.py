"""
Contracts of one stream: its log, and the formats in which viewers read it.

`sseserver.streams` has the log, and the author of a format writes an `IFormat` with its `IRendering`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from sseserver.errors import GapError
from sseserver.interfaces.reading import Reading
from sseserver.interfaces.sources import Origin
from sseserver.values import (
    KeyUse,
    Kind,
    PackedEntries,
    State,
)


class ByteCount(Protocol):
    """
    Counts bytes that are kept.

    Attributes:
        used: The bytes.
    """

    used: int


class Viewer(Protocol):
    """
    One viewer, as a stream log sees it.

    Attributes:
        cursor: Number of the last entry read.
    """

    cursor: int

    def wake(self) -> None:
        """Read the entries after the cursor. There may be none."""

    def dismiss(self) -> None:
        """Leave the log, and let the client return later: the store has lost entries that it may have read."""


class IEntryBuffer(Interface):
    """
    The entries of one stream that are in memory.

    All methods take numbers of entries that are kept: from `first` to `appended`. Ranges include both ends.
    """

    first: int = Attribute("Number of the oldest entry kept.")
    appended: int = Attribute("Number of the newest entry, visible or not; 0 if there was none yet.")
    kinds: bytearray = Attribute("The kinds of the entries kept, a byte each; entry `n` is at `n - first`.")
    entries: list[bytes] = Attribute("The data of all entries kept, visible or not. Made on each access.")
    size: int = Attribute("Bytes kept, the fixed cost of each entry included.")
    tokens: int = Attribute("Number of tokens that the stream ever had; a chunk with text is one.")
    trimmedCR: bool = Attribute("Whether the text before the first entry kept ends with CR.")

    def kind(number: int) -> int:
        """Return the kind of an entry."""

    def entry(number: int) -> bytes:
        """Return the data of an entry."""

    def span(first: int, last: int) -> bytes:
        """
        Return the data of a range of entries as one piece.

        Args:
            first: Number of the first entry.
            last: Number of the last entry, which is included.
        """

    def bounds(first: int, last: int) -> list[int]:
        """
        Return where the entries of a range begin and end in its `span`.

        Args:
            first: Number of the first entry.
            last: Number of the last entry, which is included.

        Returns:
            0, and the end of each entry.
        """

    def part(number: int, start: int, size: int) -> bytes:
        """
        Return a part of the text of an entry.

        Args:
            number: Number of the entry.
            start: Index of the first byte in the text; beyond its end, the part is empty.
            size: Bytes of the part, unless the text ends before.
        """

    def fit(first: int, last: int, maxBytes: int) -> int:
        """
        Find how far a range may go before its data gets large.

        Args:
            first: Number of the first entry.
            last: Number of the last entry that the range may have.
            maxBytes: Limit of the data.

        Returns:
            Number of the entry with which the data from `first` on reaches `maxBytes`; `last` if none does.
        """

    def measure(first: int, last: int) -> int:
        """
        Measure how much memory a range of entries takes.

        Args:
            first: Number of the first entry.
            last: Number of the last entry, which is included. A number before `first` is an empty range.

        Returns:
            Bytes, the fixed cost of each entry included.
        """


class IStreamLog(Interface):
    """
    The record of one stream: an ordered log of entries, numbered from 1 without holes.
    """

    name: str = Attribute("Name of the stream in URLs.")
    epoch: str = Attribute("22 characters that no other stream ever had.")
    earlier: Mapping[str, int] = Attribute(
        "Epochs that the stream had before, the oldest first, each with the number of the last entry that the stream "
        "still had when it got the next one."
    )
    state: State = Attribute("State of the stream, as far as it is visible.")
    published: bool = Attribute("Whether entries are published into the stream; otherwise a run writes it.")
    question: str = Attribute("Question that the stream answers, as its state shows it; empty if there is none.")
    origin: Origin | None = Attribute("The upstream that answers, where this process has the run; otherwise `None`.")
    buffer: IEntryBuffer = Attribute("The entries in memory.")
    answered: int = Attribute(
        "Number of tokens of a run's answer: those after its last restart, if that is kept, and otherwise all."
    )
    last: int = Attribute("Number of the last visible entry; 0 if there was none yet.")
    sealed: bool = Attribute("Whether there is a terminal entry, visible or not.")
    size: int = Attribute(
        "Bytes that the stream takes: its fixed cost, its name and its question, its entries and its idempotency keys "
        "with their costs."
    )
    keys: Mapping[str, KeyUse] = Attribute("Uses of idempotency keys whose entries are still kept, the oldest first.")
    keyBytes: int = Attribute("Bytes that its idempotency keys take of them.")
    viewers: int = Attribute("Number of viewers that follow now.")
    sole: Viewer | None = Attribute("The viewer, if exactly one follows; otherwise `None`.")
    created: float = Attribute("When the stream was made, in seconds since 1970.")
    ended: float | None = Attribute("When the terminal entry became visible, in seconds since 1970; before, `None`.")
    account: ByteCount = Attribute("Counts the bytes of the stream, and those that formats keep of it beside.")
    announced: float = Attribute("When viewers were woken last, in seconds on the ticker's clock.")
    onChange: Callable[[], None] | None = Attribute(
        "Called after a cursor or the set of viewers has changed, while a run is paused. A viewer calls it when it has "
        "moved its cursor."
    )

    def append(kind: Kind, data: bytes) -> int:
        """
        Add an entry. A terminal kind ends the stream.

        The entry becomes visible when the store has it.

        Args:
            kind: Kind of the entry.
            data: Its data, as the kind defines them.

        Returns:
            The entry's number.

        Raises:
            StreamEnded: There is a terminal entry already.
        """

    def extend(entries: PackedEntries) -> int:
        """
        Add one or more entries together. A terminal kind, which can only be the last, ends the stream.

        The entries become visible together, when the store has them. Viewers are woken once.

        Returns:
            The number of the last entry.

        Raises:
            StreamEnded: There is a terminal entry already.
        """

    def awaitStored() -> Deferred[None]:
        """
        Wait until all entries appended so far are visible.

        Raises:
            StoreUnavailable: (as the errback) The store could not take them: they are not in the log, and never
                will be.
        """

    def remember(key: str, digest: bytes, first: int) -> None:
        """
        Keep an idempotency key with the entries that were just appended.

        The key is forgotten when the last of the entries is trimmed.

        Args:
            key: The key that the client sent.
            digest: Hash of the published entries.
            first: Number of the first of the entries; the newest entry is the last.
        """

    def locate(lastEventID: str) -> int:
        """
        Find the cursor of a viewer that returns.

        Args:
            lastEventID: The last event ID that the client sent.

        Raises:
            GapError: The viewer cannot continue without a gap. IDs of an earlier epoch are continued as far as the
                stream had the same entries.
        """

    def follow(viewer: Viewer, form: IFormat) -> IRendering:
        """
        Wake a viewer from now on, whenever there is more to read.

        Args:
            viewer: The viewer. It follows until `leave`.
            form: Format in which it reads.

        Returns:
            The rendering of the log in this format, shared by all its viewers.
        """

    def leave(viewer: Viewer) -> None:
        """Stop waking a viewer. Harmless if it does not follow."""

    def findRendering(form: IFormat) -> IRendering:
        """Return the rendering that the viewers of a format share; a new one that is not shared if there are none."""

    def measureAhead() -> int:
        """
        Measure how far the log is ahead of its fastest viewer.

        Without viewers the cursor of the last one counts; without any viewer ever, the start.

        Returns:
            Bytes, the fixed cost of each entry included.
        """


class IRendering(Interface):
    """
    One stream log in one format, shared by all viewers of the log in that format.
    """

    def start(fromNow: bool) -> int:
        """
        Return the first cursor of a new viewer.

        Args:
            fromNow: Whether the viewer starts at the end of the log, instead of as far back as possible.
        """

    def head(cursor: int, retry: int, url: str) -> bytes:
        """
        Write the beginning of a response.

        Args:
            cursor: The viewer's cursor.
            retry: Reconnection time in milliseconds.
            url: URL of the stream.

        Returns:
            Whole lines, which stand before the events of the first reading.
        """

    def read(cursor: int, maxBytes: int, joined: bool) -> Reading:
        """
        Read the entries after a cursor.

        Args:
            cursor: Number of the last entry read.
            maxBytes: Stop after the entry that reaches this many bytes, or before it: a turn of the reactor has no
                time for any number of entries.
            joined: Whether the text of several entries may be joined into one event, because the viewer is behind.

        Returns:
            The new cursor and the encoded events. The cursor stays the same if there is nothing more.

        Raises:
            GapError: Entries after the cursor are no longer kept.
            ReadingUnfinished: There is more to read before anything can be written. Read again in another turn.
            ViewerRefused: The format cannot serve the rest of the stream to this viewer. The viewer leaves the log.
        """

    def retire(retry: int) -> bytes:
        """
        Write the last events of a response that ends before the stream does.

        Args:
            retry: Milliseconds after which the viewer should return.
        """

    def gap(asked: str, gap: GapError) -> bytes:
        """
        Write the events that tell a viewer of a gap.

        Args:
            asked: The last event ID that could not be continued.
            gap: Says why, and where the viewer continues.
        """

    def renew() -> None:
        """Write the IDs of all entries with the epoch that the log has now."""

    def complete(cursor: int) -> bool:
        """
        Tell whether a viewer has everything: no entry will follow.

        Args:
            cursor: The viewer's cursor.
        """


class IFormat(Interface):
    """
    A format: how entries are written for a viewer. It is stateless; a rendering keeps the state of one log.

    `sseserver.testing.FormatContract` tests an implementation. `sseserver.formats.EntryRendering` is a base class for
    renderings.
    """

    name: str = Attribute("Value of the query parameter `format` that selects the format.")
    headers: Sequence[tuple[bytes, bytes]] = Attribute(
        "Headers of its responses, in addition to those of every event stream."
    )
    reconnects: bool = Attribute(
        "Whether its viewers are EventSources. An EventSource closes for good after any status but 200, so one that "
        "cannot be served now gets 200 and a reconnection time; other viewers get an error status."
    )

    def render(streamLog: IStreamLog) -> IRendering:
        """Make a rendering of a log, which has read nothing yet. The log shares it among its viewers."""


class IBeatingFormat(IFormat):
    """A format with heartbeats of its own. Those of other formats are comments."""

    heartbeat: bytes = Attribute("Written to a viewer after some time without a write; it is no entry.")
