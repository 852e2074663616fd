"""
What all resources share: negotiation, parameters, answers in JSON, errors.

An L{AsyncResource} is written as coroutines that return the body of the answer or
raise an L{SSEServerError}; here that becomes HTTP, and nothing else ever
reaches a client: no traceback, no HTML in an event stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from functools import lru_cache, partial
from http import HTTPStatus
from types import coroutine
from typing import Any, TypeVar
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES, OK
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sseserver.apis.native.publishing import checkKey
from sseserver.delivery.producer import writeHeaders
from sseserver.delivery.sockets import isOver
from sseserver.errors import (
    BadRequest,
    BodyTooLarge,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    SSEServerError,
)
from sseserver.interfaces import IFormat
from sseserver.jsontext import readJSON as readJSONText
from sseserver.jsontext import toJSON

T = TypeVar("T")

log = Logger()

#: Bytes of a request's body.
MAX_BODY = 1024 * 1024


#: The media types that the resources offer.
HTML = "text/html"
EVENT_STREAM = "text/event-stream"
JSON = "application/json"
PLAIN = "text/plain"


#: The methods that a resource can have; it has HEAD when it has GET.
_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD")


class AsyncResource(Resource):
    """
    A resource whose methods are coroutines: C{async def GET(self, request)}.

    A method returns the body to be written (C{bytes}), or C{None} when the
    response is written elsewhere. What it raises is answered in JSON. HEAD is
    given to GET, which must start nothing then; its body is left out.
    """

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Nothing is below, but the same with a trailing slash."""
        return Nothing() if path else self

    def render(self, request: Request) -> Any:
        """Start the coroutine for the request's method."""
        answering = self._answer(request)
        try:
            # Most wait for nothing, and need no Deferred.
            waited = answering.send(None)
        except StopIteration:
            return NOT_DONE_YET
        except Exception:
            self._broken(Failure(), request)
            return NOT_DONE_YET
        Deferred.fromCoroutine(_rest(answering, waited)).addErrback(self._broken, request)
        return NOT_DONE_YET

    def allowed(self) -> list[str]:
        """Name the methods that this resource knows."""
        return [name for name in _METHODS if hasattr(self, "GET" if name == "HEAD" else name)]

    async def _answer(self, request: Request) -> None:
        try:
            body = await self._method(request)
        except SSEServerError as error:
            body = errorBody(request, error)
        if body is not None:
            finish(request, body)

    def _method(self, request: Request) -> Coroutine[Any, Any, bytes | None]:
        name = request.method.decode("ascii", "replace")
        method: Callable[[Request], Coroutine[Any, Any, bytes | None]] | None = None
        if name in _METHODS:
            method = getattr(self, "GET" if name == "HEAD" else name, None)
        if method is None:
            request.responseHeaders.setRawHeaders(b"Allow", [", ".join(self.allowed()).encode("ascii")])
            raise MethodNotAllowed(f"The method {name} is not known here.")
        return method(request)

    def _broken(self, failure: Failure, request: Request) -> None:
        """Something unforeseen: for the log, not for the client."""
        log.failure("A request could not be answered", failure)
        if request.startedWriting:
            request.loseConnection()
        else:
            finish(request, errorBody(request, SSEServerError("The server failed to answer this request.")))


@coroutine
def _rest(begun: Coroutine[Any, Any, None], waited: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that waits already."""
    while True:
        try:
            result = yield waited
        except GeneratorExit:
            # It was forgotten while it waited, and what it goes on with may be gone before it.
            begun.close()
            raise
        except BaseException as problem:
            step = partial(begun.throw, problem)
        else:
            step = partial(begun.send, result)
        try:
            waited = step()
        except StopIteration:
            return


class Nothing(AsyncResource):
    """
    What is not there, though something may be below it.

    Args:
        children: What is below, by name.
    """

    def __init__(self, children: Mapping[bytes, Resource] | None = None) -> None:
        super().__init__()
        self._children = children or {}

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Find what is below."""
        return self._children.get(path) or Nothing()

    async def GET(self, request: Request) -> bytes:
        """Say so."""
        raise NotFound("There is nothing at this address.")

    POST = PUT = DELETE = GET


def finish(request: Request, body: bytes) -> None:
    """Answer with a whole body; to a client that is gone, not at all."""
    if isOver(request):
        return
    if request.code in NO_BODY_CODES:
        request.responseHeaders.removeHeader(b"Content-Type")
    else:
        request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
    request.write(body)
    request.finish()


def headersOnly(request: Request, form: IFormat) -> None:
    """Answer HEAD for an event stream; starts nothing."""
    if isOver(request):
        return
    writeHeaders(request, form)
    request.write(b"")
    request.finish()


def errorBody(request: Request, error: SSEServerError) -> bytes:
    """Set an error's status and headers, and make its body: the shape that OpenAI's clients read."""
    if error.retryAfter is not None:
        request.responseHeaders.setRawHeaders(b"Retry-After", [b"%d" % error.retryAfter])
    return answerJSON(request, _described(error), error.status)


def errorJSON(error: SSEServerError) -> bytes:
    """Make an error's body, where there is no answer to set headers of."""
    return toJSON(_described(error), spaced=True) + b"\n"


def _described(error: SSEServerError) -> dict[str, object]:
    param = {} if error.param is None else {"param": error.param}
    return {"error": {"message": str(error), "type": error.type, **param, "code": error.code}}


def answerJSON(request: Request, value: object, status: int = OK) -> bytes:
    """Set status and type for an answer in JSON, and make its body."""
    # twisted.web knows no phrase for the newer ones.
    request.setResponseCode(status, HTTPStatus(status).phrase.encode("ascii"))
    setContentType(request, JSON)
    return toJSON(value, spaced=True) + b"\n"


def setContentType(request: Request, contentType: str) -> None:
    """Set the type of an answer that is neither to be guessed at nor to be kept by caches."""
    headers = request.responseHeaders
    headers.setRawHeaders(b"Content-Type", [contentType.encode("ascii")])
    headers.setRawHeaders(b"X-Content-Type-Options", [b"nosniff"])
    headers.setRawHeaders(b"Cache-Control", [b"no-store"])


def parameter(request: Request, name: bytes) -> str | None:
    """
    Read a parameter of the query; the last one, where there are several.

    Returns:
        Its value, `None` when it is missing or empty.

    Raises:
        BadRequest: It is not UTF-8.
    """
    values = request.args.get(name)
    try:
        return (values[-1].decode("utf-8") or None) if values else None
    except UnicodeDecodeError:
        raise BadRequest(f"The parameter {name.decode('ascii')} is not UTF-8.") from None


def lastEventID(request: Request) -> str | None:
    """
    Read the last event ID that a viewer comes back with.

    The header wins: the parameter stands in the URL for ever, and would
    replay the same events at each reconnect. What is not UTF-8 is no ID of
    ours and needs no error of its own.
    """
    header = request.getHeader(b"last-event-id")
    return header.decode("utf-8", "replace") if header else parameter(request, b"last_event_id")


def readBody(request: Request) -> bytes:
    """
    Read the whole body.

    Raises:
        BodyTooLarge: It has more than L{MAX_BODY} bytes. L{StreamSite} refuses
            it before it is read; on another site it is refused here.
    """
    assert request.content is not None
    body: bytes = request.content.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise BodyTooLarge(f"The body has more than {MAX_BODY} bytes.")
    return body


def header(request: Request, name: bytes) -> str | None:
    """Read a header; C{None} when it is missing. What is not ASCII comes out as what is not allowed anywhere."""
    value = request.getHeader(name)
    return None if value is None else value.decode("ascii", "replace")


def readJSON(request: Request, shape: type[T]) -> T:
    """
    Read a body in JSON into a typed value; an empty body is an empty object.

    Raises:
        BodyTooLarge: It has more than L{MAX_BODY} bytes.
        BadRequest: It is not JSON, or not of that shape.
    """
    return readJSONText(readBody(request) or b"{}", shape)


def path(request: Request) -> str:
    """Give the path of the resource that is rendered, without a trailing slash."""
    return "/" + "/".join(quote(segment, safe="") for segment in request.prepath or () if segment)


def idempotencyKey(request: Request) -> str | None:
    """
    Read the header C{Idempotency-Key}.

    Raises:
        BadRequest: It is not a key.
    """
    key = header(request, b"idempotency-key")
    return None if key is None else checkKey(key)


def negotiate(request: Request, offers: Sequence[str]) -> str:
    """
    Choose the media type that the client likes best (RFC 9110 12.5.1).

    Args:
        request: Its answer gets C{Vary: Accept}.
        offers: Media types, the one for clients that do not care first.

    Returns:
        One of the offers. Of equals, the one that the client named more
        precisely, then the earlier one.

    Raises:
        NotAcceptable: The client excludes all of them.
    """
    request.responseHeaders.setRawHeaders(b"Vary", [b"Accept"])
    best = _choose(b",".join(request.requestHeaders.getRawHeaders(b"accept", ())), tuple(offers))
    if best is None:
        raise NotAcceptable(f"There is {', '.join(offers)} here; the Accept header wants none of them.")
    return best


@lru_cache(64)
def _choose(accept: bytes, offers: tuple[str, ...]) -> str | None:
    """Choose for an Accept header; there are few of them, since there are few browsers."""
    ranges = _ranges(accept.decode("latin-1")) if accept.strip() else {"*/*": 1.0}
    best = max(offers, key=lambda offer: _quality(ranges, offer))
    return best if _quality(ranges, best)[0] > 0 else None


def _ranges(accept: str) -> dict[str, float]:
    """
    Read an Accept header: the weight of each media range. Parameters other
    than the weight are passed over, as is what cannot be read.
    """
    ranges = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [piece[2:].strip() for piece in parameters if piece[:2].lower() == "q="]
        # qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )          RFC 9110 12.4.2
        if name and all(re.fullmatch(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)", weight) for weight in weights):
            ranges[name.lower()] = float(weights[0]) if weights else 1.0
    return ranges


def _quality(ranges: dict[str, float], offer: str) -> tuple[float, int]:
    """Weigh an offer by the most precise range that holds it; and say how precise that is."""
    for precision, name in ((2, offer), (1, offer.partition("/")[0] + "/*"), (0, "*/*")):
        if name in ranges:
            return ranges[name], precision
    return 0.0, 0
