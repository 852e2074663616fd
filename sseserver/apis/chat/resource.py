"""
`ChatResource`: base class of the resources of the chat completions API.
"""

from __future__ import annotations

import os
from binascii import hexlify
from typing import Any

from twisted.web.server import Request

from sseserver.web.resource import AsyncResource


class ChatResource(AsyncResource):
    """A resource whose answers have the header `x-request-id`, which OpenAI's clients keep for bug reports."""

    def render(self, request: Request) -> Any:
        """Name the request, and start its coroutine."""
        request.responseHeaders.setRawHeaders(b"x-request-id", [b"req_%b" % hexlify(os.urandom(16))])
        return super().render(request)
