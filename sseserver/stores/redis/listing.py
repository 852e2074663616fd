"""
Pages of the list of all streams, from the registries of all shards.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from heapq import nlargest
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks

from sseserver.errors import StoreDamaged, StreamNotFound
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.indices import Index, askIndex
from sseserver.stores.redis.layout import SHARDS, Layout
from sseserver.stores.redis.reader import SharedState, askState
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.cost import measureStream
from sseserver.values import ListedPlace, ListedStream


@inlineCallbacks
def listPage(
    client: Client, layout: Layout, limit: int, before: ListedPlace | None
) -> Generator[Deferred[Any], Any, Sequence[ListedStream]]:
    """
    List streams, the newest first, but for damaged ones; see `IStreamStore.list`.

    Args:
        client: The Redis.
        layout: Names of the keys.
        limit: Number of streams.
        before: The last stream of the page before.

    Raises:
        StoreUnavailable: (errback) They cannot be listed now.
    """
    listed: list[ListedStream] = []
    while len(listed) < limit:
        places = yield _findPlaces(client, layout, limit - len(listed), before)
        if not places:
            break
        found = yield gatherResults([_describe(client, layout, place) for place in places], consumeErrors=True)
        listed += [stream for stream in found if stream is not None]
        before = places[-1]
    return listed


@inlineCallbacks
def _findPlaces(
    client: Client, layout: Layout, limit: int, before: ListedPlace | None
) -> Generator[Deferred[Any], Any, list[ListedPlace]]:
    """Find the places of the newest streams before another one."""
    top = "+inf" if before is None else repr(before.created)
    indices = [Index(client, layout, layout.findBase(shard) + b"streams", "ZREM") for shard in range(SHARDS)]
    options = (top, "-inf", "WITHSCORES", "LIMIT", 0, limit + 1)
    asked = [askIndex(client, "ZREVRANGEBYSCORE", index.key, *options) for index in indices]
    shards = yield gatherResults(asked, consumeErrors=True)
    places = [
        ListedPlace(float(score), name)
        for index, pairs in zip(indices, shards, strict=True)
        for written, score in zip(pairs[::2], pairs[1::2], strict=True)
        if (name := index.readName(written)) is not None
    ]
    return nlargest(limit, [place for place in places if before is None or place < before])


def _describe(client: Client, layout: Layout, listed: ListedPlace) -> Deferred[ListedStream | None]:
    """Describe a stream; `None` if it is damaged, or has expired, which takes it from its index."""
    name = listed.name
    place = layout.locate(name)

    def forget(failure: Any) -> None:
        if failure.trap(StreamNotFound, StoreDamaged) is StreamNotFound:
            Index(client, layout, place.streams, "ZREM").remove(name)

    def describe(state: SharedState) -> ListedStream | None:
        if state.created != listed.created:
            # A foreign hand has moved it. It is listed the next time.
            client.ask("ZADD", place.streams, "XX", repr(state.created), name).addErrback(lambda _: None)
            return None
        size = state.size + ENTRY_COST * (state.last + 1 - state.first) + state.keyBytes
        size += measureStream(name, state.question)
        return ListedStream(name, state.epoch, state.published, state.created, state.ended, size)

    return askState(client, name, place).addCallbacks(describe, forget)
