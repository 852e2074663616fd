"""
Opening of an event stream: one request within its time limit, and the decision about its response.

`EventSource` calls `openStream` for each request.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import NamedTuple, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from sseserver.client.bodies import dropResponse, readBodyStart
from sseserver.client.errors import ConnectTimeout, SilenceTimeout, StatusError, WrongContentCoding, WrongContentType
from sseserver.client.limits import Limits
from sseserver.client.request import EVENT_STREAM, Answer, Request, ask
from sseserver.timing.patience import addPatientTimeout

#: Characters. Limit of the server's message in the text of an error.
MAX_MESSAGE = 300


class OpenedStream(NamedTuple):
    """
    Event stream whose body can be read.

    Attributes:
        response: The response.
        url: URL for the next request.
        firstTimeout: Seconds left for the first byte of the body; `None` if `Limits.firstTimeout` is.
    """

    response: IResponse
    url: str
    firstTimeout: float | None


async def openStream(
    clock: IReactorTime, agent: IAgent, request: Request, limits: Limits, retried: Collection[int]
) -> OpenedStream | None:
    """
    Send a request and decide about its response (WHATWG HTML 9.2.2 and 9.2.3).

    Args:
        clock: Measures the limits.
        agent: Sends the request.
        request: The request.
        limits: Limits for the head of the response.
        retried: Statuses after which the request is retried; the bodies of such responses are not read.

    Returns:
        The event stream, or `None` after 204, with which a server ends the stream for good.

    Raises:
        ConnectionFailed: There is no response.
        SilenceTimeout: There is no response within `Limits.firstTimeout`.
        ResponseRefused: The response is not an event stream.
    """
    deadline = clock.seconds() + limits.headTimeout
    response, url = await _askInTime(clock, agent, request, limits)
    status = response.code
    contentType = readContentType(response.headers)
    coding = readContentCoding(response.headers)
    if status == 200 and contentType == EVENT_STREAM and not coding:
        left = None if limits.firstTimeout is None else max(deadline - clock.seconds(), 0.0)
        return OpenedStream(response, url, left)
    if status == 204:
        return None
    if status == 200 and contentType == EVENT_STREAM:
        dropResponse(response)
        message = f"The event stream is compressed ({coding}), although that was not asked for."
        raise WrongContentCoding(message, status, response.headers)
    if status in retried:
        dropResponse(response)
        body = b""
    else:
        body = await readBodyStart(clock, response)
    if status == 200:
        message = f"The content type is {contentType or 'missing'}, not {EVENT_STREAM}."
        raise WrongContentType(message, status, response.headers, body)
    raise StatusError(f"The server answered {status}{_quote(body)}.", status, response.headers, body)


def _quote(body: bytes) -> str:
    """
    Return the message of an error in JSON, such as those of this package's server, after a colon; `""` without one.

    Args:
        body: Start of the body of a refusal.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if isinstance(found, dict):
        found = found.get("error") or found
    if isinstance(found, dict):
        found = found.get("message")
    if not isinstance(found, str):
        return ""
    # The body is foreign: no control character of it reaches a terminal or a log.
    start = found.strip()[:MAX_MESSAGE].removesuffix(".")
    text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in start)
    return text and f": {text}"


def _askInTime(clock: IReactorTime, agent: IAgent, request: Request, limits: Limits) -> Deferred[Answer]:
    """Send a request; cancel it if the response is late."""

    def raiseTimeout(seconds: float) -> NoReturn:
        if limits.firstTimeout is None:
            raise ConnectTimeout(f"There was no response within {seconds:g} seconds.")
        raise SilenceTimeout(f"No byte was received for {seconds:g} seconds.")

    asked = Deferred.fromCoroutine(ask(agent, request))
    return addPatientTimeout(asked, clock, limits.headTimeout, raiseTimeout)


def readContentType(headers: Headers) -> str:
    """Return the content type of a response, without parameters and in lower case; `""` if there is none."""
    value = headers.getRawHeaders(b"Content-Type", [b""])[-1]
    return value.decode("latin-1").partition(";")[0].strip("\t\n\r ").lower()


def readContentCoding(headers: Headers) -> str:
    """Return the coding of a response (RFC 9110, 8.4) in lower case; `""` for `identity` or none."""
    value = headers.getRawHeaders(b"Content-Encoding", [b""])[-1].decode("latin-1").strip().lower()
    return "" if value == "identity" else value
