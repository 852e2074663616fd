"""
The error of metrics without their package. Used by `metrics`, `workers` and `operations`.
"""

from __future__ import annotations

from twisted.logger import Logger

from sseserver.errors import SSEServerError


class PackageMissing(SSEServerError):
    """An optional package is not installed."""

    status = 501
    code = "package_missing"
    final = True


#: Text of the answer without the package.
MISSING = "Metrics need the package prometheus-client: pip install 'sseserver[metrics]'."


log = Logger()


def warnMissing() -> None:
    """Log that there are no metrics, when a server starts without the package."""
    log.warn("{sentence}", sentence=MISSING)  # noqa: G010 (a logger of Twisted)
