"""
The root of the site of `--admin-listen`: what operators and their programs ask for, apart from the clients.
"""

from __future__ import annotations

from sseserver.apis.admin.health import Health, Readiness
from sseserver.service.service import StreamService
from sseserver.web.resource import NotFoundResource


class AdminResource(NotFoundResource):
    """
    The root. A new resource for operators is a `putChild` here.

    Args:
        service: The service.
    """

    def __init__(self, service: StreamService) -> None:
        super().__init__()
        self.putChild(b"healthz", Health())
        self.putChild(b"readyz", Readiness(service))
