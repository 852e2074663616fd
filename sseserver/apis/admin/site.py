"""
The root of the site of `--admin-listen`: what operators and their programs ask for, apart from the clients.

`sseserver.command.sites` makes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.web.resource import IResource
from twisted.web.server import Request

from sseserver.apis.admin.families import Measured
from sseserver.apis.admin.health import HEALTH, Health, Readiness
from sseserver.apis.admin.metrics import Metrics
from sseserver.apis.admin.operations import HEALTH_CHECKS, OPERATORS
from sseserver.settings import Settings
from sseserver.web.access.gate import Gate
from sseserver.web.openapi.document import DocumentBuilder
from sseserver.web.openapi.operations import DESCRIPTION
from sseserver.web.openapi.resource import OpenAPI
from sseserver.web.resource import NotFoundResource


class AdminResource(NotFoundResource):
    """
    The root. A new resource for operators is a `putChild` here.

    Every request passes a gate, but for health checks: a page whose host name was pointed to this machine must not read
    the rest.

    Args:
        readiness: The resource `readyz`.
        metrics: The resource `metrics`.
        hosts: Host names that requests may be meant for, beside IP addresses and loopback names; see `HostList`.
    """

    def __init__(self, readiness: IResource, metrics: IResource, hosts: Iterable[str] = ()) -> None:
        super().__init__()
        self._gate = Gate(hosts, addresses=True)
        self.putChild(b"healthz", Health())
        self.putChild(b"readyz", readiness)
        self.putChild(b"metrics", metrics)
        self.putChild(b"openapi.json", OpenAPI(describeOperators))

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        """See `Resource.getChildWithDefault`: the request passes the gate, or ends there."""
        stopped = None if path in HEALTH else self._gate.stop(request)
        return super().getChildWithDefault(path, request) if stopped is None else stopped


def describeOperators() -> dict[str, Any]:
    """Return the OpenAPI document of this site."""
    apis = (OPERATORS, HEALTH_CHECKS, DESCRIPTION)
    return DocumentBuilder("sseserver, for operators", apis, Settings(), isGuarded=False, hasSessions=False).build()


def makeAdmin(measured: Measured, hosts: Iterable[str] = ()) -> AdminResource:
    """
    Make the root for a server of one process.

    Args:
        measured: The parts of the server.
        hosts: See `AdminResource`.
    """
    return AdminResource(Readiness(measured.service), Metrics(measured), hosts)
