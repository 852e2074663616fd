"""
Publisher: opens published streams, and publishes into them.

It asks the store for no log: a store elsewhere would have to send all entries of the stream first.

`StreamService` has one for the native API.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable, StreamEnded, StreamExists, StreamNotFound
from sseserver.interfaces import ILocalStore, IStreamLog, IStreamStore, Publication, StreamDescription
from sseserver.service.idle import IdleStreams
from sseserver.service.ledger import Ledger
from sseserver.service.retention import Retention
from sseserver.stores.publishing import checkOpen, publishInto
from sseserver.tracebacks import forgetTraceback
from sseserver.values import NewEntry


class Publisher:
    """
    Publishes into the streams of a store.

    Args:
        store: Keeps the streams.
        create: Makes a published stream: called with its name.
        retention: Makes room, and keeps the streams that have ended.
        idle: Is told which streams are used.
        ledger: Counts the entries.
    """

    def __init__(
        self,
        store: IStreamStore,
        create: Callable[[str], Deferred[IStreamLog]],
        retention: Retention,
        idle: IdleStreams,
        ledger: Ledger,
    ) -> None:
        self._store = store
        self._local = store if ILocalStore.providedBy(store) else None
        self._create = create
        self._retention = retention
        self._idle = idle
        self._ledger = ledger

    @inlineCallbacks
    def open(self, name: str) -> Generator[Deferred[Any], Any, tuple[StreamDescription, bool]]:
        """See `StreamService.open`."""
        new = False
        try:
            stream = yield self._store.describe(name)
        except StreamNotFound as missing:
            forgetTraceback(missing)
            try:
                yield self._create(name)
                new = True
            except StreamExists as exists:
                # Another request has created it meanwhile.
                forgetTraceback(exists)
            stream = yield self._store.describe(name)
        checkOpen(name, stream.published, stream.state)
        self._idle.use(name)
        return stream, new

    def publish(
        self, name: str, entries: Sequence[NewEntry], close: bool, key: str | None = None
    ) -> Deferred[Publication]:
        """See `StreamService.publish`."""
        room = self._retention.makeRoom(published=True)
        if room:
            # Now, since the store may take longer than the rest of the stream's time.
            self._idle.use(name)
        publishing = self._store.publish(name, entries, close, key, room)
        return publishing.addCallbacks(self._note, self._refuse, (name, close), {}, (name, room))

    def publishAtOnce(
        self, name: str, entries: Sequence[NewEntry], key: str | None = None
    ) -> Publication | Deferred[Publication]:
        """See `StreamService.publishAtOnce`."""
        streamLog = None if self._local is None else self._local.peek(name)
        if streamLog is None or not self._ledger.hasRoom(0, True):
            return self.publish(name, entries, False, key)
        publication = publishInto(streamLog, entries, False, key)
        self._idle.use(name)
        if publication.last > streamLog.last:
            return streamLog.awaitStored().addCallbacks(
                lambda _: self._note(publication, name, False), self._refuse, errbackArgs=(name, True)
            )
        if not publication.repeated:
            self._ledger.publishedEntries += publication.last + 1 - publication.first
        return publication

    def _note(self, publication: Publication, name: str, close: bool) -> Publication:
        if not publication.repeated:
            self._ledger.publishedEntries += publication.last + 1 - publication.first
        if close:
            self._idle.forget(name)
            if not publication.repeated:
                self._retention.keep(name, publication.epoch, True)
        return publication

    def _refuse(self, failure: Failure, name: str, used: bool) -> Failure:
        """Note whether the stream of a publish that was refused may be open."""
        if failure.check(StreamNotFound, StreamExists, StreamEnded):
            self._idle.forget(name)
        elif used and failure.check(StoreUnavailable):
            # A publish that came later has found it ended.
            self._idle.use(name)
        return failure
