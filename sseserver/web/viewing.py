"""
Viewing a stream over HTTP: where a viewer starts, in which format, and when it gets 204 instead.

Shared by all APIs whose answers are streams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.http import NO_CONTENT
from twisted.web.server import Request

from sseserver.delivery.connection import isOver
from sseserver.delivery.counts import FINISHED
from sseserver.delivery.turnaway import turnAway
from sseserver.errors import BadRequest, Overloaded, RateLimited, ReadingUnfinished
from sseserver.formats.translation import TranslatedFormat, TranslatedRendering
from sseserver.interfaces import ANYONE, IFormat, IStreamLog, Principal
from sseserver.service.clients import identifyClient
from sseserver.service.service import StreamService
from sseserver.streams.ids import parseID
from sseserver.timing.turns import awaitTurn
from sseserver.tracebacks import forgetTraceback
from sseserver.values import StartingPlace, State
from sseserver.web.answers import answerHead
from sseserver.web.request import readParameter, readPath

#: Sets the headers of the page and returns its HTML, for a request and its depth: the number of
#: segments of its path below the mount point.
PageAnswer = Callable[[Request, int], bytes]


def readFormat(request: Request, service: StreamService) -> IFormat | None:
    """
    Read the parameter `format`.

    Args:
        request: Its URL may have the parameter.
        service: Has the formats.

    Returns:
        The format, or `None` if the client asked for none.

    Raises:
        BadRequest: There is no such format.
    """
    name = readParameter(request, b"format")
    if name is None:
        return None
    if name not in service.formats:
        raise BadRequest(f"There is no format {name!r}. The formats are: {', '.join(service.formats)}.")
    return service.formats[name]


def readFromNow(request: Request) -> bool:
    """
    Read the parameter `from`, and return whether it is `now`.

    Raises:
        BadRequest: It has another value.
    """
    value = readParameter(request, b"from")
    if value not in {None, "now"}:
        raise BadRequest("The only value of the parameter from is now.")
    return value is not None


def followStream(
    service: StreamService,
    request: Request,
    streamLog: IStreamLog,
    form: IFormat,
    asked: str | None,
    principal: Principal = ANYONE,
) -> bytes | None:
    """
    Let a request follow a stream from the entry after its last event ID.

    Args:
        service: Keeps the viewers.
        request: A GET or HEAD of the URL of the stream; HEAD starts no viewer.
        streamLog: The stream.
        form: Format of the response.
        asked: The last event ID of the client, from `readLastEventID`.
        principal: The client, which may read the stream. The response ends when its rights do.

    Returns:
        `None` if the response is finished, or is written by a producer from now on. An empty body,
        with the status 204, if the viewer has the terminal event already.

    Raises:
        BadRequest: A parameter is malformed.
        Overloaded: There is no room for another viewer, and the format has no other way to say so.
        RateLimited: The client has too many viewers, and the format has no other way to say so.
    """
    fromNow = readFromNow(request)
    if hasTerminal(streamLog, form, asked, fromNow):
        return answerFinished(service, request, asked)
    if request.method == b"HEAD":
        answerViewerHead(service, request, form)
        return None
    url = _findURL(request, streamLog)
    service.viewers.follow(request, streamLog, form, url, principal, StartingPlace(asked, fromNow))
    return None


def _findURL(request: Request, streamLog: IStreamLog) -> str:
    """Return the URL of the stream that a request follows, which is another one than its own at the mount point."""
    path = readPath(request)
    return path if path.endswith(streamLog.name) else f"{path.rstrip('/')}/streams/{streamLog.name}"


def answerFinished(service: StreamService, request: Request, asked: str | None) -> bytes:
    """
    Set the status 204: nothing follows what the viewer has. Return the empty body.

    Args:
        service: Counts the answers to viewers that return.
        request: Its response has not begun.
        asked: The last event ID of the client.
    """
    if asked is not None:
        service.viewers.counts.resumes.add(FINISHED)
    request.setResponseCode(NO_CONTENT)
    return b""


def answerViewerHead(service: StreamService, request: Request, form: IFormat) -> None:
    """
    Answer HEAD with the status and the headers that a viewer would get now (RFC 9110 section 9.3.2).

    Args:
        service: Keeps the viewers.
        request: Its response has not begun. The client may have disconnected.
        form: Format of the viewer.

    Raises:
        Overloaded: There is no room for a viewer, and the format has no other way to say so.
        RateLimited: The client has too many viewers, and the format has no other way to say so.
    """
    if isOver(request):
        return
    try:
        service.viewers.checkRoom(identifyClient(request))
    except (Overloaded, RateLimited) as refusal:
        turnAway(request, form, service.settings.reconnectionTime, refusal)
        forgetTraceback(refusal)
    else:
        answerHead(request, form)


def hasTerminal(streamLog: IStreamLog, form: IFormat, lastEventID: str | None, fromNow: bool = False) -> bool:
    """
    Tell whether a viewer has the terminal event of a stream, so that nothing will follow.

    Args:
        streamLog: The stream.
        form: Format of the viewer.
        lastEventID: The ID that the viewer sent, or `None`.
        fromNow: Whether a viewer without an ID starts at the end of the stream.
    """
    if lastEventID is None:
        return fromNow and streamLog.state is not State.OPEN
    parsed = parseID(lastEventID)
    if parsed is None:
        return False
    epoch, number = parsed
    if epoch != streamLog.epoch and number > streamLog.earlier.get(epoch, -1):
        return False
    return streamLog.findRendering(form).complete(number)


async def countEvents(service: StreamService, streamLog: IStreamLog, form: TranslatedFormat) -> TranslatedRendering:
    """
    Count the events of a stream, in several turns of the reactor if there are many.

    Args:
        service: Has the clock.
        streamLog: The stream.
        form: The format of the events.

    Returns:
        The rendering that has counted them: its `countEvents` and `findEvent` answer at once in this turn. A viewer
        that follows the stream before the caller drops it uses the same one.

    Raises:
        GapError: They cannot be counted, since entries are no longer kept.
    """
    while True:
        rendering: Any = streamLog.findRendering(form)
        try:
            rendering.countEvents()
        except ReadingUnfinished as unfinished:
            forgetTraceback(unfinished)
        else:
            found: TranslatedRendering = rendering
            return found
        await awaitTurn(service.clock)


def locateStream(request: Request, streamLog: IStreamLog, depth: int) -> str:
    """
    Name the stream of an answer in the header `Content-Location`.

    The client can then share and resume it.

    Args:
        request: A request to an API whose answers are streams.
        streamLog: The stream of the answer.
        depth: Number of segments of the request's path below the mount point.

    Returns:
        The URL of the stream.
    """
    url = f"{readPath(request).rsplit('/', depth)[0]}/streams/{streamLog.name}"
    request.responseHeaders.setRawHeaders(b"Content-Location", [url.encode("ascii")])
    return url


def tellOrigin(request: Request, streamLog: IStreamLog) -> None:
    """
    Name the upstream of an answer, and those that failed before it, in headers.

    It is known from the first token on; before, there are no headers.

    Args:
        request: Its response has not begun.
        streamLog: The stream of the answer.
    """
    origin = streamLog.origin
    if origin is not None:
        request.responseHeaders.setRawHeaders(b"X-Upstream", [origin.upstream.encode("ascii")])
        if origin.failed:
            request.responseHeaders.setRawHeaders(b"X-Upstream-Failed", [", ".join(origin.failed).encode("ascii")])
