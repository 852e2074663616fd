"""
Contracts of stores: `IStreamStore`, which the service calls, and `IPersistence`, which the author of a store writes.

`PersistentStore` makes an `IStreamStore` from an `IPersistence`. `docs/stores.md` is the guide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from sseserver.interfaces.descriptions import Publication, StreamDescription
from sseserver.interfaces.streams import IStreamLog
from sseserver.values import (
    Change,
    EndedStream,
    ListedPlace,
    ListedStream,
    NewEntry,
    StoredEntries,
    StoredStream,
)


class Usage(Protocol):
    """
    Size of the streams of one kind.

    Attributes:
        used: Bytes: the sum of `IStreamLog.size`.
        count: Number of streams.
        open: Number of those that are open.
        done: Number of streams that have ended `done` since the start, deleted ones included.
        failed: The same for `failed`.
        cancelled: The same for `cancelled`.
    """

    used: int
    count: int
    open: int
    done: int
    failed: int
    cancelled: int


class IStreamStore(Interface):
    """
    Keeps streams. The service calls a store by this interface.

    `sseserver.stores` has one in memory and one in an SQLite file. To keep streams elsewhere, write an `IPersistence`
    and give it to `sseserver.stores.persistent.PersistentStore`.
    """

    used: int = Attribute("Bytes that all streams take: the sum of `IStreamLog.size`.")
    count: int = Attribute("Number of streams kept.")
    runs: Usage = Attribute("Bytes and number of the streams that runs write.")
    published: Usage = Attribute("Bytes and number of the streams that are published into.")

    def start() -> Sequence[EndedStream]:
        """
        Open the store. This may block: nothing runs yet.

        Returns:
            The streams that have ended, the oldest end first. Runs that a crash interrupted are among them; they
            have ended `failed`.

        Raises:
            StoreUnavailable: What is stored cannot be used. It is not changed. The service does not start.
        """

    def stop() -> Deferred[None]:
        """Write all changes and close the store. Harmless if it is closed."""

    def create(name: str | None, published: bool, question: str = "") -> Deferred[IStreamLog]:
        """
        Make a new stream.

        Args:
            name: Name of the stream; `None` to name it by its epoch.
            published: Whether entries will be published into it. Otherwise a run writes it.
            question: Question that it answers, as its state shows it.

        Returns:
            Fires with the stream log when the stream is stored.

        Raises:
            StreamExists: (as the errback) There is a stream of this name.
            StoreUnavailable: (as the errback) The store cannot take it now.
        """

    def list(limit: int, before: ListedPlace | None = None) -> Deferred[Sequence[ListedStream]]:
        """
        List streams, the newest first. Streams that are being deleted are left out.

        Args:
            limit: Number of streams to list at most. Fewer are listed only if there are no more.
            before: List the streams that are older than the one at this place, which may have been deleted since.

        Raises:
            StoreUnavailable: (as the errback) The store cannot list them now.
        """

    def describe(name: str, key: str | None = None) -> Deferred[StreamDescription]:
        """
        Describe a stream without its entries.

        Args:
            name: Name of the stream.
            key: An idempotency key; the description tells whether it was used.

        Raises:
            StreamNotFound: (as the errback) There is no stream of this name.
            StoreUnavailable: (as the errback) The store cannot look it up now.
        """

    def find(name: str) -> Deferred[IStreamLog]:
        """
        Look a stream up. The log is always the same object as long as it is used.

        Raises:
            StreamNotFound: (as the errback) There is no stream of this name.
            StoreUnavailable: (as the errback) The store cannot look it up now.
        """

    def publish(
        name: str, entries: Sequence[NewEntry], close: bool, key: str | None = None, room: bool = True
    ) -> Deferred[Publication]:
        """
        Append entries to a published stream, all or none. The store gives them their numbers.

        Args:
            name: Name of the stream.
            entries: The entries, in order. A terminal kind, which can only be the last one, ends the stream.
            close: Append the terminal entry `done` after them. Without it there must be an entry.
            key: An idempotency key. While the entries that were published with it are kept, the same key with the
                same entries appends nothing.
            room: Whether there is room for new entries. Without it only a repeat succeeds.

        Returns:
            Fires when the entries are visible. A repeat with the same key gives the numbers of the first time.

        Raises:
            StreamNotFound: (as the errback) There is no stream of this name.
            StreamExists: (as the errback) A run writes the stream.
            StreamEnded: (as the errback) The stream has ended.
            KeyReused: (as the errback) The key was used with other entries.
            Overloaded: (as the errback) There is no room.
            StoreUnavailable: (as the errback) The store cannot take the entries; none is in the log.
        """

    def end(name: str, entry: NewEntry, epoch: str | None = None) -> Deferred[bool]:
        """
        End a stream, unless it has ended. Of several calls, one ends it.

        Args:
            name: Name of the stream.
            entry: The terminal entry.
            epoch: End it only if it has this epoch, which another stream of the same name has not.

        Returns:
            Fires when a terminal entry is visible, with whether it is that of this call.

        Raises:
            StreamNotFound: (as the errback) There is no such stream.
            StoreUnavailable: (as the errback) The store cannot end it now.
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


class ILocalStore(IStreamStore):
    """
    A store that no other process shares, and that gives no numbers of its own: its open logs are the streams.

    An entry that is appended to a log is published. So the service publishes into the logs that are in memory without
    asking the store, and without a Deferred where the entries are visible at once.
    """

    def peek(name: str) -> IStreamLog | None:
        """
        Return the log of a stream if it is in memory, and the store takes changes.

        Args:
            name: Name of the stream, which need not exist.
        """


class IPersistence(Interface):
    """
    Reads and writes streams. The author of a store writes one of these; see docs/stores.md.

    A persistence knows streams by their epochs. `PersistentStore` does the rest: logs, viewers, and the numbers of
    entries. All methods are called in the reactor's thread. There is one `write` at a time, and none while
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
            changes: The changes, in the order in which they apply. None at all asks whether changes could be stored.

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
