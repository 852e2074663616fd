"""
`agui`: the token source as an agent of AG-UI.
"""

from __future__ import annotations

import json
from typing import cast

from twisted.web.server import Request

from sseserver.errors import BadRequest, GapError, StreamNotFound
from sseserver.formats import AGUIFormat
from sseserver.formats.rendering import describeGap
from sseserver.formats.translation import TranslatedRendering
from sseserver.interfaces import IStreamLog, Principal, Right
from sseserver.protocols.agui import RunRequest, checkRunID, packNames, parseEventID, readAgentInput, readNames
from sseserver.service.clients import identifyClient
from sseserver.service.opening import Opening
from sseserver.service.service import StreamService
from sseserver.streams.entries import unpack
from sseserver.tracebacks import forgetTraceback
from sseserver.values import Kind, StartingPlace, State
from sseserver.web.access.rights import Access
from sseserver.web.request import readHeader, readJSONObject, readLastEventID, readParameter, readPlace, readStartKey
from sseserver.web.resource import AsyncResource
from sseserver.web.viewing import answerFinished, answerViewerHead, countEvents, locateStream

#: The parameter `offset` for a run from its start.
_START = "-1"

_UNKNOWN = "The last event ID is none of this run."
_NAME_RUN = "Name the run: with the parameter runId, or with the header X-Run-Id."


class Agent(AsyncResource):
    """
    The resource `agui`: POST starts a run, or continues one after a last event ID; GET joins one.

    Args:
        service: The service that runs the token source and keeps the streams.
        access: Checks the rights of requests.
    """

    def __init__(self, service: StreamService, access: Access) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._service = service
        self._form = cast(AGUIFormat, service.formats["agui"])
        # The newest stream of each run, by its principal and the ID that the client gave the run.
        self._runs = service.keys.makeKept("agui")

    async def POST(self, request: Request) -> bytes | None:
        """Start a run; with a last event ID, continue the run that sent it."""
        principal = await self._access.requireRun(request)
        body = await readJSONObject(request, self._service.settings.modelBody, self._service)
        prompt, names = readAgentInput(body.members, self._service.source)
        names = names._replace(run=self._readRun(request) or names.run)
        asked = readLastEventID(request)
        if asked is None:
            streamLog = await self._start(request, principal, RunRequest(body.mark(prompt), names))
        else:
            streamLog = await self._findRun(principal, names.run, asked)
        return await self._follow(request, streamLog, asked, principal)

    async def GET(self, request: Request) -> bytes | None:
        """
        Follow a run from its start, or after a last event ID.

        Raises:
            BadRequest: The request names no run, or has a malformed parameter.
        """
        principal = await self._access.identify(request)
        run = self._readRun(request)
        if run is None:
            raise BadRequest(_NAME_RUN)
        asked, offset = readLastEventID(request), readPlace(request, b"offset")
        if asked is None and offset not in {None, _START}:
            asked = offset
        streamLog = await self._findRun(principal, run, asked)
        return await self._follow(request, streamLog, asked, principal)

    def _readRun(self, request: Request) -> str | None:
        """Return the run that a request names beside its body."""
        header = readHeader(request, b"x-run-id")
        if header:
            return checkRunID(header, "X-Run-Id")
        run = readParameter(request, b"runId")
        return None if run is None else checkRunID(run, "runId")

    async def _start(self, request: Request, principal: Principal, asked: RunRequest) -> IStreamLog:
        """Start a run, or join the run of the same idempotency key."""
        key, prefix = readStartKey(request, "agui", principal), principal.runPrefix or ""
        client, opening = identifyClient(request), Opening(packNames(asked.names))
        streamLog = await self._service.startRun(
            asked.prompt, key, viewed=True, prefix=prefix, client=client, opening=opening
        )
        await self._runs.add(_makeKey(principal, asked.names.run), streamLog)
        return streamLog

    async def _findRun(self, principal: Principal, run: str, asked: str | None) -> IStreamLog:
        """
        Return the stream of a run. After a restart of the server its name may be known, or that in the last event ID.

        Raises:
            StreamNotFound: There is none, or the client may not read it.
        """
        try:
            streamLog = await self._runs.find(_makeKey(principal, run))
        except StreamNotFound as missing:
            forgetTraceback(missing)
        else:
            if principal.allows(Right.READ, streamLog.name):
                return streamLog
            raise StreamNotFound(run)
        parsed = None if asked is None else parseEventID(asked)
        for name in (run,) if parsed is None else (run, parsed[0]):
            found = await self._findStream(principal, name)
            if found is not None and run in {name, _readRunID(found)}:
                return found
        raise StreamNotFound(run)

    async def _findStream(self, principal: Principal, name: str) -> IStreamLog | None:
        """Return the stream of a name, if the client may read it and a run writes it."""
        if not principal.allows(Right.READ, name):
            return None
        try:
            streamLog = await self._service.find(name)
        except StreamNotFound as missing:
            forgetTraceback(missing)
            return None
        return None if streamLog.published else streamLog

    async def _follow(
        self, request: Request, streamLog: IStreamLog, asked: str | None, principal: Principal
    ) -> bytes | None:
        """
        Let a request follow a run.

        Args:
            request: Its response has not begun.
            streamLog: The stream of the run.
            asked: The last event ID of the client.
            principal: The client.

        Returns:
            `None` if the response is written by a producer; an empty body, with the status 204, if nothing follows.
        """
        url = locateStream(request, streamLog, 1)
        if asked is None:
            place = StartingPlace()
        else:
            # The reference keeps the rendering for the viewer.
            rendering = await self._count(streamLog)
            number = _findEvent(rendering, streamLog, asked)
            if number == rendering.countEvents() and streamLog.state is not State.OPEN:
                return answerFinished(self._service, request, asked)
            place = StartingPlace(events=number)
        if request.method == b"HEAD":
            answerViewerHead(self._service, request, self._form)
        else:
            self._service.viewers.follow(request, streamLog, self._form, url, principal, place)
        return None

    async def _count(self, streamLog: IStreamLog) -> TranslatedRendering:
        """
        Return the rendering of a run, which has counted its events.

        Raises:
            BadRequest: The events cannot be counted.
        """
        try:
            return await countEvents(self._service, streamLog, self._form)
        except GapError as gap:
            raise _refuse(gap) from None


def _findEvent(rendering: TranslatedRendering, streamLog: IStreamLog, asked: str) -> int:
    """
    Return the number of events that a client has.

    Args:
        rendering: It has counted the events.
        streamLog: The stream of the run.
        asked: The last event ID of the client.

    Raises:
        BadRequest: It is no ID of an event of this run, or what follows replaces that event.
    """
    parsed = parseEventID(asked)
    if parsed is None:
        raise BadRequest("The last event ID is none of an AG-UI run. Those of other formats count something else.")
    epoch, number = parsed
    limit = streamLog.last if epoch == streamLog.epoch else streamLog.earlier.get(epoch, -1)
    try:
        if limit >= 0 and rendering.findEvent(number).cursor <= limit:
            return number
    except GapError as gap:
        raise _refuse(gap) from None
    raise BadRequest(_UNKNOWN)


def _refuse(gap: GapError) -> BadRequest:
    """Return the error for an event after which a run cannot be continued."""
    if gap.reason == "restarted":
        return BadRequest("The run has begun anew after this event. Join it without a last event ID.")
    if gap.reason == "trimmed":
        return BadRequest(f"{describeGap(gap).partition('.')[0]}: the run cannot be continued.")
    return BadRequest(_UNKNOWN)


def _readRunID(streamLog: IStreamLog) -> str | None:
    """Return the ID that a client gave a run, if its stream still begins with it."""
    buffer = streamLog.buffer
    if buffer.first != 1 or not streamLog.last or buffer.kind(1) != Kind.INPUT:
        return None
    names = readNames(json.loads(unpack(buffer.entry(1))[0]))
    return None if names is None else names.run


def _makeKey(principal: Principal, run: str) -> str:
    """Return the key of a run. Clients choose the IDs; those of two principals have nothing to do with each other."""
    return f"{principal.name} {run}" if principal.name else run
