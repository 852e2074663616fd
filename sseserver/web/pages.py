"""
Pages of lists: how many items a client asks for. Used by the lists of streams and of viewers.
"""

from __future__ import annotations

from twisted.web.server import Request

from sseserver.errors import BadRequest
from sseserver.web.openapi.operations import Parameter
from sseserver.web.request import readParameter

#: Items. Largest page, which is the default: it is written in one turn.
MAX_PAGE = 100


def readLimit(request: Request) -> int:
    """
    Read the parameter `limit`: the number of items of a page.

    Raises:
        BadRequest: It is not a whole number from 1 to `MAX_PAGE`.
    """
    value = readParameter(request, b"limit")
    if value is None:
        return MAX_PAGE
    if not (value.isascii() and value.isdigit() and len(value) < 4 and 1 <= int(value) <= MAX_PAGE):
        raise BadRequest(f"The parameter limit must be a whole number from 1 to {MAX_PAGE}.")
    return int(value)


def makeLimit(items: str) -> Parameter:
    """Describe the parameter `limit` of a list of some items, such as `streams`."""
    schema = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": MAX_PAGE}
    return Parameter("query", "limit", f"Number of {items} of the page.", schema)
