"""
Opening of an answer: one request to an upstream, and the decision what its response is.

`UpstreamSource` sends each request with `openAnswer`; `UpstreamAnswer` reads the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IAgent, IResponse

from sseserver.client import Request, StatusError, WrongContentType
from sseserver.client.bodies import dropResponse, readBodyStart
from sseserver.client.opening import readContentCoding, readContentType
from sseserver.client.request import EVENT_STREAM, ask
from sseserver.errors import SourceError
from sseserver.options import defaultOf
from sseserver.options.types import AUTO
from sseserver.values import Reason

#: Seconds that a JSON document may take after the head of its response.
DOCUMENT_SECONDS = 60.0

#: Member of a request that some servers refuse.
OPTIONAL = "stream_options"
_QUOTED = b'"stream_options"'

#: Statuses with which they do.
_REFUSALS = frozenset({400, 422})

#: Content types of pages, which a proxy or a wrong URL answers with.
_PAGES = frozenset({"text/html", "application/xhtml+xml"})


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """
    Limits of an `UpstreamSource`: times, sizes, models, protocols.

    Args:
        connectTimeout: Seconds for the connection. `Connections` that are passed to the source have their own limit.
        firstTokenTimeout: Seconds from the start of a run to the first chunk.
        tokenTimeout: Seconds from one chunk to the next. Comments do not count as chunks. The time does not run while
            the run is paused.
        maxChunkBytes: Bytes of the largest chunk, and of an answer in one JSON document.
        pinModel: Whether a prompt that names another model than the one of the source is refused.
        api: Protocol of the upstream: `chat`, `responses`, or `auto`, which asks for chat completions first.
    """

    connectTimeout: float = defaultOf("connect-timeout")
    firstTokenTimeout: float = defaultOf("first-token-timeout")
    tokenTimeout: float = defaultOf("token-timeout")
    maxChunkBytes: int = defaultOf("max-chunk")
    pinModel: bool = False
    api: str = AUTO


class JSONDocument(bytes):
    """The JSON of an answer that an upstream sent in one piece, instead of as an event stream."""


async def openAnswer(
    clock: IReactorTime, agent: IAgent, request: Request, limits: UpstreamLimits
) -> IResponse | JSONDocument:
    """
    Send a request for an answer.

    A request with the member `stream_options` that is refused is sent once more without it: an upstream that does not
    know the member cannot report the usage, but can answer.

    Args:
        clock: Measures the time of a body that is no event stream.
        agent: Sends the request.
        request: The request. Only the bytes of its body are kept until there is a response.
        limits: `maxChunkBytes` limits a document.

    Returns:
        A response whose body is an event stream that nobody has read yet, or a document.

    Raises:
        ConnectionFailed: There is no response.
        ResponseRefused: The status is not 200, or the response is a page.
        SourceError: The body is encoded, or there is none.
    """
    response, _ = await ask(agent, request)
    if response.code in _REFUSALS:
        other = _leaveOutOptions(request)
        if other is not None:
            dropResponse(response)
            response, _ = await ask(agent, other)
    contentType = readContentType(response.headers)
    if response.code == 204:
        dropResponse(response)
        raise SourceError("The upstream's answer is empty.", Reason.TRUNCATED)
    if response.code != 200:
        refusal = await readBodyStart(clock, response)
        raise StatusError(f"The server answered {response.code}.", response.code, response.headers, refusal)
    coding = readContentCoding(response.headers)
    if coding or contentType in _PAGES:
        dropResponse(response)
        if coding:
            message = "The upstream's answer has a content encoding that was not requested: "
            raise SourceError(f"{message}{ascii(coding)[1:50]}.", Reason.MALFORMED)
        raise WrongContentType(f"The content type is {contentType}.", response.code, response.headers)
    if "json" in contentType and EVENT_STREAM not in contentType:
        return JSONDocument(await readBodyStart(clock, response, limits.maxChunkBytes, DOCUMENT_SECONDS))
    # As OpenAI's clients do: whatever the content type, an upstream that was asked for an event stream sends one.
    return response


def _leaveOutOptions(request: Request) -> Request | None:
    """Return a request without the member `stream_options` in its body; `None` if there is no such member."""
    body = request.body or b""
    # Looked for first: to decode many megabytes takes long.
    if _QUOTED not in body:
        return None
    # Numbers stay as they were written: the members are not decoded.
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return None if members.pop(OPTIONAL, None) is None else replace(request, body=msgspec.json.encode(members))
