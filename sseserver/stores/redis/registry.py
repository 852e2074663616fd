"""
Registry: makes, lists and deletes streams.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from sseserver.errors import StreamExists, StreamNotFound
from sseserver.interfaces import IStreamLog
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.connection import Disconnected, Reply, unwrap
from sseserver.stores.redis.layout import Layout
from sseserver.stores.redis.listing import listPage
from sseserver.stores.redis.opener import MakeLog
from sseserver.stores.redis.scripts import CREATE, DELETE, FOLLOWERS
from sseserver.stores.redis.session import Session
from sseserver.stores.redis.shards import isRefusedBy
from sseserver.stores.redis.streams import SharedStream, listAllKeys
from sseserver.streams.ids import makeEpoch
from sseserver.timing.ticker import Ticker
from sseserver.values import ListedPlace, ListedStream


class Registry:
    """
    The streams of a Redis as a whole.

    Args:
        session: The parts of the store.
        client: The connections to the Redis.
        layout: Names of keys and channels.
        ticker: Tells the time.
        makeLog: Makes an empty log.
    """

    def __init__(self, session: Session, client: Client, layout: Layout, ticker: Ticker, makeLog: MakeLog) -> None:
        self._session = session
        self._client = client
        self._layout = layout
        self._ticker = ticker
        self._makeLog = makeLog

    def create(self, name: str | None, published: bool, question: str) -> Deferred[IStreamLog]:
        """
        Make a stream; see `IStreamStore.create`.

        Args:
            name: Its name; `None` makes one.
            published: Whether it is published into.
            question: Question that it answers.
        """
        session, epoch = self._session, makeEpoch()
        name = name or epoch
        streamLog = self._makeLog(name, epoch, published, self._ticker.wall(), question)
        stream = SharedStream(name, self._layout.locate(name), streamLog, own=not published)
        head = (name, epoch, int(published), repr(streamLog.created), question, session.node.id)
        arguments = (*head, session.publisher.findUnused())
        created = session.shards.run(CREATE, stream.place.shard, listAllKeys(stream.place), arguments)
        return created.addCallbacks(self._noteCreated, self._drop, (stream,), errbackArgs=(stream,))

    def list(self, limit: int, before: ListedPlace | None) -> Deferred[Sequence[ListedStream]]:
        """
        List streams; see `IStreamStore.list`.

        Args:
            limit: Number of streams.
            before: The last stream of the page before.
        """
        return listPage(self._client, self._layout, limit, before).addErrback(unwrap)

    def delete(self, name: str, epoch: str | None) -> Deferred[None]:
        """
        Delete a stream; see `IStreamStore.delete`.

        Args:
            name: Its name.
            epoch: Its epoch; `None` for any.
        """
        stream = self._session.table.find(name)
        if stream is not None and epoch not in {None, stream.epoch}:
            stream = None
        elif stream is not None and stream.leaving:
            return fail(StreamNotFound(name))
        elif stream is not None:
            stream.uncount()
        place = self._layout.locate(name)
        arguments = (epoch or "", self._layout.nameControl(b""))
        deleted = self._session.shards.run(DELETE, place.shard, listAllKeys(place), arguments)
        return deleted.addCallbacks(self._noteDeleted, _recount, (name, stream), errbackArgs=(stream,))

    def isFollowed(self, name: str) -> Deferred[bool]:
        """
        Tell whether another process follows a run of this one; see `ISharedStore.isFollowed`.

        Args:
            name: Name of its stream.
        """
        # This process does not follow its own runs.
        counted = self._client.run(FOLLOWERS, [self._layout.locate(name).tail], [])
        return counted.addCallback(_isPositive)

    def _noteCreated(self, reply: Reply, stream: SharedStream) -> IStreamLog:
        session = self._session
        if reply != 1:
            stream.drop()
            raise StreamExists(f"There is a stream {stream.name} already.")
        before = session.table.find(stream.name)
        if before is not None:
            session.forget(before)
        stream.usedAt = self._ticker.seconds()
        session.table.add(stream)
        if not stream.own:
            session.follower.join(stream)
        return stream.log

    def _drop(self, failure: Failure, stream: SharedStream) -> Failure:
        """Forget a stream that could not be made, or may have been made: then a run without a writer must end."""
        stream.drop()
        if stream.own and failure.check(Disconnected):
            self._session.node.doubt()
        return failure

    def _noteDeleted(self, reply: Reply, name: str, stream: SharedStream | None) -> None:
        missing = isRefusedBy(reply, "missing")
        stream = stream or (None if missing else self._session.table.find(name))
        if stream is not None:
            self._session.forget(stream, taken=False)
        if missing:
            raise StreamNotFound(name)


def _recount(failure: Failure, stream: SharedStream | None) -> Failure:
    """Count a stream again that could not be deleted."""
    if stream is not None and stream.leaving:
        stream.recount()
    return failure


def _isPositive(count: Reply) -> bool:
    return isinstance(count, int) and count > 0
