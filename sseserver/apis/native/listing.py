"""
The list of streams: the parameters of its pages, and its items. Used by `streams`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from sseserver.apis.native.publishing import NAME
from sseserver.errors import BadRequest
from sseserver.interfaces import IStreamStore, Principal
from sseserver.values import ListedPlace, ListedStream
from sseserver.web.access.rights import showsStream
from sseserver.web.pages import readLimit
from sseserver.web.request import readParameter

#: Streams. So many are looked through in one turn of the reactor for those that a principal may see.
STEP = 1000


_OPEN = {"true": True, "false": False}


class PageQuery(NamedTuple):
    """
    The page of the list that a client asks for.

    Attributes:
        limit: Number of its streams.
        before: The place before it, from the page before; `None` for the first page.
        prefix: The beginning of the names of its streams.
        isOpen: Whether its streams are open; `None` for all.
    """

    limit: int
    before: ListedPlace | None = None
    prefix: str = ""
    isOpen: bool | None = None

    def matches(self, stream: ListedStream) -> bool:
        """Tell whether a stream is one of those that the client asks for."""
        return stream.name.startswith(self.prefix) and self.isOpen in {None, stream.ended is None}

    @property
    def isFiltered(self) -> bool:
        """Whether the client asks for some of the streams only."""
        return bool(self.prefix) or self.isOpen is not None

    def write(self, place: ListedPlace) -> str:
        """
        Write the query of the next page. No character of it needs quoting in a URL.

        Args:
            place: The last stream of this page.
        """
        prefix = f"&prefix={self.prefix}" if self.prefix else ""
        isOpen = "" if self.isOpen is None else f"&open={str(self.isOpen).lower()}"
        return f"limit={self.limit}{prefix}{isOpen}&before={place.created!r},{place.name}"


def readPage(request: Request) -> PageQuery:
    """
    Read the parameters `limit`, `before`, `prefix` and `open`.

    Raises:
        BadRequest: A parameter is malformed.
    """
    limit, before = readLimit(request), _readPlace(readParameter(request, b"before"))
    prefix, isOpen = readParameter(request, b"prefix") or "", readParameter(request, b"open")
    if prefix and not NAME.fullmatch(prefix):
        raise BadRequest("The parameter prefix must be the beginning of a stream name.")
    if isOpen is not None and isOpen not in _OPEN:
        raise BadRequest("The parameter open must be true or false.")
    return PageQuery(limit, before, prefix, None if isOpen is None else _OPEN[isOpen])


async def findListed(store: IStreamStore, clock: Any, query: PageQuery, principal: Principal) -> list[ListedStream]:
    """
    Find the streams that a principal may list and read, the newest first.

    Args:
        store: Keeps the streams.
        clock: The reactor.
        query: The streams to find.
        principal: The client.
    """
    limit, before = query.limit, query.before
    if before is not None and not showsStream(principal, before.name):
        # Otherwise the answer would tell whether there is such a stream.
        before = before._replace(name="")
    found: list[ListedStream] = []
    step = STEP if query.isFiltered else limit
    while True:
        page = await store.list(step, before)
        found += [stream for stream in page if query.matches(stream) and showsStream(principal, stream.name)]
        if len(found) >= limit or len(page) < step:
            return found[:limit]
        before, step = ListedPlace(page[-1].created, page[-1].name), STEP
        turn: Deferred[None] = Deferred()
        clock.callLater(0, turn.callback, None)
        await turn


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
