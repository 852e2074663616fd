"""
The mount point `/`: the page, and for an `EventSource` a run of the visitor's own.
"""

from __future__ import annotations

from twisted.web.server import Request

from sseserver.apis.page.page import Page
from sseserver.delivery.connection import isOver
from sseserver.delivery.turnaway import turnAway
from sseserver.errors import (
    BadRequest,
    Forbidden,
    Overloaded,
    RateLimited,
    StoreDamaged,
    StoreUnavailable,
    StreamNotFound,
)
from sseserver.interfaces import IFormat, Principal, Right
from sseserver.service.clients import identifyClient
from sseserver.service.service import StreamService
from sseserver.streams.ids import parseID
from sseserver.tracebacks import forgetTraceback
from sseserver.values import Prompt
from sseserver.web.accept import EVENT_STREAM, HTML, negotiate
from sseserver.web.access.gate import Gate
from sseserver.web.access.rights import Access, checkRight
from sseserver.web.request import readLastEventID
from sseserver.web.resource import AsyncResource
from sseserver.web.viewing import answerFinished, answerViewerHead, followStream, readFormat


class Visitor(AsyncResource):
    """
    The page, and a run for each visitor that asks for an event stream.

    Args:
        service: Runs the token source and keeps the streams.
        page: The page.
        access: Checks the rights of requests.
        prompt: Prompt of the runs, if the source takes prompts; see `StreamResource`.
        gate: Checks the page that sends a request.
    """

    def __init__(self, service: StreamService, page: Page, access: Access, prompt: str | None, gate: Gate) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._gate = gate
        self._service = service
        self._prompt = Prompt(prompt) if prompt is not None and service.source.takesPrompt else None
        self._page = page
        # The runs started here, by their epochs.
        self._started = service.keys.makeKept("visitors")

    async def GET(self, request: Request) -> bytes | None:
        """Answer with the page, or with the visitor's own stream; with `format` always with the stream."""
        form = readFormat(request, self._service)
        if form is None and negotiate(request, (HTML, EVENT_STREAM)) == HTML:
            return self._page.answer(request, 0)
        # A page of another site could start runs without being able to read them.
        self._gate.checkPage(request)
        form = form or self._service.formats["text"]
        asked = readLastEventID(request)
        if asked is None:
            return await self._startRun(request, form, await self._access.requireRun(request))
        return await self._resumeRun(request, form, asked, await self._access.identify(request))

    async def _resumeRun(self, request: Request, form: IFormat, asked: str, principal: Principal) -> bytes | None:
        """
        Continue a run that was started here.

        Any other ID gets 204, and never a new run: a page that reconnects after a restart of the
        server reports that its answer is lost, instead of showing another one.
        """
        parsed = parseID(asked)
        try:
            streamLog = await self._started.find(parsed[0] if parsed else "")
            checkRight(principal, Right.READ, streamLog.name)
            streamLog = await self._service.find(streamLog.name, asked)
        except (Forbidden, StreamNotFound, StoreDamaged) as missing:
            forgetTraceback(missing)
            return answerFinished(self._service, request, asked)
        except StoreUnavailable as unavailable:
            forgetTraceback(unavailable)
            turnAway(request, form, self._service.settings.reconnectionTime)
            return None
        return followStream(self._service, request, streamLog, form, asked, principal)

    async def _startRun(self, request: Request, form: IFormat, principal: Principal) -> bytes | None:
        """Start a run for this visitor, or tell the visitor to return when there is room."""
        if self._service.source.takesPrompt and self._prompt is None:
            raise BadRequest("This token source needs a prompt. Start a run with POST /streams.")
        if request.method == b"HEAD":
            answerViewerHead(self._service, request, form)
            return None
        try:
            streamLog = await self._service.startRun(
                self._prompt, viewed=True, prefix=principal.runPrefix or "", client=identifyClient(request)
            )
        except (Overloaded, RateLimited, StoreUnavailable) as refusal:
            forgetTraceback(refusal)
            if isOver(request):
                # The visitor has left while the store was trying.
                return None
            turnAway(request, form, self._service.settings.reconnectionTime, refusal)
            return None
        await self._started.add(streamLog.epoch, streamLog)
        return followStream(self._service, request, streamLog, form, None, principal)
