"""
`v1/responses/ID`, and the resources below it.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.apis.responses.resource import ResponsesResource, readKept
from sseserver.delivery.document import Document
from sseserver.errors import BadRequest, ClientError, GapError, ReadingUnfinished, SSEServerError
from sseserver.formats.translation import TranslatedRendering
from sseserver.interfaces import IStreamLog, Right
from sseserver.protocols.jsonpieces import SPACED, encodePieces
from sseserver.protocols.jsonsteps import readSteps
from sseserver.protocols.responses.items import describeItems
from sseserver.service.service import StreamService
from sseserver.timing.turns import awaitTurn, takeTurns
from sseserver.tracebacks import forgetTraceback
from sseserver.values import StartingPlace
from sseserver.web.access.rights import Access
from sseserver.web.answers import answerJSON, answerLargeJSON
from sseserver.web.request import readParameter, readPlace
from sseserver.web.resource import NotFoundResource
from sseserver.web.viewing import answerViewerHead, locateStream

#: Number of items on a page, by default and at most.
_ITEMS, _MOST_ITEMS = 20, 100

#: Bytes. A longer list is encoded in pieces.
_LARGE = 256 * 1024

_NUMBER = re.compile("[0-9]{1,15}")


class EventsGone(ClientError):
    """A response cannot be continued after an event: what follows is no longer kept, or is void."""

    status = 410
    code = "events_gone"


class NamedResponse(ResponsesResource):
    """
    Base class of the resources of one response.

    Args:
        service: See `ResponsesResource`.
        access: See `ResponsesResource`.
        response: ID of the response, which may not exist.
    """

    def __init__(self, service: StreamService, access: Access, response: str) -> None:
        super().__init__(service, access)
        self.response = response


class StoredResponse(NamedResponse):
    """One response: `v1/responses/ID`."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: the children are `cancel` and `input_items`."""
        if path in _CHILDREN:
            return _CHILDREN[path](self.service, self.access, self.response)
        return NotFoundResource() if path else self

    async def GET(self, request: Request) -> bytes | Document | None:
        """Answer with the response as far as it has got, or follow its events."""
        principal = await self.access.identify(request)
        isStream = _readSwitch(request, b"stream")
        after = _readNumber("starting_after", readPlace(request, b"starting_after"))
        streamLog = await self.find(principal, Right.READ, self.response)
        url = locateStream(request, streamLog, 3)
        if not isStream:
            return self.answer(request, streamLog, await self.describe(streamLog))
        found = await self._findPlace(streamLog, 0 if after is None else after + 1, url)
        if request.method == b"HEAD":
            answerViewerHead(self.service, request, self.form)
            return None
        self.service.viewers.follow(request, streamLog, self.form, url, principal, StartingPlace(events=found.events))
        return None

    async def DELETE(self, request: Request) -> bytes:
        """Stop the run, and delete the response."""
        principal = await self.access.identify(request)
        streamLog = await self.find(principal, Right.DELETE, self.response)
        await self.service.delete(streamLog.name)
        return answerJSON(request, {"id": self.response, "object": "response", "deleted": True})

    async def _findPlace(self, streamLog: IStreamLog, events: int, url: str) -> _FoundPlace:
        """
        Find the place after a number of events, in as many turns of the reactor as it takes.

        Args:
            streamLog: The stream of the response.
            events: The number.
            url: The URL of the stream.

        Raises:
            BadRequest: There are fewer events.
            EventsGone: What follows them is no longer kept, or is void.
        """
        rendering: TranslatedRendering = self.form.render(streamLog)
        if rendering.hasEvent(events):
            # The viewer finds it: its response begins at once.
            return _FoundPlace(rendering, events)
        while True:
            try:
                place = rendering.findEvent(events)
            except ReadingUnfinished as unfinished:
                forgetTraceback(unfinished)
                await awaitTurn(self.service.clock)
            except GapError as gap:
                raise _explain(gap.reason, events - 1, url) from None
            else:
                # The last event has no number: nobody can have it.
                if not place.events and rendering.complete(place.cursor):
                    raise _explain("lost", events - 1, url)
                return _FoundPlace(rendering, events)


class _FoundPlace(NamedTuple):
    """
    A place in the events of a response.

    Attributes:
        rendering: The rendering that knows it; kept until a viewer follows with the same one.
        events: Number of events before it.
    """

    rendering: TranslatedRendering
    events: int


class ResponseCancellation(NamedResponse):
    """`v1/responses/ID/cancel`."""

    async def POST(self, request: Request) -> bytes | Document:
        """Cancel the run, and answer with the response. One that has ended stays as it is."""
        principal = await self.access.identify(request)
        streamLog = await self.find(principal, Right.CANCEL, self.response)
        await self.service.cancel(streamLog.name)
        return self.answer(request, streamLog, await self.describe(streamLog))


class InputItems(NamedResponse):
    """`v1/responses/ID/input_items`."""

    async def GET(self, request: Request) -> bytes | Document:
        """List the items of the request, in pages, the last one first."""
        principal = await self.access.identify(request)
        limit = _readNumber("limit", readParameter(request, b"limit"))
        order = readParameter(request, b"order") or "desc"
        if order not in {"asc", "desc"}:
            raise BadRequest("The parameter order must be asc or desc.")
        if limit is not None and not 1 <= limit <= _MOST_ITEMS:
            raise BadRequest(f"The parameter limit must be 1 to {_MOST_ITEMS}.")
        streamLog = await self.find(principal, Right.READ, self.response)
        packed = readKept(streamLog, self.response).items
        items = describeItems(await takeTurns(self.service.clock, readSteps(packed, 2**31)), streamLog.name)
        page = _cutPage(items if order == "asc" else items[::-1], readParameter(request, b"after"), limit or _ITEMS)
        if len(packed) > _LARGE:
            return answerLargeJSON(request, encodePieces(page, SPACED))
        return answerJSON(request, page)


_CHILDREN: dict[bytes, type[NamedResponse]] = {b"cancel": ResponseCancellation, b"input_items": InputItems}


def _cutPage(items: list[dict[str, Any]], after: str | None, limit: int) -> dict[str, Any]:
    """
    Return a page of a list.

    Args:
        items: The whole list.
        after: ID of the item before the page; `None` for the first page.
        limit: Number of items on the page at most.

    Raises:
        BadRequest: There is no such item.
    """
    ids = [item["id"] for item in items]
    if after is not None and after not in ids:
        raise BadRequest(f"The response has no input item {after!r}.")
    start = 0 if after is None else ids.index(after) + 1
    page = items[start : start + limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": start + limit < len(items),
    }


def _explain(reason: str, after: int, url: str) -> SSEServerError:
    """Return the error about an event after which a response cannot be continued."""
    if reason == "lost":
        return BadRequest(f"The response has no event {after}. Use the `sequence_number` of one that you have.")
    if reason == "restarted":
        message = f"The server that wrote the event {after} is gone, and the answer has begun anew."
        return EventsGone(f"{message} Read its events from the start, without starting_after.")
    return EventsGone(f"Events of this response are no longer kept (trimmed). What is left of it is the stream {url}.")


def _readSwitch(request: Request, name: bytes) -> bool:
    """
    Read a parameter that is true or false, which it is if it is missing.

    Raises:
        BadRequest: It is something else.
    """
    value = readParameter(request, name)
    if value not in {None, "true", "false"}:
        raise BadRequest(f"The parameter {name.decode('ascii')} must be true or false.")
    return value == "true"


def _readNumber(name: str, value: str | None) -> int | None:
    """
    Read a parameter that is a number from 0 on.

    Args:
        name: Its name.
        value: Its value; `None` if it is missing.

    Raises:
        BadRequest: It is something else.
    """
    if value is None:
        return None
    if not _NUMBER.fullmatch(value):
        raise BadRequest(f"The parameter {name} must be a number from 0 on.")
    return int(value)
