"""
`MessagesResource`: base class of the resources of the Messages API.
"""

from __future__ import annotations

import os
from binascii import hexlify
from typing import Any

from twisted.web.server import Request

from sseserver.errors import SSEServerError
from sseserver.protocols.messages import checkVersion, convertProblem, describeProblem
from sseserver.web.answers import answerJSON, setErrorHeaders
from sseserver.web.request import readHeader
from sseserver.web.resource import AsyncResource

#: Name of the header in which Anthropic's clients look for the ID of a request.
_REQUEST_ID = b"request-id"


class MessagesResource(AsyncResource):
    """A resource whose answers have the header `request-id`, and whose errors have the shape of Anthropic's API."""

    def render(self, request: Request) -> Any:
        """Name the request, and start its coroutine."""
        request.responseHeaders.setRawHeaders(_REQUEST_ID, [b"req_%b" % hexlify(os.urandom(16))])
        return super().render(request)

    def checkVersion(self, request: Request) -> None:
        """
        Check the header `anthropic-version`.

        Raises:
            BadRequest: It is no version.
        """
        checkVersion(readHeader(request, b"anthropic-version"))

    def _answerError(self, request: Request, error: SSEServerError) -> bytes:
        """See `AsyncResource._answerError`."""
        converted = convertProblem(error)
        setErrorHeaders(request, converted)
        (name,) = request.responseHeaders.getRawHeaders(_REQUEST_ID, [b""])
        return answerJSON(request, describeProblem(converted, name.decode("ascii")), converted.status)
