"""
`streams`: start a run, or publish; watch it, stop it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.http import CREATED, NO_CONTENT, OK
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.apis.native.publishing import checkName, readEntries
from sseserver.errors import BadRequest, StreamNotFound
from sseserver.interfaces import IFormat, IStreamLog
from sseserver.protocols.prompts import readPrompt
from sseserver.service.service import StreamService
from sseserver.streams.ids import parseID
from sseserver.values import State
from sseserver.web.http import (
    EVENT_STREAM,
    HTML,
    JSON,
    PLAIN,
    AsyncResource,
    Nothing,
    answerJSON,
    header,
    headersOnly,
    idempotencyKey,
    lastEventID,
    negotiate,
    parameter,
    path,
    readBody,
    readJSON,
    setContentType,
)


class Streams(AsyncResource):
    """
    All streams.

    Args:
        service: Runs and keeps them.
        page: Makes the page for a stream: of the request and its depth below the mount point.
    """

    def __init__(self, service: StreamService, page: Callable[[Request, int], bytes]) -> None:
        super().__init__()
        self._service = service
        self._page = page

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Find a stream; whether it is there shows when it is rendered."""
        return Stream(self._service, self._page, path.decode("utf-8", "replace")) if path else self

    async def POST(self, request: Request) -> bytes:
        """Start a run into a new stream."""
        source = self._service.source
        prompt = readPrompt(readJSON(request, dict[str, Any]), source)
        if source.takesPrompt and prompt is None:
            raise BadRequest("This source needs a prompt: send a JSON object with the member prompt, or messages.")
        streamLog = await self._service.startRun(prompt, idempotencyKey(request))
        url = f"{path(request)}/{streamLog.name}"
        request.responseHeaders.setRawHeaders(b"Location", [url.encode("ascii")])
        return answerJSON(request, {"name": streamLog.name, "url": url}, CREATED)


class Stream(AsyncResource):
    """One stream, by its name."""

    def __init__(self, service: StreamService, page: Callable[[Request, int], bytes], name: str) -> None:
        super().__init__()
        self._service = service
        self._page = page
        self._name = name

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Only `cancel` is below a stream."""
        if path == b"cancel":
            return Cancel(self._service, self._name)
        return Nothing() if path else self

    async def GET(self, request: Request) -> bytes | None:
        """Follow the stream, or read its state, its text so far, or its page."""
        form = requestedFormat(self._service, request)
        wanted = negotiate(request, (EVENT_STREAM, JSON, PLAIN, HTML)) if form is None else EVENT_STREAM
        try:
            streamLog = await self._service.find(self._name)
        except StreamNotFound as error:
            if wanted != HTML:
                raise
            # The page itself says in words what a browser would show as JSON.
            request.setResponseCode(error.status)
            return self._page(request, 2)
        if wanted == HTML:
            return self._page(request, 2)
        if wanted == JSON:
            return answerJSON(request, state(streamLog))
        if wanted == PLAIN:
            return text(request, streamLog)
        return watch(self._service, request, streamLog, form or self._service.formats["events"])

    async def PUT(self, request: Request) -> bytes:
        """Open a named stream to publish into."""
        streamLog, new = await self._service.open(checkName(self._name))
        if new:
            request.responseHeaders.setRawHeaders(b"Location", [path(request).encode("ascii")])
        return answerJSON(request, state(streamLog), CREATED if new else OK)

    async def POST(self, request: Request) -> bytes:
        """Publish: append events or tokens, all or none."""
        close = closes(request)
        entries = readEntries(header(request, b"content-type") or "", readBody(request))
        if not entries and not close:
            raise BadRequest("There is nothing to publish in the body.")
        streamLog, first, last = await self._service.publish(self._name, entries, close, idempotencyKey(request))
        ids = [f"{streamLog.epoch}-{number}" for number in range(first, last + 1)]
        return answerJSON(request, {"ids": ids})

    async def DELETE(self, request: Request) -> bytes:
        """Stop the stream and forget it."""
        await self._service.delete(self._name)
        request.setResponseCode(NO_CONTENT)
        return b""


class Cancel(AsyncResource):
    """Stops a stream's run."""

    def __init__(self, service: StreamService, name: str) -> None:
        super().__init__()
        self._service = service
        self._name = name

    async def POST(self, request: Request) -> bytes:
        """Stop the run; what was produced is kept. Answers the state, also when it had ended before."""
        return answerJSON(request, state(await self._service.cancel(self._name)))


def requestedFormat(service: StreamService, request: Request) -> IFormat | None:
    """
    Read the parameter `format`.

    Raises:
        BadRequest: There is no such format.
    """
    name = parameter(request, b"format")
    if name is None:
        return None
    if name not in service.formats:
        raise BadRequest(f"There is no format {name!r}; there are {', '.join(service.formats)}.")
    return service.formats[name]


def startsNow(request: Request) -> bool:
    """
    Read the parameter C{from}.

    Raises:
        BadRequest: It is not C{now}.
    """
    value = parameter(request, b"from")
    if value not in {None, "now"}:
        raise BadRequest("The parameter from can only be now.")
    return value is not None


def closes(request: Request) -> bool:
    """
    Read the header C{Stream-Closed}.

    Raises:
        BadRequest: It is neither C{true} nor C{false}.
    """
    value = (header(request, b"stream-closed") or "false").strip().lower()
    if value not in {"true", "false"}:
        raise BadRequest("The header Stream-Closed is true or false.")
    return value == "true"


def watch(service: StreamService, request: Request, streamLog: IStreamLog, form: IFormat) -> bytes | None:
    """
    Let a request follow a stream, from where its last event ID says.

    Returns:
        `None` when the response belongs to a producer now, or is finished;
        an empty body with the status 204 when the viewer has the end already.
    """
    asked, fromNow = lastEventID(request), startsNow(request)
    if request.method == b"HEAD":
        headersOnly(request, form)
        return None
    if hasAll(streamLog, form, asked, fromNow):
        request.setResponseCode(NO_CONTENT)
        return b""
    service.view(request, streamLog, form, path(request), asked, fromNow)
    return None


def hasAll(streamLog: IStreamLog, form: IFormat, lastEventID: str | None, fromNow: bool = False) -> bool:
    """
    Whether a viewer has the end already: then it is answered 204.

    Args:
        lastEventID: What it comes back with, if it does.
        fromNow: Whether else it wants only what comes from now on.
    """
    if lastEventID is None:
        return fromNow and streamLog.state is not State.OPEN
    parsed = parseID(lastEventID)
    if parsed is None or parsed[0] != streamLog.epoch:
        return False
    return streamLog.rendering(form).complete(parsed[1])


def state(streamLog: IStreamLog) -> dict[str, object]:
    """Describe a stream. Sizes are bytes, times are seconds since 1970."""
    return {
        "name": streamLog.name,
        "epoch": streamLog.epoch,
        "state": streamLog.state.value,
        "first": streamLog.first,
        "last": streamLog.last,
        "entries": streamLog.last - streamLog.first + 1,
        "bytes": streamLog.measure(streamLog.first, streamLog.last),
        "viewers": streamLog.viewers,
        "created": streamLog.created,
        "ended": streamLog.ended,
    }


def text(request: Request, streamLog: IStreamLog) -> bytes:
    """Answer with the text so far; C{Stream-Gap} says how many entries were trimmed before it."""
    setContentType(request, "text/plain; charset=utf-8")
    if streamLog.first > 1:
        request.responseHeaders.setRawHeaders(b"Stream-Gap", [b"%d" % (streamLog.first - 1)])
    # Only what is visible: the rest a crash could take back.
    return streamLog.text(streamLog.first, streamLog.last)
