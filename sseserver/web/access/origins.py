"""
Origins: whether a page of another site has sent a request, by the headers `Origin` and `Sec-Fetch-Site`.

A page can send many kinds of requests to any server that its visitor's browser reaches. It cannot read the answers, but
a run that it has started is paid for, and a stream that it has cancelled is gone. Programs other than browsers do not
send these headers.

`gate` asks it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from twisted.web.server import Request

from sseserver.web.access.hosts import DEFAULT_PORTS, Authority, parseAuthority

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]+)")

#: Values of `Sec-Fetch-Site` for requests of the server's own pages, and of people who typed the URL.
_OWN = {b"same-origin", b"none"}


class Origin(NamedTuple):
    """
    The origin of a page.

    Attributes:
        scheme: In lower case.
        authority: Host and port.
    """

    scheme: str
    authority: Authority


def parseOrigin(text: str) -> Origin:
    """
    Parse an origin as browsers write it: scheme, host, and a port unless it is the default one.

    Args:
        text: Such as `https://example.com` or `http://localhost:5173`.

    Raises:
        ValueError: The text is anything else, such as a URL with a path or `null`.
    """
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        raise ValueError(f"{text!r} is not an origin, such as https://example.com or http://localhost:5173")
    return Origin(match[1], parseAuthority(match[2]))


def isOwn(origin: bytes, host: Authority, secure: bool) -> bool:
    """
    Return whether an origin is that of the host to which a request was sent.

    Args:
        origin: Value of the header `Origin`.
        host: The host.
        secure: Whether the request came over TLS. If not, a proxy may have decrypted it, so `https` is possible.
    """
    try:
        scheme, authority = parseOrigin(origin.decode("latin-1"))
    except ValueError:
        return False
    default = DEFAULT_PORTS.get(scheme)
    if default is None or authority.name != host.name or (secure and scheme != "https"):
        return False
    return (authority.port or default) == (host.port or default)


def readOrigin(request: Request) -> bytes | None:
    """Return the origin of a request. `None` if it has none; an empty one, which no page has, if it has several."""
    values = request.requestHeaders.getRawHeaders(b"origin")
    if values is None:
        return None
    return values[0] if len(values) == 1 else b""


def isCrossSite(request: Request) -> bool:
    """Return whether the browser says that the page that sent a request has another origin."""
    values = request.requestHeaders.getRawHeaders(b"sec-fetch-site")
    return values is not None and not _OWN.issuperset(values)
