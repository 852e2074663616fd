"""
Site: a twisted.web Site with what event streams need.
"""

from __future__ import annotations

from typing import Any

from twisted.web.resource import IResource
from twisted.web.server import Site

from sseserver.channel import StreamChannel, StreamRequest

#: Seconds after which an idle connection is closed. More than the 60 of the usual load balancers: else they send a
#: request into a connection that is just being closed.
IDLE_TIMEOUT = 75


class StreamSite(Site):
    """
    Serves a resource over HTTP/1.1.

    HTTP/2 is not offered, also where the `h2` package is installed: a client
    that lets its window run out makes twisted.web's HTTP/2 spin. Let a proxy
    in front of it speak HTTP/2.
    """

    def __init__(self, resource: IResource, **keywords: Any) -> None:
        keywords.setdefault("timeout", IDLE_TIMEOUT)
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

    def acceptableProtocols(self) -> list[bytes]:
        """See L{Site.acceptableProtocols}: only HTTP/1.1."""
        return [b"http/1.1"]
