"""
Contracts for token sources, formats and stores.

An embedder who writes one of these needs this module and the values in `values`. `sseserver.testing`
has the contract tests that an implementation must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from sseserver.errors import GapError
from sseserver.reading import Reading
from sseserver.values import (
    Change,
    EndedStream,
    KeyUse,
    Kind,
    NewEntry,
    Prompt,
    State,
    StoredEntries,
    StoredStream,
)


class ITokenSource(Interface):
    """
    Produces tokens into a sink. One source serves many runs at once.

    A source that offers several models also provides `IModels`.
    """

    takesPrompt: bool = Attribute("Whether a run of this source needs a `Prompt`.")
    model: str = Attribute("Name of the source as a model, in chat completions.")

    def produce(sink: ITokenSink, prompt: Prompt | None) -> Deferred[Any] | Coroutine[Any, Any, Any] | None:
        """
        Produce one answer.

        Args:
            sink: Takes the tokens.
            prompt: The request; `None` for a source that takes no prompt.

        Returns:
            A Deferred or coroutine that ends when the last token is written, or `None` if all tokens are
            written. The stream then ends `done`. If the result is a `str`, such as `length`, it is the
            reason, otherwise the reason is `stop`.

            The Deferred is cancelled when the run is stopped. The source then stops its work and
            releases its resources; the Deferred may fire after that.

        Raises:
            SourceError: (also as the errback) The stream ends `failed` with this reason and message. Any
                other exception ends it `failed`, too, with a message that tells viewers no details.
        """


class IModels(Interface):
    """
    Lists the models of a token source that passes requests on.

    The chat APIs accept every model name for such a source, and requests without a user's text.
    """

    def models() -> Deferred[list[str]]:
        """
        Return the names of the models.

        Raises:
            SourceError: (errback) The models are unknown at present.
        """


class ITokenSink(Interface):
    """
    Takes the tokens of one run. Similar to `IConsumer`, but for `str`.

    All methods are called in the reactor thread.
    """

    def write(token: str) -> None:
        """
        Append a token to the stream.

        It never blocks, and never loses a token of an open stream: a source that can be paused registers
        a producer, or awaits `ready`. Tokens written after the end of the run are dropped.

        Args:
            token: A piece of text; an empty one is ignored.

        Raises:
            UnicodeEncodeError: The token contains a lone surrogate.
        """

    def writeChunk(chunk: bytes, text: str) -> None:
        """
        Append a chunk of a chat completion as an upstream sent it.

        Viewers in the format `openai` get the chunk, viewers in other formats its text.

        Args:
            chunk: A JSON object in UTF-8. White space around it and line ends inside it are not kept.
            text: The text of the chunk; may be empty.

        Raises:
            UnicodeEncodeError: The text contains a lone surrogate.
        """

    def ready() -> Deferred[None]:
        """
        Wait until the run is not paused.

        Returns:
            A Deferred that fires at once unless the run is paused, otherwise when the run resumes or
            ends.
        """

    def registerProducer(producer: Any, streaming: bool) -> None:
        """
        Register a producer, which is paused and resumed with the run.

        Args:
            producer: An `IPushProducer`. Its `stopProducing` is called when the run is stopped.
            streaming: Must be true: pull producers are refused.

        Raises:
            ValueError: `streaming` is false.
            RuntimeError: Another producer is registered.
        """

    def unregisterProducer() -> None:
        """Forget the producer. None of its methods is called after that."""


class Viewer(Protocol):
    """
    One viewer, as a stream log sees it.

    Attributes:
        cursor: Number of the last entry read.
    """

    cursor: int

    def wake(self) -> None:
        """Read the entries after the cursor. There may be none."""


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
        """Return the data of a range of entries as one piece."""

    def text(first: int, last: int) -> bytes:
        """Return the text of a range of entries as one piece: of tokens, and of chunks."""

    def fit(first: int, last: int, maxBytes: int) -> int:
        """
        Find how far a range may go before its data gets large.

        Returns:
            Number of the entry with which the data from `first` on reaches `maxBytes`; `last` if none does.
        """

    def measure(first: int, last: int) -> int:
        """Return the bytes of a range of entries, the fixed cost of each included; 0 for an empty range."""


class IStreamLog(Interface):
    """
    The record of one stream: an ordered log of entries, numbered from 1 without holes.
    """

    name: str = Attribute("Name of the stream in URLs.")
    epoch: str = Attribute("22 characters that no other stream ever had.")
    state: State = Attribute("Where in its life the stream is, as far as it is visible.")
    published: bool = Attribute("Whether entries are published into the stream; otherwise a run writes it.")
    buffer: IEntryBuffer = Attribute("The entries in memory.")
    last: int = Attribute("Number of the last visible entry; 0 if there was none yet.")
    sealed: bool = Attribute("Whether there is a terminal entry, visible or not.")
    viewers: int = Attribute("Number of viewers that follow now.")
    sole: Viewer | None = Attribute("The viewer, if exactly one follows; otherwise `None`.")
    created: float = Attribute("When the stream was made, in seconds since 1970.")
    ended: float | None = Attribute("When the terminal entry became visible, in seconds since 1970; before, `None`.")
    announced: float = Attribute("When viewers were woken last, in seconds on the ticker's clock.")
    onRead: Callable[[], None] | None = Attribute("Called after a viewer has read, while a run is paused.")

    def append(kind: Kind, data: bytes) -> int:
        """
        Add an entry. A terminal kind ends the stream.

        The entry becomes visible when the store has it.

        Returns:
            The entry's number.

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

    def recall(key: str) -> KeyUse | None:
        """Return how an idempotency key was used, or `None` if it is not known."""

    def locate(lastEventID: str) -> int:
        """
        Find the cursor of a viewer that returns.

        Args:
            lastEventID: The last event ID that the client sent.

        Raises:
            GapError: The viewer cannot continue without a gap.
        """

    def follow(viewer: Viewer, form: IFormat) -> IRendering:
        """
        Wake a viewer from now on, whenever there is more to read.

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
            maxBytes: Stop after the entry that reaches this many bytes.
            joined: Whether the text of several entries may be joined into one event, because the viewer is behind.

        Returns:
            The new cursor and the encoded events. The cursor stays the same if there is nothing more.

        Raises:
            GapError: Entries after the cursor are no longer kept.
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


class IStreamStore(Interface):
    """
    Keeps streams: the face of a store that the service sees.

    `sseserver.stores` has one in memory and one in an SQLite file. To keep streams elsewhere, write an `IPersistence`
    and give it to `sseserver.stores.persistent.PersistentStore`.
    """

    used: int = Attribute("Bytes that all streams take, the fixed cost of each entry included.")
    count: int = Attribute("Number of streams kept.")

    def start() -> Sequence[EndedStream]:
        """
        Open the store. This may block: nothing runs yet.

        Returns:
            The streams that have ended, the oldest end first. Runs that a crash interrupted are among them; they
            have ended `failed`.

        Raises:
            StoreUnavailable: What is stored cannot be used. It is not changed.
        """

    def stop() -> Deferred[None]:
        """Write all changes and close the store. Harmless if it is closed."""

    def create(name: str | None, published: bool) -> Deferred[IStreamLog]:
        """
        Make a new stream.

        Args:
            name: Name of the stream; `None` to name it by its epoch.
            published: Whether entries will be published into it. Otherwise a run writes it.

        Returns:
            Fires with the stream log when the stream is stored.

        Raises:
            StreamExists: (as the errback) There is a stream of this name.
            StoreUnavailable: (as the errback) The store cannot take it now.
        """

    def find(name: str) -> Deferred[IStreamLog]:
        """
        Look a stream up. The log is always the same object as long as it is used.

        Raises:
            StreamNotFound: (as the errback) There is no stream of this name.
            StoreUnavailable: (as the errback) The store cannot look it up now.
        """

    def publish(
        name: str, entries: Sequence[NewEntry], close: bool, key: str | None = None
    ) -> Deferred[tuple[int, int]]:
        """
        Append entries to a published stream, all or none. The store gives them their numbers.

        Args:
            name: Name of the stream.
            entries: The entries, in order. A terminal kind, which can only be the last one, ends the stream.
            close: Append the terminal entry `done` after them. Without it there must be an entry.
            key: An idempotency key. While the entries that were published with it are kept, the same key with the
                same entries appends nothing.

        Returns:
            Fires when the entries are visible, with the numbers of the first and of the last one. For a repeat with
            the same key they are the numbers of the first time.

        Raises:
            StreamNotFound: (as the errback) There is no stream of this name.
            StreamExists: (as the errback) A run writes the stream.
            StreamEnded: (as the errback) The stream has ended.
            KeyReused: (as the errback) The key was used with other entries.
            StoreUnavailable: (as the errback) The store cannot take the entries; none is in the log.
        """

    def delete(name: str, epoch: str | None = None) -> Deferred[None]:
        """
        Delete a stream. From the call on neither it nor its bytes are counted.

        Viewers of an open stream get the terminal entry `cancelled` with the reason `deleted`.

        Args:
            name: Name of the stream.
            epoch: Delete it only if it has this epoch, which another stream of the same name has not.

        Raises:
            StreamNotFound: (as the errback) There is no such stream.
            StoreUnavailable: (as the errback) The store cannot delete it now.
        """


class IPersistence(Interface):
    """
    Reads and writes streams: the face of a store that its author writes, described in docs/stores.md.

    A persistence knows streams by their epochs, and has no logs, viewers or numbers to think of: `PersistentStore`
    does the rest. All methods are called in the reactor's thread. There is one `write` at a time, and none while
    `stop` is under way; `read` may be called during a `write`.
    """

    def start(now: float) -> Sequence[StoredStream]:
        """
        Open what is stored, and list all streams. This may block: nothing runs yet.

        Open streams that are not published were runs, which a crash interrupted. Append the entry
        `sseserver.streams.terminal.INTERRUPTED` to each and end it before it is listed.

        If changes that `write` has reported as stored may be lost, give each open stream a new epoch and store that
        before it is listed: the numbers of the lost entries will be given to other entries.

        Args:
            now: Time in seconds since 1970, at which interrupted runs end.

        Raises:
            StoreUnavailable: What is stored cannot be used. Leave it as it is.
        """

    def stop() -> Deferred[None]:
        """Close what is stored. `start` may follow."""

    def write(changes: Sequence[Change]) -> Deferred[None]:
        """
        Store a group of changes, all or none.

        If the process ends meanwhile, some changes may be stored and others not, but each of them whole.

        Args:
            changes: The changes, in the order in which they apply.

        Returns:
            Fires when the changes survive the end of the process. Their entries become visible then.

        Raises:
            StoreUnavailable: (as the errback) None of the changes is stored, now or later. Entries of runs are
                given to `write` again; other entries get the same numbers.
        """

    def read(epoch: str, first: int, last: int) -> Deferred[StoredEntries]:
        """
        Read a range of stored entries.

        It is called for streams that have ended, and for open ones that were not written since `start`: the entries
        of all others are in memory.

        Args:
            epoch: Epoch of the stream.
            first: Number of the first entry.
            last: Number of the last entry; `first - 1` for no entry.
        """
