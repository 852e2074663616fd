"""
Resources that several test modules serve.
"""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request


class HoldingResource(Resource):
    """
    A resource whose requests are answered by the test.

    Args:
        written: Bytes that are written as soon as a request arrives.

    Attributes:
        requests: The requests.
    """

    isLeaf = True

    def __init__(self, written: bytes = b"") -> None:
        super().__init__()
        self.requests: list[Request] = []
        self._written = written

    def render(self, request: Request) -> int:
        """See `IResource.render`."""
        self.requests.append(request)
        if self._written:
            request.write(self._written)
        return NOT_DONE_YET
