"""
`metrics`: the numbers of a server, for Prometheus.

`sseserver.apis.admin.site` serves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.web.server import Request

from sseserver.apis.admin.measured import Measured
from sseserver.apis.admin.missing import MISSING, PackageMissing, warnMissing
from sseserver.web.answers import setContentType
from sseserver.web.resource import AsyncResource

if TYPE_CHECKING:
    from sseserver.apis.admin.collector import MetricsCollector


class Metrics(AsyncResource):
    """
    `metrics`: answers with all metrics, in the text format of Prometheus or as OpenMetrics.

    Without the package `prometheus-client` it answers with the name of the extra that has it.

    Args:
        measured: The parts of the server.
    """

    def __init__(self, measured: Measured) -> None:
        super().__init__()
        self._collector = makeCollector(measured)

    async def GET(self, request: Request) -> bytes:
        """
        Answer with the metrics.

        Raises:
            PackageMissing: The package is not installed.
        """
        if self._collector is None:
            raise PackageMissing(MISSING)
        contentType, text = self._collector.encode(request.getHeader("accept") or "")
        setContentType(request, contentType)
        return text


def makeCollector(measured: Measured) -> MetricsCollector | None:
    """Return the collector of a server; `None` without the package `prometheus-client`, with a line in the log."""
    try:
        from sseserver.apis.admin.collector import MetricsCollector  # noqa: PLC0415  (optional)
    except ImportError:
        warnMissing()
        return None
    return MetricsCollector(measured)
