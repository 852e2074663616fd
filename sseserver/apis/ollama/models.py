"""
`ollama/api/tags`, `show` and `version`: the models that a client can ask for, one of them, and the version of the API.
"""

from __future__ import annotations

from twisted.web.server import Request

from sseserver.apis.ollama.resource import OllamaResource
from sseserver.delivery.document import Document
from sseserver.interfaces import IModels
from sseserver.protocols.jsonpieces import SPACED, Array, encodePieces
from sseserver.protocols.ollama import describeModel, readOllamaShow, showModel
from sseserver.service.models import findModel, listModels, nameModel
from sseserver.service.service import StreamService
from sseserver.web.access.rights import Access
from sseserver.web.answers import answerJSON, answerLargeJSON
from sseserver.web.request import readJSONObject

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
        models, created = await listModels(self._service.source), self._service.created
        described = (describeModel(nameModel(model), created) for model in models)
        return answerLargeJSON(request, encodePieces({"models": Array(described)}, SPACED))


class Show(OllamaResource):
    """
    The resource `ollama/api/show`: one model.

    Args:
        service: See `Tags`.
        access: See `Tags`.
    """

    def __init__(self, service: StreamService, access: Access) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._service = service

    async def POST(self, request: Request) -> bytes:
        """Answer with the model that the body names."""
        await self._access.identify(request)
        service, source = self._service, self._service.source
        body = await readJSONObject(request, service.settings.modelBody, service)
        name = readOllamaShow(body.members, source)
        await findModel(source, name)
        return answerJSON(request, showModel(name, service.created, takesMessages=IModels.providedBy(source)))


class Version(OllamaResource):
    """The resource `ollama/api/version`."""

    async def GET(self, request: Request) -> bytes:
        """Answer with the version."""
        return answerJSON(request, {"version": VERSION})
