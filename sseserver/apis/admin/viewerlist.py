"""
`admin/viewers.json`: the viewers of a process, in pages.

Nothing is kept for it: each request reads the cursors of the viewers of its page.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import islice
from time import monotonic
from typing import Any, NamedTuple

from twisted.web.server import Request

from sseserver.delivery.connection import findConnection
from sseserver.delivery.producer import EventStreamProducer
from sseserver.delivery.waiter import Waiter
from sseserver.errors import BadRequest
from sseserver.interfaces import Principal
from sseserver.service.service import StreamService
from sseserver.service.viewers import Response
from sseserver.speedups.writequeue import countQueued
from sseserver.timing.turns import takeTurns
from sseserver.web.access.rights import Access, showsStream
from sseserver.web.answers import answerJSON
from sseserver.web.pages import readLimit
from sseserver.web.request import readParameter
from sseserver.web.resource import AsyncResource

#: Viewers. So many are looked through in one turn of the reactor.
STEP = 500

#: Digits of the largest place in the list.
_MAX_DIGITS = 9


class ViewersQuery(NamedTuple):
    """
    The page of the list that a client asks for.

    Attributes:
        limit: Number of its viewers.
        after: Number of viewers before it.
        stream: The stream that its viewers read; `None` for all.
    """

    limit: int
    after: int
    stream: str | None


class ViewerPage(NamedTuple):
    """
    A page of the list.

    Attributes:
        viewers: Its viewers.
        total: Number of viewers of all pages.
    """

    viewers: list[Response]
    total: int


class ViewerList(AsyncResource):
    """
    `admin/viewers.json`.

    Args:
        service: The service with the viewers.
        access: Checks the rights of requests.
    """

    def __init__(self, service: StreamService, access: Access) -> None:
        super().__init__()
        self._service = service
        self._access = access

    async def GET(self, request: Request) -> bytes:
        """Answer with a page of the viewers, the oldest first."""
        principal = await self._access.requireList(request)
        query = readQuery(request)
        page = await takeTurns(self._service.clock, _find(self._service, query, principal), STEP)
        rest = page.total - query.after - len(page.viewers)
        following = query.after + query.limit if rest > 0 else None
        viewers = [describeViewer(viewer) for viewer in page.viewers]
        return answerJSON(request, {"viewers": viewers, "total": page.total, "next": following})


def readQuery(request: Request) -> ViewersQuery:
    """
    Read the parameters `limit`, `after` and `stream`.

    Raises:
        BadRequest: A parameter is malformed.
    """
    return ViewersQuery(readLimit(request), _readAfter(request), readParameter(request, b"stream"))


def _readAfter(request: Request) -> int:
    value = readParameter(request, b"after")
    if value is None:
        return 0
    if not (value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS):
        raise BadRequest("The parameter after must be a whole number.")
    return int(value)


def _find(service: StreamService, query: ViewersQuery, principal: Principal) -> Generator[None, None, ViewerPage]:
    """Find the viewers of a page, one viewer in each step, and count all of the list."""
    found: list[Response] = []
    for viewer in service.viewers:
        name = nameStream(viewer)
        if query.stream in {None, name} and showsStream(principal, name or ""):
            found.append(viewer)
        yield
    return ViewerPage(list(islice(found, query.after, query.after + query.limit)), len(found))


def nameStream(viewer: Response) -> str | None:
    """Return the name of the stream that a viewer reads; `None` for a large answer of another kind."""
    return viewer.streamLog.name if isinstance(viewer, EventStreamProducer | Waiter) else None


def describeViewer(viewer: Response) -> dict[str, Any]:
    """
    Describe a viewer. Sizes are bytes, `age` is seconds.

    Args:
        viewer: The viewer. Its URL, which may have a signature, is no part of the description.
    """
    request: Any = viewer.request
    connection: Any = findConnection(request.transport)
    begun: float | None = getattr(request, "begun", None)
    cursor = viewer.cursor if isinstance(viewer, EventStreamProducer | Waiter) else None
    last = viewer.streamLog.last if isinstance(viewer, EventStreamProducer | Waiter) else 0
    return {
        "stream": nameStream(viewer),
        "format": viewer.form.name if isinstance(viewer, EventStreamProducer) else None,
        "address": getattr(request.getClientAddress(), "host", None),
        "principal": getattr(request, "principalName", "") or None,
        "cursor": cursor,
        "behind": None if cursor is None else max(last - cursor, 0),
        "sent": 0 if isinstance(viewer, Waiter) else viewer.written,
        "queued": 0 if connection is None else countQueued(connection),
        "isPaused": not isinstance(viewer, Waiter) and viewer.isPaused,
        "age": None if begun is None else round(monotonic() - begun, 1),
    }
