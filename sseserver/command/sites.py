"""
The sites of a server, made of its options: that of `--listen`, and that of `--admin-listen`.

`sseserver.tap` uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.web.resource import IResource

from sseserver.apis.root import StreamResource
from sseserver.service.service import StreamService
from sseserver.timing.turnend import TurnEnd
from sseserver.web.access.credentials import Credentials
from sseserver.web.access.proxies import TrustedProxies
from sseserver.web.peers import Peers
from sseserver.web.site import StreamSite

#: Number of connections at a time to the endpoint of `--admin-listen`. They take descriptors that are kept for the rest
#: of the process, so that health checks are answered when clients have taken all others.
ADMIN_CONNECTIONS = 8


def makeSite(
    reactor: Any,
    streams: StreamService,
    options: Mapping[str, Any],
    credentials: Credentials | None = None,
    turnEnd: TurnEnd | None = None,
) -> StreamSite:
    """
    Return the site with all resources, and with the access log that the options describe.

    Args:
        reactor: Measures the time limits of connections.
        streams: The service.
        options: The options.
        credentials: Finds the principals of requests; `None` asks for none.
        turnEnd: See `StreamSite`.
    """
    accessLog = options["access-log"]
    site = StreamSite(
        StreamResource(streams, options["prompt"], credentials, options["hosts"], options["cors-origin"]),
        accessLog=None if accessLog == "none" else options["log-format"],
        logPath=None if accessLog in {"none", "log"} else accessLog,
        plain=options["plain"] or None,
        maxBody=streams.settings.modelBody,
        stall=streams.settings.stall,
        peers=Peers(
            TrustedProxies(options["trusted-proxy"]),
            options["proxy-protocol"],
            options["max-connections"],
            options["max-connections-per-address"],
        ),
        turnEnd=turnEnd,
        reactor=reactor,
    )
    streams.ledger.connections, streams.ledger.bodies = site.connections, site.bodies
    return site


def makeAdminSite(reactor: Any, root: IResource, options: Mapping[str, Any]) -> StreamSite:
    """
    Return the site for operators.

    Args:
        reactor: Measures the time limits of connections.
        root: Its root.
        options: The options.
    """
    return StreamSite(
        root,
        accessLog=None,
        plain=options["plain"] or None,
        maxBody=1,
        stall=options["stall"],
        peers=Peers(maxConnections=ADMIN_CONNECTIONS),
        reactor=reactor,
    )
