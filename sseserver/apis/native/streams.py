"""
Resources of `/streams`: start a run, or publish; follow a stream; cancel or delete it.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.web.http import CREATED, NO_CONTENT, OK
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.apis.native.links import StreamLinks
from sseserver.apis.native.listing import describeListed, findListed, readPage
from sseserver.apis.native.prompts import makeMissing, readPrompt
from sseserver.apis.native.publishing import (
    checkName,
    encodePublication,
    openWith,
    readInTurns,
    readStreamClosed,
)
from sseserver.apis.native.snapshot import answerText
from sseserver.delivery.document import Document
from sseserver.delivery.turnaway import turnAway
from sseserver.errors import BadRequest, StoreDamaged, StoreUnavailable, StreamNotFound, Unauthorized
from sseserver.interfaces import Right, StreamDescription
from sseserver.protocols.chatcompletions import makeSummary
from sseserver.service.clients import identifyClient
from sseserver.service.service import StreamService
from sseserver.timing.turns import awaitTurn
from sseserver.tracebacks import forgetTraceback
from sseserver.values import ListedPlace, NewEntry
from sseserver.web.accept import EVENT_STREAM, HTML, JSON, PLAIN_TEXT, negotiate, prefersHTML
from sseserver.web.access.rights import Access, checkRight
from sseserver.web.answers import answerEncoded, answerJSON
from sseserver.web.request import (
    readBody,
    readHeader,
    readJSONObject,
    readKey,
    readLastEventID,
    readParameter,
    readPath,
    readStartKey,
)
from sseserver.web.resource import AsyncResource, NotFoundResource
from sseserver.web.viewing import PageAnswer, followStream, readFormat


class StreamCollection(AsyncResource):
    """
    All streams: `/streams`.

    Args:
        service: Runs the token source and keeps the streams.
        answerPage: Answers with the HTML representation of a stream.
        access: Checks the rights of requests.

    Attributes:
        maxBody: Bytes. Limit of the bodies of requests, also for single streams.
    """

    def __init__(self, service: StreamService, answerPage: PageAnswer, access: Access) -> None:
        super().__init__(service.viewers)
        self.maxBody = service.settings.nativeBody
        self._access = access
        self._service = service
        self._answerPage = answerPage

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: each name has a resource, whether or not a stream has it."""
        if not path:
            return self
        return NamedStream(self._service, self._answerPage, self._access, path.decode("utf-8", "replace"))

    async def GET(self, request: Request) -> bytes:
        """List the streams, the newest first, in pages."""
        principal = await self._access.requireList(request)
        query = readPage(request)
        limit, path = query.limit, readPath(request)
        # One more shows whether there is another page.
        more = query._replace(limit=limit + 1)
        streams = await findListed(self._service.store, self._service.clock, more, principal)
        following = None
        if len(streams) > limit:
            last = streams[limit - 1]
            following = f"{path}?{query.write(ListedPlace(last.created, last.name))}"
        page = [{**describeListed(stream), "url": f"{path}/{stream.name}"} for stream in streams[:limit]]
        return answerJSON(request, {"streams": page, "next": following})

    async def POST(self, request: Request) -> bytes:
        """Start a run into a new stream."""
        principal = await self._access.requireRun(request)
        source = self._service.source
        body = await readJSONObject(request, self._service.settings.nativeBody, self._service)
        prompt = readPrompt(body.members, source)
        if body.isLarge:
            # See `Completions.POST`.
            await awaitTurn(self._service.clock)
        if source.takesPrompt and prompt is None:
            raise makeMissing(body.members)
        key = readStartKey(request, "streams", principal)
        prefix, client = principal.runPrefix or "", identifyClient(request)
        streamLog = await self._service.startRun(
            prompt and body.mark(prompt), key, makeSummary(prompt), prefix=prefix, client=client
        )
        url = f"{readPath(request)}/{streamLog.name}"
        request.responseHeaders.setRawHeaders(b"Location", [url.encode("ascii")])
        return answerJSON(request, {"name": streamLog.name, "url": url}, CREATED)


class NamedStream(AsyncResource):
    """
    One stream: `/streams/NAME`.

    Args:
        service: See `StreamCollection`.
        answerPage: See `StreamCollection`.
        access: See `StreamCollection`.
        name: Name of the stream, which may not exist.
    """

    def __init__(self, service: StreamService, answerPage: PageAnswer, access: Access, name: str) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._service = service
        self._answerPage = answerPage
        self._name = name

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: the children are `cancel` and `links`."""
        if path == b"cancel":
            return StreamCancellation(self._service, self._access, self._name)
        if path == b"links":
            return StreamLinks(self._service, self._access, self._name)
        return NotFoundResource() if path else self

    async def GET(self, request: Request) -> bytes | Document | None:
        """Answer with the events of the stream, its state, its text so far, or its page."""
        try:
            principal = await self._access.identify(request)
        except Unauthorized as error:
            if readParameter(request, b"format") is not None or not prefersHTML(request):
                raise
            forgetTraceback(error)
            # The page asks for a key.
            request.setResponseCode(error.status)
            request.responseHeaders.setRawHeaders(b"WWW-Authenticate", [error.challenge.encode("ascii")])
            return self._answerPage(request, 2)
        form = readFormat(request, self._service)
        wanted = negotiate(request, (EVENT_STREAM, JSON, PLAIN_TEXT, HTML)) if form is None else EVENT_STREAM
        try:
            checkRight(principal, Right.READ, self._name)
            if wanted in {HTML, JSON}:
                stream = await self._service.describe(self._name)
                return self._answerPage(request, 2) if wanted == HTML else answerJSON(request, describeStream(stream))
            asked = readLastEventID(request)
            streamLog = await self._service.find(self._name, asked)
        except StoreUnavailable as unavailable:
            # A damaged stream stays so: to return later is no use.
            if wanted != EVENT_STREAM or isinstance(unavailable, StoreDamaged):
                raise
            forgetTraceback(unavailable)
            form = form or self._service.formats["events"]
            turnAway(request, form, self._service.settings.reconnectionTime, unavailable)
            return None
        except StreamNotFound as error:
            if wanted != HTML:
                raise
            forgetTraceback(error)
            # The page says so in words, for people.
            request.setResponseCode(error.status)
            return self._answerPage(request, 2)
        if wanted == PLAIN_TEXT:
            return answerText(request, streamLog)
        form = form or self._service.formats["events"]
        return followStream(self._service, request, streamLog, form, asked, principal)

    async def PUT(self, request: Request) -> bytes:
        """Open a named stream to publish into; a body is its first publish."""
        principal = await self._access.requireNew(request, self._name)
        self._service.ledger.clients.checkPublish(identifyClient(request))
        name, close = checkName(self._name), readStreamClosed(readHeader(request, b"stream-closed"))
        entries = await self._readEntries(request)
        if entries or close:
            stream, new = await openWith(self._service, name, entries, close, readKey(request, principal))
        else:
            stream, new = await self._service.open(name)
        if new:
            request.responseHeaders.setRawHeaders(b"Location", [readPath(request).encode("ascii")])
        return answerJSON(request, describeStream(stream), CREATED if new else OK)

    async def POST(self, request: Request) -> bytes:
        """Publish: append events or tokens, all or none."""
        principal = await self._access.require(request, Right.PUBLISH, self._name)
        self._service.ledger.clients.checkPublish(identifyClient(request))
        close = readStreamClosed(readHeader(request, b"stream-closed"))
        entries = await self._readEntries(request)
        if not entries and not close:
            raise BadRequest("The body has nothing to publish.")
        published = await self._service.publish(self._name, entries, close, readKey(request, principal))
        return answerEncoded(request, encodePublication(published))

    async def DELETE(self, request: Request) -> bytes:
        """Stop the stream and delete it."""
        await self._access.require(request, Right.DELETE, self._name)
        await self._service.delete(self._name)
        request.setResponseCode(NO_CONTENT)
        return b""

    async def _readEntries(self, request: Request) -> Sequence[NewEntry]:
        body = readBody(request, self._service.settings.nativeBody)
        return await readInTurns(readHeader(request, b"content-type") or "", body, self._service.clock)


class StreamCancellation(AsyncResource):
    """
    `/streams/NAME/cancel`.

    Args:
        service: See `StreamCollection`.
        access: See `StreamCollection`.
        name: Name of the stream, which may not exist.
    """

    def __init__(self, service: StreamService, access: Access, name: str) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._service = service
        self._name = name

    async def POST(self, request: Request) -> bytes:
        """Cancel the run, and keep its output. A stream that has ended stays as it is."""
        await self._access.require(request, Right.CANCEL, self._name)
        return answerJSON(request, describeStream(await self._service.cancel(self._name)))


def describeStream(stream: StreamDescription) -> dict[str, object]:
    """Describe the state of a stream. Sizes are bytes, times are seconds since 1970."""
    return {
        "name": stream.name,
        "epoch": stream.epoch,
        "published": stream.published,
        "question": stream.question or None,
        "state": stream.state.value,
        "first": stream.first,
        "last": stream.last,
        "entries": stream.last - stream.first + 1,
        "bytes": stream.size,
        "viewers": stream.viewers,
        "created": stream.created,
        "ended": stream.ended,
    }
