"""
`durable/NAME`: a stream for the readers of Durable Streams. Its messages are the parts of a UI message.
"""

from __future__ import annotations

from twisted.web.http import NO_CONTENT, NOT_MODIFIED, OK
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.apis.durable.pages import OffsetGone, Page, PagePlaces, PageReader
from sseserver.delivery.connection import isOver
from sseserver.delivery.head import protect
from sseserver.formats.durable import DurableFormat, findPosition
from sseserver.interfaces import IStreamLog, Principal, Right
from sseserver.protocols.durablestreams import Mode, Position, ReadRequest, describePosition, makeTag, readRequest
from sseserver.service.service import StreamService
from sseserver.values import StartingPlace
from sseserver.web.accept import JSON
from sseserver.web.access.rights import Access
from sseserver.web.answers import setContentType
from sseserver.web.request import hasVersion, readArguments, readPath
from sseserver.web.resource import AsyncResource, NotFoundResource


class DurableStreams(NotFoundResource):
    """
    All streams, for the readers of Durable Streams.

    Args:
        service: Keeps the streams.
        access: Checks the rights of requests.
    """

    def __init__(self, service: StreamService, access: Access) -> None:
        super().__init__(service.viewers)
        self._service = service
        self._access = access
        self._form = DurableFormat(service.formats["ui"], service.wall)
        self._places = PagePlaces()

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: each name has a resource, whether or not a stream has it."""
        if not path:
            return self
        return DurableStream(self._service, self._access, self._form, self._places, path.decode("utf-8", "replace"))


class DurableStream(AsyncResource):
    """
    One stream: `durable/NAME`.

    Args:
        service: See `DurableStreams`.
        access: See `DurableStreams`.
        form: The format of the events.
        places: Where the readers of pages go on.
        name: Name of the stream, which may not exist.
    """

    advice = "Streams are written at /streams/NAME; this URL is for readers."

    def __init__(
        self, service: StreamService, access: Access, form: DurableFormat, places: PagePlaces, name: str
    ) -> None:
        super().__init__(service.viewers)
        self._service = service
        self._access = access
        self._form = form
        self._places = places
        self._name = name

    async def GET(self, request: Request) -> bytes | None:
        """Answer with the next page, at once or when there is one, or follow the stream; HEAD tells where it ends."""
        principal = await self._access.require(request, Right.READ, self._name)
        asked = readRequest(readArguments(request))
        known = None if asked.offset is None else f"{asked.offset.epoch}-{asked.offset.number}"
        streamLog = await self._service.find(self._name, known)
        reader = PageReader(streamLog, self._service.formats["ui"], self._service.clock, self._places)
        if request.method == b"HEAD":
            tag = await _findTag(streamLog, reader, asked)
            _answerHead(request, findPosition(streamLog, streamLog.last), tag)
            return None
        reader.locate(asked.offset, asked.fromNow)
        if asked.mode is Mode.LONG_POLL:
            return await self._poll(request, streamLog, reader, asked, principal)
        if asked.mode is Mode.SSE:
            await self._follow(request, streamLog, reader, asked, principal)
            return None
        page = await reader.readNext()
        tag = None if asked.fromNow else makeTag(streamLog.epoch, page.start, page.position)
        return _answerPage(request, page, None, tag)

    async def _poll(
        self, request: Request, streamLog: IStreamLog, reader: PageReader, asked: ReadRequest, principal: Principal
    ) -> bytes | None:
        """Answer with the next page; if there is none within a heartbeat interval, with the status 204."""
        viewers, limit = self._service.viewers, self._service.settings.heartbeat
        form = self._service.formats["ui"]
        over = await viewers.wait(request, streamLog, form, reader.wait, limit, principal)
        cursor, page = self._form.advance(asked.cursor).makeCursor(), reader.page
        if over and page is not None and page.messages:
            tag = None if asked.fromNow else makeTag(streamLog.epoch, page.start, page.position)
            return _answerPage(request, page, cursor, tag)
        _tellPosition(request, findPosition(streamLog, reader.cursor), cursor)
        request.responseHeaders.setRawHeaders(b"Cache-Control", [b"no-store"])
        request.setResponseCode(NO_CONTENT)
        return b""

    async def _follow(
        self, request: Request, streamLog: IStreamLog, reader: PageReader, asked: ReadRequest, principal: Principal
    ) -> None:
        """Follow the stream from the entry after the reader's cursor, which can be read."""
        await reader.read(1)
        url = f"{readPath(request).rsplit('/', 2)[0]}/streams/{self._name}"
        place = StartingPlace(f"{streamLog.epoch}-{reader.cursor}")
        form = self._form.advance(asked.cursor)
        self._service.viewers.follow(request, streamLog, form, url, principal, place)


async def _findTag(streamLog: IStreamLog, reader: PageReader, asked: ReadRequest) -> bytes | None:
    """Return the entity tag that GET gives to the page; `None` if it gives none, or there is no page."""
    if asked.fromNow or asked.mode is not Mode.CATCH_UP:
        return None
    try:
        reader.locate(asked.offset, asked.fromNow)
        page = await reader.read()
    except OffsetGone:
        return None
    return makeTag(streamLog.epoch, page.start, page.position)


def _tellPosition(request: Request, position: Position, cursor: int | None = None) -> None:
    """Set the header fields of a position."""
    for name, value in describePosition(position, cursor):
        request.responseHeaders.setRawHeaders(name, [value])


def _answerPage(request: Request, page: Page, cursor: int | None, tag: bytes | None) -> bytes:
    """
    Set the headers of a page, and return its body.

    Args:
        request: Its response has not begun.
        page: The page.
        cursor: The next cursor of a live reader.
        tag: Entity tag of the page. A client that starts at the end gets none.
    """
    setContentType(request, JSON)
    _tellPosition(request, page.position, cursor)
    request.setResponseCode(OK)
    if tag is not None:
        request.responseHeaders.setRawHeaders(b"ETag", [tag])
        if cursor is None and hasVersion(request, tag):
            request.setResponseCode(NOT_MODIFIED)
            return b""
    return page.body


def _answerHead(request: Request, position: Position, tag: bytes | None) -> None:
    """
    Answer HEAD, whose response has no length: it has no body like that of GET.

    Args:
        request: Its response has not begun.
        position: The end of the stream.
        tag: Entity tag of the page that GET answers with, if it has one.
    """
    if isOver(request):
        return
    setContentType(request, JSON)
    _tellPosition(request, position)
    if tag is not None:
        request.responseHeaders.setRawHeaders(b"ETag", [tag])
        if hasVersion(request, tag):
            request.setResponseCode(NOT_MODIFIED)
    protect(request)
    request.write(b"")
    request.finish()
