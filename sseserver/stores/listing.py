"""
Pages of a list of streams, for the stores of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import dropwhile, islice
from typing import Protocol, TypeVar

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
