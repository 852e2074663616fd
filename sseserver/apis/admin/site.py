"""
The root of the site of `--admin-listen`: for operators and their programs, apart from the clients.

`sseserver.apis.makeAdmin` makes it.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.web.resource import IResource
from twisted.web.server import Request

from sseserver.apis.admin.health import HEALTH, Health
from sseserver.web.access.gate import Gate
from sseserver.web.resource import NotFoundResource


class AdminResource(NotFoundResource):
    """
    The root. A new resource for operators is a `putChild` here.

    Every request passes a gate, but for health checks: a page whose host name was pointed to this machine must not read
    the rest.

    Args:
        readiness: The resource `readyz`.
        metrics: The resource `metrics`.
        description: The resource `openapi.json`.
        hosts: Host names that requests may be meant for, beside IP addresses and loopback names; see `HostList`.
    """

    def __init__(self, readiness: IResource, metrics: IResource, description: IResource, hosts: Iterable[str]) -> None:
        super().__init__()
        self._gate = Gate(hosts, addresses=True)
        self.putChild(b"healthz", Health())
        self.putChild(b"readyz", readiness)
        self.putChild(b"metrics", metrics)
        self.putChild(b"openapi.json", description)

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """See `Resource.getChildWithDefault`: the request passes the gate, or ends there."""
        stopped = None if path in HEALTH else self._gate.stop(request)
        return super().getChildWithDefault(path, request) if stopped is None else stopped
