"""
Pages of the list of all streams, from the registries of all shards.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from heapq import nlargest
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks

from sseserver.errors import StreamNotFound
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.layout import SHARDS, Layout
from sseserver.stores.redis.reader import askState
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.cost import measureStream
from sseserver.values import ListedPlace, ListedStream


@inlineCallbacks
def listPage(
    client: Client, layout: Layout, limit: int, before: ListedPlace | None
) -> Generator[Deferred[Any], Any, Sequence[ListedStream]]:
    """
    List streams, the newest first; see `IStreamStore.list`.

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
        found = yield gatherResults([_describe(client, layout, place.name) for place in places], consumeErrors=True)
        listed += [stream for stream in found if stream is not None]
        before = places[-1]
    return listed


@inlineCallbacks
def _findPlaces(
    client: Client, layout: Layout, limit: int, before: ListedPlace | None
) -> Generator[Deferred[Any], Any, list[ListedPlace]]:
    """Find the places of the newest streams before another one."""
    top = "+inf" if before is None else repr(before.created)
    asked = [
        client.ask(
            *("ZREVRANGEBYSCORE", layout.findBase(shard) + b"streams", top, "-inf", "WITHSCORES"),
            *("LIMIT", 0, limit + 1),
        )
        for shard in range(SHARDS)
    ]
    shards = yield gatherResults(asked, consumeErrors=True)
    places = [
        ListedPlace(float(score), name.decode("utf-8"))
        for pairs in shards
        for name, score in zip(pairs[::2], pairs[1::2], strict=True)
    ]
    return nlargest(limit, [place for place in places if before is None or place < before])


def _describe(client: Client, layout: Layout, name: str) -> Deferred[ListedStream | None]:
    """Describe a stream; `None` if it has expired, which takes it from its registry."""
    place = layout.locate(name)

    def forget(failure: Any) -> None:
        failure.trap(StreamNotFound)
        client.ask("ZREM", place.streams, name).addErrback(lambda _: None)

    described = askState(client, name, place)
    return described.addCallbacks(
        lambda state: ListedStream(
            name,
            state.epoch,
            state.published,
            state.created,
            state.ended,
            measureStream(name, state.question)
            + state.size
            + ENTRY_COST * (state.last + 1 - state.first)
            + state.keyBytes,
        ),
        forget,
    )
