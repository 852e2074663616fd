"""
`healthz` and `readyz`: whether the process works, and whether it should get new clients.

`makeAPIs` serves them to everybody, `sseserver.apis.admin.site` to operators.
"""

from __future__ import annotations

from typing import Any

from twisted.web.http import OK, SERVICE_UNAVAILABLE
from twisted.web.server import Request

from sseserver.interfaces import IChecked, IUpstreams
from sseserver.service.service import StreamService
from sseserver.service.states import ServiceState
from sseserver.web.answers import answerJSON, setContentType
from sseserver.web.resource import AsyncResource

#: Paths of the health checks. Balancers and kubelets ask the address of the server, whatever its name.
HEALTH = frozenset({b"healthz", b"readyz"})

#: Why a service is not ready in each state but RUNNING.
_NOT_RUNNING = {
    ServiceState.NEW: "The server has not started yet.",
    ServiceState.LEAVING: "The server is going to stop.",
    ServiceState.DRAINING: "The server is being stopped.",
    ServiceState.STOPPED: "The server is being stopped.",
}


class Health(AsyncResource):
    """`healthz`: answers 200 as long as the process turns its reactor."""

    async def GET(self, request: Request) -> bytes:
        """Answer `ok`."""
        setContentType(request, "text/plain; charset=utf-8")
        return b"ok\n"


class Readiness(AsyncResource):
    """
    `readyz`: answers 200 if the server should get new clients, and otherwise 503 with what is not ready.

    Args:
        service: The service.
    """

    def __init__(self, service: StreamService) -> None:
        super().__init__()
        self._service = service

    async def GET(self, request: Request) -> bytes:
        """Answer with the readiness."""
        readiness = describeReadiness(self._service)
        ready = not readiness["problems"]
        return answerJSON(request, {"ready": ready, **readiness}, OK if ready else SERVICE_UNAVAILABLE)


def describeReadiness(service: StreamService) -> dict[str, Any]:
    """
    Describe whether a service should get new clients.

    Args:
        service: The service, in any state.

    Returns:
        `problems` by the part that has them: `server`, `store`, `source`. With several upstreams also `upstreams`: the
        problem of each, or `None`. The service is ready as long as one of them can be asked.
    """
    readiness: dict[str, Any] = {"problems": findProblems(service)}
    if IUpstreams.providedBy(service.source):
        readiness["upstreams"] = {each.name: each.problem for each in service.source.listUpstreams()}
    return readiness


def findProblems(service: StreamService) -> dict[str, str]:
    """
    Return why a service should get no new clients, by the part that is not ready.

    Args:
        service: The service, in any state.
    """
    problems = {"server": _NOT_RUNNING.get(service.state)}
    for name, part in (("store", service.store), ("source", service.source)):
        # A store is closed before and after.
        if IChecked.providedBy(part) and service.state is not ServiceState.NEW:
            problems[name] = part.findProblem()
    return {name: problem for name, problem in problems.items() if problem is not None}
