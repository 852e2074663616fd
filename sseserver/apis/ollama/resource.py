"""
`OllamaResource`: base class of the resources of Ollama's API.
"""

from __future__ import annotations

from twisted.web.server import Request

from sseserver.errors import SSEServerError
from sseserver.web.answers import answerJSON, setErrorHeaders
from sseserver.web.resource import AsyncResource


class OllamaResource(AsyncResource):
    """A resource whose errors have the shape of Ollama's API."""

    def _answerError(self, request: Request, error: SSEServerError) -> bytes:
        """See `AsyncResource._answerError`."""
        setErrorHeaders(request, error)
        return answerJSON(request, {"error": str(error)}, error.status)
