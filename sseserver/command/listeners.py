"""
The services that listen on the endpoints of a server.
"""

from __future__ import annotations

from typing import Any

from twisted.application import strports

from sseserver.command.listening import ExplainedEndpoint, restrictEndpoint
from sseserver.command.systemd import parseEndpoint
from sseserver.delivery.socketoptions import TunedEndpoint
from sseserver.web.site import StreamSite


def makeListener(reactor: Any, description: str, site: StreamSite, option: str) -> Any:
    """
    Make the service that listens on an endpoint while it runs.

    Args:
        reactor: Listens.
        description: The endpoint, in Twisted's notation.
        site: What is served there.
        option: Name of the option that the endpoint comes from.

    Returns:
        The service. Its attribute `endpoint` is a `TunedEndpoint`.
    """
    # Its services fail at once if an endpoint cannot listen; the endpoint is another one.
    listener: Any = strports.service("tcp:0", site, reactor)
    endpoint = parseEndpoint(reactor, restrictEndpoint(description))
    listener.endpoint = TunedEndpoint(ExplainedEndpoint(description, endpoint, option), site.isFast)
    return listener
