"""
The list of streams: the parameters of its pages, and its items. Used by `streams`.
"""

from __future__ import annotations

import math
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from sseserver.errors import BadRequest
from sseserver.interfaces import IStreamStore, Principal, Right
from sseserver.values import ListedPlace, ListedStream
from sseserver.web.request import readParameter

#: Streams. Largest page, which is the default: it is written in one turn.
MAX_PAGE = 100

#: Streams. So many are looked through in one turn of the reactor for those that a principal may see.
STEP = 1000


def readPage(request: Request) -> tuple[int, ListedPlace | None]:
    """
    Read the parameters `limit` and `before`.

    Returns:
        The number of streams of the page, and the place before it, if the client sent one.

    Raises:
        BadRequest: A parameter is malformed.
    """
    return _readLimit(readParameter(request, b"limit")), _readPlace(readParameter(request, b"before"))


async def findListed(
    store: IStreamStore, clock: Any, limit: int, before: ListedPlace | None, principal: Principal
) -> list[ListedStream]:
    """
    Find the streams that a principal may list and read, the newest first.

    Args:
        store: Keeps the streams.
        clock: The reactor.
        limit: Number of streams to find at most.
        before: See `IStreamStore.list`.
        principal: The client.
    """
    if before is not None and not _shows(principal, before.name):
        # Otherwise the answer would tell whether there is such a stream.
        before = before._replace(name="")
    found: list[ListedStream] = []
    step = limit
    while True:
        page = await store.list(step, before)
        found += [stream for stream in page if _shows(principal, stream.name)]
        if len(found) >= limit or len(page) < step:
            return found[:limit]
        before, step = ListedPlace(page[-1].created, page[-1].name), STEP
        turn: Deferred[None] = Deferred()
        clock.callLater(0, turn.callback, None)
        await turn


def _shows(principal: Principal, name: str) -> bool:
    """Tell whether the list of a principal has a stream of a name."""
    return principal.allows(Right.LIST, name) and principal.allows(Right.READ, name)


def formatPlace(place: ListedPlace) -> str:
    """Write a place as the value of the parameter `before`. No character of it needs quoting in a URL."""
    return f"{place.created!r},{place.name}"


def describeListed(stream: ListedStream) -> dict[str, object]:
    """Describe a stream in the list. The size is bytes, times are seconds since 1970."""
    return {
        "name": stream.name,
        "epoch": stream.epoch,
        "published": stream.published,
        "open": stream.ended is None,
        "bytes": stream.size,
        "created": stream.created,
        "ended": stream.ended,
    }


def _readLimit(value: str | None) -> int:
    if value is None:
        return MAX_PAGE
    if not (value.isascii() and value.isdigit() and len(value) < 4 and 1 <= int(value) <= MAX_PAGE):
        raise BadRequest(f"The parameter limit must be a whole number from 1 to {MAX_PAGE}.")
    return int(value)


def _readPlace(value: str | None) -> ListedPlace | None:
    if value is None:
        return None
    created, comma, name = value.partition(",")
    try:
        place = ListedPlace(float(created), name)
    except ValueError:
        place = ListedPlace(math.nan, "")
    if not (comma and name and math.isfinite(place.created)):
        raise BadRequest("The parameter before must be the one in `next` of the page before.")
    return place
