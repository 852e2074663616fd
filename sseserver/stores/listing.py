"""
Pages of a list of streams, and the description of one, from the streams in memory.

The memory store and `PersistentStore` use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import dropwhile, islice
from typing import Protocol, TypeVar

from sseserver.interfaces import IStreamLog, StreamDescription
from sseserver.values import ListedPlace


class _Created(Protocol):
    """A stream in a list."""

    name: str
    created: float


S = TypeVar("S", bound=_Created)


def findPage(
    streams: Mapping[str, S], limit: int, before: ListedPlace | None, isListed: Callable[[S], bool] | None = None
) -> list[S]:
    """
    Return the streams of one page.

    Args:
        streams: All streams by their names, in the order in which they were made.
        limit: Number of streams of the page.
        before: The last stream of the page before, which may have been deleted since.
        isListed: Tells which streams the list has; `None` for all.
    """
    newest = reversed(streams.values())  # type: ignore[call-overload]
    if before is not None:
        created, name = before
        if name in streams and streams[name].created == created:
            newest = islice(dropwhile(lambda stream: stream.name != name, newest), 1, None)
        else:
            newest = dropwhile(lambda stream: stream.created >= created, newest)
    return list(islice(newest if isListed is None else filter(isListed, newest), limit))


def describe(streamLog: IStreamLog, key: str | None = None) -> StreamDescription:
    """
    Describe a stream whose log is in memory. See `IStreamStore.describe`.

    Args:
        streamLog: The log.
        key: An idempotency key; `None` if it does not matter whether one was used.
    """
    buffer = streamLog.buffer
    return StreamDescription(
        streamLog.name,
        streamLog.epoch,
        streamLog.published,
        streamLog.question,
        streamLog.state,
        buffer.first,
        streamLog.last,
        buffer.measure(buffer.first, streamLog.last) + streamLog.keyBytes,
        streamLog.viewers,
        streamLog.created,
        streamLog.ended,
        key is not None and key in streamLog.keys,
    )
