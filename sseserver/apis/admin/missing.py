"""
The error of metrics without their package. Used by `metrics`, `workers` and `operations`.
"""

from __future__ import annotations

from sseserver.errors import SSEServerError


class PackageMissing(SSEServerError):
    """An optional package is not installed."""

    status = 501
    code = "package_missing"
    final = True


#: Text of the answer without the package.
MISSING = "Metrics need the package prometheus-client: pip install 'sseserver[metrics]'."
