"""
Answering a request: JSON, errors, a complete body, or only the head.

Functions that return `bytes` set the status and the headers of the response, and return its body:
`AsyncResource` sends it. Event streams and large bodies are written by `delivery`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from html import escape
from http import HTTPStatus
from itertools import chain

from twisted.web.http import NO_BODY_CODES, OK
from twisted.web.server import Request

from sseserver.delivery.connection import isOver
from sseserver.delivery.document import STEP_BYTES, Document, cutBody
from sseserver.delivery.head import PROTECTION_LINES, protect, writeHeaders
from sseserver.errors import SSEServerError, Unauthorized
from sseserver.interfaces import IFormat
from sseserver.jsontext import toJSON
from sseserver.service.viewers import Viewers
from sseserver.web.accept import JSON, prefersHTML

#: Reason phrases of RFC 9110, which Python has from 3.13 on.
_NEW_PHRASES = {413: b"Content Too Large", 414: b"URI Too Long"}

#: The page of an error. It loads nothing but the icon of its site.
_ERROR_PAGE = """\
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>{status} {phrase}</title>
</head>
<body>
  <h1>{phrase}</h1>
  <p>{message}</p>
</body>
</html>
"""

_ERROR_PAGE_POLICY = b"default-src 'none'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def answerJSON(request: Request, value: object, status: int = OK) -> bytes:
    """
    Set the status and the media type of a JSON response, and return its body.

    Args:
        request: Its response has not begun.
        value: Any value that JSON can represent.
        status: HTTP status of the response.
    """
    return answerEncoded(request, _encode(value), status)


def answerEncoded(request: Request, body: bytes, status: int = OK) -> bytes:
    """
    Set the status and the media type of a JSON response, and return its body.

    Args:
        request: Its response has not begun.
        body: The JSON text.
        status: HTTP status of the response.
    """
    request.setResponseCode(status, _findPhrase(status))
    setContentType(request, JSON)
    return body


def answerLargeJSON(request: Request, pieces: Iterable[bytes]) -> Document:
    """
    Set the status and the media type of a JSON response, and return its body.

    Args:
        request: Its response has not begun.
        pieces: The JSON text.
    """
    setContentType(request, JSON)
    return Document(chain(pieces, (b"\n",)))


@lru_cache(64)
def _findPhrase(status: int) -> bytes:
    """Return the reason phrase of a status. twisted.web has none for the newer ones, and Python none for 499 or 520."""
    if status in _NEW_PHRASES:
        return _NEW_PHRASES[status]
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b"Client Error" if status < 500 else b"Server Error"


def answerError(request: Request, error: SSEServerError) -> bytes:
    """
    Set the status and the headers of an error, and return its body.

    A browser that opens a URL gets a page for people, every other client JSON.

    Args:
        request: Its response has not begun.
        error: The error to report.
    """
    setErrorHeaders(request, error)
    if request.method in {b"GET", b"HEAD"} and prefersHTML(request):
        return _answerErrorPage(request, error)
    return answerJSON(request, _describe(error), error.status)


def setErrorHeaders(request: Request, error: SSEServerError) -> None:
    """
    Set the header fields of an error, whatever its body looks like.

    Args:
        request: Its response has not begun.
        error: The error to report.
    """
    headers = request.responseHeaders
    if error.retryAfter is not None:
        headers.setRawHeaders(b"Retry-After", [b"%d" % error.retryAfter])
    if isinstance(error, Unauthorized):
        headers.setRawHeaders(b"WWW-Authenticate", [error.challenge.encode("ascii")])
    if error.final:
        # Clients of OpenAI and Anthropic would repeat the request after 408, 409, 429 and every status from 500 up.
        headers.setRawHeaders(b"x-should-retry", [b"false"])


def _answerErrorPage(request: Request, error: SSEServerError) -> bytes:
    phrase = _findPhrase(error.status)
    request.setResponseCode(error.status, phrase)
    setContentType(request, "text/html; charset=utf-8")
    request.responseHeaders.setRawHeaders(b"Content-Security-Policy", [_ERROR_PAGE_POLICY])
    page = _ERROR_PAGE.format(status=error.status, phrase=phrase.decode("ascii"), message=escape(str(error)))
    return page.encode("utf-8")


def encodeRefusal(error: SSEServerError) -> bytes:
    """Return the whole response for an error of a request that is not complete, after which the connection closes."""
    body = _encode(_describe(error))
    retry = b"" if error.retryAfter is None else b"Retry-After: %d\r\n" % error.retryAfter
    return (
        b"HTTP/1.1 %d %b\r\nConnection: close\r\n%b%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    ) % (error.status, _findPhrase(error.status), retry, PROTECTION_LINES, len(body), body)


def _describe(error: SSEServerError) -> dict[str, object]:
    """Describe an error in the shape of OpenAI's API."""
    param = {} if error.param is None else {"param": error.param}
    return {"error": {"message": str(error), "type": error.type, **param, "code": error.code}}


def _encode(value: object) -> bytes:
    return toJSON(value, spaced=True) + b"\n"


def setContentType(request: Request, contentType: str) -> None:
    """
    Set the media type of a response that caches must not keep.

    Args:
        request: Its response has not begun.
        contentType: Value of the header `Content-Type`.
    """
    headers = request.responseHeaders
    headers.setRawHeaders(b"Content-Type", [contentType.encode("ascii")])
    headers.setRawHeaders(b"Cache-Control", [b"no-store"])


def finishAnswer(request: Request, body: bytes | Document, viewers: Viewers | None = None) -> None:
    """
    Send the body of a response, unless the client has disconnected.

    Args:
        request: Its response has a status and headers, but no length.
        body: The entire body; empty for a status without a body, such as 204. If it has more than `STEP_BYTES`, the
            client is a viewer until it has taken all of it.
        viewers: The viewers of the service. `None` for resources whose answers are short.

    Raises:
        Overloaded: There is no room for another viewer.
    """
    if isOver(request):
        return
    if isinstance(body, bytes) and (len(body) <= STEP_BYTES or viewers is None):
        _sendWhole(request, body)
        if viewers is not None:
            viewers.tails.add(request.transport)
    else:
        assert viewers is not None
        _sendDocument(request, cutBody(body) if isinstance(body, bytes) else body, viewers)


def _sendWhole(request: Request, body: bytes) -> None:
    protect(request)
    if request.code in NO_BODY_CODES:
        request.responseHeaders.removeHeader(b"Content-Type")
    else:
        request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
    request.write(body)
    request.finish()


def _sendDocument(request: Request, document: Document, viewers: Viewers) -> None:
    protect(request)
    if document.length is not None:
        request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % document.length])
    if request.method == b"HEAD":
        request.write(b"")
        request.finish()
    else:
        viewers.send(request, document)


def answerHead(request: Request, form: IFormat) -> None:
    """
    Write and finish the response to HEAD for an event stream, without starting a viewer.

    Args:
        request: Its response has not begun.
        form: Format of the event stream, which may have headers of its own.
    """
    if isOver(request):
        return
    writeHeaders(request, form)
    request.write(b"")
    request.finish()
