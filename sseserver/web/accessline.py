"""
The plain line of an access log. `sseserver.web.site` chooses between it and the fast one.
"""

from __future__ import annotations

from typing import Any

from twisted.web.http import combinedLogFormatter
from twisted.web.iweb import IAccessLogFormatter
from zope.interface import provider

from sseserver.redaction import ShownRequest


@provider(IAccessLogFormatter)
def plainLine(timestamp: str, request: Any) -> str:
    """
    Write the line of `combinedLogFormatter`, without credentials.

    Args:
        timestamp: The time, as it is written.
        request: The request.
    """
    line: str = combinedLogFormatter(timestamp, ShownRequest(request))
    return line
