"""
The resource to mount: the page and the visitor's own stream, and below it the rest.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from twisted.web.http import NO_CONTENT
from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.apis.chat.completions import makeAPI, makeV1
from sseserver.apis.native.streams import Streams, watch
from sseserver.apis.page.page import Assets, Page
from sseserver.errors import BadRequest, Overloaded, StoreUnavailable
from sseserver.interfaces import IStreamLog
from sseserver.service.service import StreamService
from sseserver.streams.ids import parseID
from sseserver.values import Prompt
from sseserver.web.http import EVENT_STREAM, HTML, AsyncResource, Nothing, headersOnly, lastEventID, negotiate


class StreamResource(AsyncResource):
    """
    Everything that sseserver serves over HTTP: mount it anywhere.

    A visitor's C{GET} with C{Accept: text/event-stream} starts a run of the
    service's source; one with a browser's C{Accept} gets the page.

    Args:
        service: Runs sources and keeps streams. Starting and stopping it is
            its owner's affair.
        prompt: What the runs of visitors are asked, where the source takes a
            prompt; C{None}: they have none, and must ask by POST.
    """

    def __init__(self, service: StreamService, prompt: str | None = None) -> None:
        super().__init__()
        self._service = service
        self._prompt = Prompt(prompt) if prompt is not None and service.source.takesPrompt else None
        self._page = Page(service.source)
        self._children: dict[bytes, Resource] = {
            b"assets": Assets(),
            b"streams": Streams(service, self._page),
            b"v1": makeV1(service),
            b"api": makeAPI(service),
        }
        # The runs that were started here, by their epochs, as long as the store keeps them.
        self._started: WeakValueDictionary[str, IStreamLog] = WeakValueDictionary()

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Find what is below; the empty name is this resource, with a trailing slash."""
        return self._children.get(path) or (Nothing() if path else self)

    async def GET(self, request: Request) -> bytes | None:
        """Answer with the page, or with the visitor's own stream."""
        if negotiate(request, (HTML, EVENT_STREAM)) == HTML:
            return self._page(request, 0)
        if request.method == b"HEAD":
            headersOnly(request, self._service.formats["text"])
            return None
        asked = lastEventID(request)
        return await self._start(request) if asked is None else self._resume(request, asked)

    def _resume(self, request: Request, asked: str) -> bytes | None:
        """
        Go on with a run that was started here. Any other ID gets 204, and
        never a new run: a page that comes back after a restart shall say that
        its answer is lost instead of showing another.
        """
        parsed = parseID(asked)
        streamLog = self._started.get(parsed[0]) if parsed else None
        if streamLog is None:
            request.setResponseCode(NO_CONTENT)
            return b""
        return watch(self._service, request, streamLog, self._service.formats["text"])

    async def _start(self, request: Request) -> bytes | None:
        """Start a run for this visitor, unless there is no room for one more viewer."""
        if self._service.source.takesPrompt and self._prompt is None:
            raise BadRequest("This source needs a prompt: start a run by POST to streams.")
        try:
            streamLog = await self._service.startRun(self._prompt)
        except (Overloaded, StoreUnavailable):
            self._service.turnAway(request, self._service.formats["text"])
            return None
        self._started[streamLog.epoch] = streamLog
        return watch(self._service, request, streamLog, self._service.formats["text"])
