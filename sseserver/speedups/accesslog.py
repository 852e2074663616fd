"""
The fast line of an access log. `sseserver.web.site` chooses between it and `sseserver.web.accessline`.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.web.http import combinedLogFormatter
from twisted.web.iweb import IAccessLogFormatter
from zope.interface import provider

from sseserver.redaction import ShownRequest

#: Bytes that the log shows unchanged: printable, but neither a quote nor a backslash.
_isPlain = re.compile(rb"[ !#-\[\]-~]*").fullmatch

#: A target or a URL without a query, a fragment or a user: it has no credential.
_isBare = re.compile(rb"[^?#@]*").fullmatch


@provider(IAccessLogFormatter)
def accessLine(timestamp: str, request: Any) -> str:
    """
    Write the line of `combinedLogFormatter`, in a quarter of the time if nothing has to be escaped or hidden.

    Args:
        timestamp: Time of the end of the request, as the log shows it.
        request: The request, whose response is over.
    """
    client = request.getClientAddress()
    referer = request.getHeader(b"referer") or b"-"
    if not _isBare(request.uri) or not _isBare(referer):
        request = ShownRequest(request)
        referer = request.getHeader(b"referer") or b"-"
    agent = request.getHeader(b"user-agent") or b"-"
    target = b"%b %b %b" % (request.method, request.uri, request.clientproto)
    if isinstance(client, (IPv4Address, IPv6Address)) and _isPlain(target + referer + agent):
        return (
            f'"{client.host}" - - {timestamp} "{target.decode("ascii")}" {request.code} {request.sentLength or "-"} '
            f'"{referer.decode("ascii")}" "{agent.decode("ascii")}"'
        )
    line: str = combinedLogFormatter(timestamp, request)
    return line
