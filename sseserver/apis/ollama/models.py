"""
`ollama/api/tags` and `ollama/api/version`: the models that a client can ask for, and the version of the API.
"""

from __future__ import annotations

from twisted.web.server import Request

from sseserver.apis.ollama.resource import OllamaResource
from sseserver.delivery.document import Document
from sseserver.interfaces import IModels
from sseserver.protocols.jsonpieces import SPACED, Array, encodePieces
from sseserver.protocols.ollama import describeModel
from sseserver.service.service import StreamService
from sseserver.web.access.rights import Access
from sseserver.web.answers import answerJSON, answerLargeJSON

#: Version of Ollama whose API this is: some clients look for functions of later versions only.
VERSION = "0.12.0"


class Tags(OllamaResource):
    """
    The resource `ollama/api/tags`: the list of models.

    Args:
        service: The service whose source has the models.
        access: Finds the principals of requests; each may ask for models.
    """

    def __init__(self, service: StreamService, access: Access) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._service = service

    async def GET(self, request: Request) -> bytes | Document:
        """Answer with the list."""
        await self._access.identify(request)
        source, created = self._service.source, self._service.created
        models = await source.models() if IModels.providedBy(source) else [source.model]
        names = (model if isinstance(model, str) else str(model.get("id", "")) for model in models)
        described = (describeModel(name, created) for name in names)
        return answerLargeJSON(request, encodePieces({"models": Array(described)}, SPACED))


class Version(OllamaResource):
    """The resource `ollama/api/version`."""

    async def GET(self, request: Request) -> bytes:
        """Answer with the version."""
        return answerJSON(request, {"version": VERSION})
