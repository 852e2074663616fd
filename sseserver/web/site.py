"""
Site: a twisted.web Site with what event streams need.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.web.http import combinedLogFormatter
from twisted.web.iweb import IAccessLogFormatter
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface import provider

from sseserver.speedups.channel import StreamChannel, StreamRequest
from sseserver.web.answers import encodeError
from sseserver.web.request import MAX_BODY, makeBodyTooLarge

#: Seconds after which an idle connection is closed. More than the 60 of the usual load balancers: else they send a
#: request into a connection that is just being closed.
IDLE_TIMEOUT = 75


#: What stands in the access log as it came: printable, and neither a quote nor a backslash.
_isPlain = re.compile(rb"[ !#-\[\]-~]*").fullmatch


@provider(IAccessLogFormatter)
def accessLine(timestamp: str, request: Any) -> str:
    """Write what L{combinedLogFormatter} writes, in a quarter of the time where nothing has to be escaped."""
    client = request.getClientAddress()
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


class StreamSite(Site):
    """
    Serves a resource over HTTP/1.1.

    HTTP/2 is not offered, also where the `h2` package is installed: a client
    that lets its window run out makes twisted.web's HTTP/2 spin. Let a proxy
    in front of it speak HTTP/2.

    Args:
        accessLog: Whether each response that is finished gets a line.
        keywords: See L{Site}.

    Attributes:
        maxBody: Bytes. Limit of the body of a request.
        refusal: Body of the answer to a request with a larger body.
    """

    maxBody = MAX_BODY
    refusal = encodeError(makeBodyTooLarge())

    def __init__(self, resource: IResource, *, accessLog: bool = True, **keywords: Any) -> None:
        keywords.setdefault("timeout", IDLE_TIMEOUT)
        keywords.setdefault("logFormatter", accessLine)
        self._accessLog = accessLog
        super().__init__(resource, StreamRequest, parsePOSTFormSubmission=False, **keywords)
        # One for all connections.
        self._callLater = self.reactor.callLater

    # Without what chooses between HTTP/1.1 and HTTP/2.
    protocol: Any = StreamChannel

    def buildProtocol(self, addr: Any) -> Any:
        """See L{Site.buildProtocol}."""
        channel = super().buildProtocol(addr)
        channel.callLater = self._callLater
        return channel

    def log(self, request: Any) -> None:
        """See L{Site.log}."""
        if self._accessLog:
            super().log(request)

    def acceptableProtocols(self) -> list[bytes]:
        """See L{Site.acceptableProtocols}: only HTTP/1.1."""
        return [b"http/1.1"]
