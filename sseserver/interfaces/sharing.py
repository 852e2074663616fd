"""
Contracts of a store that several processes share: the store itself, its directories of keys, and the limits of clients.

The service has an implementation of its own of the last two, for stores that no other process shares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from sseserver.interfaces.readiness import IChecked
from sseserver.interfaces.stores import IStreamStore
from sseserver.interfaces.streams import IStreamLog


class KeyedStream(NamedTuple):
    """
    The stream of a key.

    Attributes:
        name: Name of the stream.
        epoch: Epoch of the stream when it got the key.
    """

    name: str
    epoch: str


class IKeyDirectory(Interface):
    """
    Finds the streams of runs by keys: idempotency keys, chats, visitors.

    A key is dropped when its stream is no longer kept, at the latest. The caller checks that the stream is still there.
    """

    def claim(key: str, digest: bytes) -> Deferred[KeyedStream | None]:
        """
        Take a key for a stream that is about to be created, or find the stream of the key.

        Args:
            key: The key.
            digest: Hash of the request; a repeat has the same.

        Returns:
            Fires with `None` if the caller has the key now: it must call `bind` or `release`. Otherwise fires with the
            stream of the key, at once or when the present holder has called `bind`. If the holder calls `release`, one
            of those that wait gets the key.

        Raises:
            KeyReused: (as the errback) The key has another digest.
            SSEServerError: (as the errback) The holder has released the key with this error.
            StoreUnavailable: (as the errback) The key cannot be looked up now.
        """

    def bind(key: str, stream: KeyedStream) -> Deferred[None]:
        """
        Give a key to a stream. An older stream of the key is no longer found.

        A stream has at most 16 keys; a further one replaces the oldest.

        Args:
            key: The key.
            stream: The stream.

        Raises:
            StoreUnavailable: (as the errback) The key cannot be stored now.
        """

    def find(key: str) -> Deferred[KeyedStream]:
        """
        Return the stream of a key.

        Raises:
            StreamNotFound: (as the errback) There is none.
            StoreUnavailable: (as the errback) The key cannot be looked up now.
        """

    def release(key: str, epoch: str = "", error: BaseException | None = None) -> None:
        """
        Drop a key. Harmless if it is not known.

        Args:
            key: The key.
            epoch: Drop it only if it is bound to the stream with this epoch; if empty, only if it is claimed and not
                bound.
            error: Errback of the claims of this process that wait for the key; `None` to let one of them have it.
        """

    def forget(epoch: str) -> None:
        """Drop all keys of a stream that this process deletes."""


class IRate(Interface):
    """Token buckets: how often each client does something."""

    count: int = Attribute("Number of buckets that are in memory.")
    refused: int = Attribute("Number of uses that were refused.")

    def take(client: str, size: float) -> float:
        """
        Take a permit. It answers at once, from what this process knows.

        Args:
            client: Name of the client.
            size: Number of permits of a full bucket, which is full again after a period.

        Returns:
            0 if there was one; otherwise the seconds until there is one.
        """

    def giveBack(client: str, size: float) -> None:
        """
        Give back a permit that was taken: what it was for has not come to be.

        Args:
            client: See `take`.
            size: See `take`.
        """


class ICounts(Interface):
    """Counts of what each client has at a time, in all processes."""

    count: int = Attribute("Number of clients that are in memory.")

    def get(client: str) -> int:
        """Return the number that a client has, as far as this process knows."""

    def add(client: str) -> None:
        """Count one more in this process."""

    def remove(client: str) -> None:
        """Count one less in this process."""


class Restarter(Protocol):
    """
    Begins runs of a shared store anew that have lost their process.

    Attributes:
        limit: Number of times that a run is begun anew at most, in all processes together.
    """

    limit: int

    def hasRoom(self) -> bool:
        """Return whether this process can take one more run now. Otherwise the run waits, for this one or another."""

    def restart(self, streamLog: IStreamLog, order: bytes) -> None:
        """
        Begin a run anew.

        Args:
            streamLog: Its log, which this process writes from now on. The last entry is the restart.
            order: The order that was kept for it.
        """


class ITakeover(Interface):
    """The part of a shared store that takes over runs whose process is gone."""

    restarter: Restarter | None = Attribute(
        "Begins runs anew whose process is gone. If there is none, they end `failed`, `interrupted`."
    )

    def keep(streamLog: IStreamLog, order: bytes) -> Deferred[None]:
        """
        Keep what a process needs to begin a run anew, until the run ends.

        Args:
            streamLog: The log of a run of this process.
            order: The bytes for the `Restarter`.

        Returns:
            Fires when the order is kept, or cannot be, which is logged.
        """


class ISharedLimits(Interface):
    """The part of a shared store that counts clients in all processes together."""

    def makeRate(purpose: str, period: float) -> IRate:
        """
        Return the token buckets of one purpose, which learn the uses in other processes after a moment.

        Args:
            purpose: A word: `starts`, `publishes`.
            period: Seconds after which an empty bucket is full.
        """

    def makeCounts(purpose: str) -> ICounts:
        """
        Return the counts of one purpose, which learn those of other processes after a moment.

        Args:
            purpose: A word: `viewers`, `runs`.
        """


class ISharedStore(IStreamStore, IChecked):
    """
    A store that several processes share.

    The differences from a store of one process:

    - `start` returns no streams. A server that cannot be reached is no error: it will come, and `findProblem` tells
      what is wrong meanwhile.
    - `used`, `count`, `runs` and `published` count the streams whose logs are in this process's memory.
    - The store deletes ended streams after their time, and ends published streams that no process has published into or
      followed for too long. A log with viewers is used. The service does neither.
    - A log that was loaded for viewers leaves memory some time after the last use, or by `shed`.
    - When the store has lost entries, viewers that have read them are dismissed: see `StreamLog.dismiss`.
    """

    onEnded: Callable[[IStreamLog], None] | None = Attribute(
        "Called with the log of a run of this process after an end that came from elsewhere has been put into it: "
        "another process has ended or deleted the stream, or has taken it for interrupted. The service stops the run. "
        "A log without an end is written by another process from now on."
    )
    takeover: ITakeover = Attribute("Takes over runs whose process is gone.")
    limits: ISharedLimits = Attribute("The limits of clients in all processes together.")

    def findFor(name: str, lastEventID: str) -> Deferred[IStreamLog]:
        """
        Look a stream up for a viewer that returns, whom another process may have told more than this one knows yet.

        Args:
            name: Name of the stream.
            lastEventID: The last event ID of the viewer.

        Raises:
            StreamNotFound: (as the errback) There is no stream of this name.
            StoreUnavailable: (as the errback) The store cannot look it up now.
        """

    def shed(published: bool) -> bool:
        """
        Drop the log from memory that was not used for longest. The stream is kept.

        Args:
            published: Whether to drop one of a published stream; otherwise one of a run that has ended.

        Returns:
            Whether there was one that nobody uses.
        """

    def isFollowed(name: str) -> Deferred[bool]:
        """
        Tell whether another process follows a run of this one.

        Args:
            name: Name of its stream.

        Raises:
            StoreUnavailable: (errback) Nobody knows now.
        """

    def makeDirectory(purpose: str) -> IKeyDirectory:
        """
        Return the directory of one purpose, the same for all processes.

        Args:
            purpose: A word: `starts`, `chats`, `visitors`.
        """
