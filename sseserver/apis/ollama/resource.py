"""
`OllamaResource`: base class of the resources of Ollama's API.

`Unknown` is every other URL below `ollama`; `Embeddings` says of two of them why they are missing.
"""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.errors import SSEServerError
from sseserver.web.answers import answerJSON, setErrorHeaders
from sseserver.web.resource import AsyncResource, NotFoundResource


class OllamaResource(AsyncResource):
    """A resource whose errors have the shape of Ollama's API."""

    def _answerError(self, request: Request, error: SSEServerError) -> bytes:
        """See `AsyncResource._answerError`."""
        setErrorHeaders(request, error)
        return answerJSON(request, {"error": str(error)}, error.status)

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `AsyncResource.getChild`."""
        return Unknown() if path else self


class Unknown(OllamaResource, NotFoundResource):
    """Answers 404, and says what there is of Ollama's API."""

    message = "This server has /api/chat, /api/generate, /api/show, /api/tags and /api/version of Ollama's API."


class Embeddings(Unknown):
    """Answers 404 to a request for embeddings: token sources write text."""

    message = "This server makes no embeddings. Ask the API that has the model for them."
