"""
The head of an event stream: its HTTP headers, and the reconnection time that it tells the viewer.

Producers write it, and so does `sseserver.delivery.turnaway` for a viewer without room.
"""

from __future__ import annotations

from random import uniform
from typing import Any

from twisted.web.http import Request
from twisted.web.http_headers import Headers

from sseserver.interfaces import IFormat
from sseserver.speedups.body import KEPT_HEAD
from sseserver.speedups.headers import setConstants

#: Headers of every event stream. `no-transform` stops compressing proxies, which would hold tokens
#: back; `X-Accel-Buffering` stops nginx.
HEADERS = (
    (b"Content-Type", b"text/event-stream"),
    (b"Cache-Control", b"no-cache, no-store, no-transform"),
    (b"X-Accel-Buffering", b"no"),
)

#: Headers of every answer: browsers must not guess its media type, and pages of other origins must not embed it.
#: CORS does not need the latter: it is not looked at for requests of `fetch` and `EventSource`.
PROTECTION = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
)

#: The same as whole lines.
PROTECTION_LINES = b"".join([b"%b: %b\r\n" % field for field in PROTECTION])

#: Fields of a request that the access logs of Twisted show.
_LOGGED = (b"referer", b"user-agent", b"x-forwarded-for")

#: Bytes. Kept of such a field if the head is large.
_KEPT_FIELD = 256


def writeHeaders(request: Request, form: IFormat) -> None:
    """
    Set the headers of an event stream.

    Args:
        request: Its response has not begun.
        form: Format of the stream, which may add headers.
    """
    setConstants(request.responseHeaders, (*HEADERS, *form.headers))
    protect(request)


def protect(request: Any) -> None:
    """Set the headers of `PROTECTION`, unless the channel does: one of a `StreamSite` writes them into every answer."""
    if not getattr(getattr(request, "channel", None), "protection", None):
        for name, value in PROTECTION:
            request.responseHeaders.setRawHeaders(name, [value])


def trimHead(request: Any) -> None:
    """
    Drop most of a large head of a request, which would be kept as long as the response lasts.

    The fields that access logs show are kept, with their first bytes, and so is the URL.

    Args:
        request: Everything was read from its head.
    """
    if not getattr(request, "hasLargeHead", True):
        return
    headers = request.requestHeaders
    size = len(request.uri) + sum(len(name) + sum(map(len, values)) for name, values in headers.getAllRawHeaders())
    if size <= KEPT_HEAD:
        return
    kept = Headers()
    for name in _LOGGED:
        for value in headers.getRawHeaders(name, ())[:1]:
            kept.addRawHeader(name, value[:_KEPT_FIELD])
    request.requestHeaders = kept
    request.uri = request.uri[:KEPT_HEAD]
    request.path = request.path[:KEPT_HEAD]
    request.args = {}
    request.prepath = request.postpath = []


def jitter(reconnectionTime: int) -> int:
    """
    Spread a reconnection time by a third both ways.

    Viewers that were cut together do not return together.

    Args:
        reconnectionTime: Milliseconds.

    Returns:
        Milliseconds, at least 1.
    """
    return max(1, round(reconnectionTime * uniform(2 / 3, 4 / 3)))
