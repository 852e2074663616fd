"""
The head of an event stream: its HTTP headers, and the reconnection time that it tells the viewer.

Producers write it, and so does `sseserver.delivery.turnaway` for a viewer without room.
"""

from __future__ import annotations

from random import uniform

from twisted.web.http import Request

from sseserver.interfaces import IFormat

#: Headers of every event stream. `no-transform` stops compressing proxies, which would hold tokens
#: back; `X-Accel-Buffering` stops nginx.
HEADERS = (
    (b"Content-Type", b"text/event-stream"),
    (b"Cache-Control", b"no-cache, no-store, no-transform"),
    (b"X-Accel-Buffering", b"no"),
    (b"X-Content-Type-Options", b"nosniff"),
)


def writeHeaders(request: Request, form: IFormat) -> None:
    """Set the headers of an event stream in a format. The response must not have begun."""
    for name, value in (*HEADERS, *form.headers):
        request.responseHeaders.setRawHeaders(name, [value])


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
