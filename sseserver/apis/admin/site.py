"""
The root of the site of `--admin-listen`: what operators and their programs ask for, apart from the clients.
"""

from __future__ import annotations

from sseserver.apis.admin.families import Measured
from sseserver.apis.admin.health import Health, Readiness
from sseserver.apis.admin.metrics import Metrics
from sseserver.web.resource import NotFoundResource


class AdminResource(NotFoundResource):
    """
    The root. A new resource for operators is a `putChild` here.

    Args:
        measured: The parts of the server.
    """

    def __init__(self, measured: Measured) -> None:
        super().__init__()
        self.putChild(b"healthz", Health())
        self.putChild(b"readyz", Readiness(measured.service))
        self.putChild(b"metrics", Metrics(measured))
