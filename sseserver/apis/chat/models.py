"""
`v1/models`: the models that a client can ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.apis.chat.resource import ChatResource
from sseserver.delivery.document import Document
from sseserver.protocols.jsonpieces import SPACED, Array, encodePieces
from sseserver.service.models import findModel, listModels
from sseserver.service.service import StreamService
from sseserver.web.access.rights import Access
from sseserver.web.answers import answerJSON, answerLargeJSON

#: Models. A longer list is encoded and sent piece by piece.
MOST_WHOLE = 100


class Models(ChatResource):
    """
    The resource `v1/models`, or one model below it.

    A source that provides `IModels` lists its models; any other source is one model.

    Args:
        service: The service whose source has the models.
        access: Finds the principals of requests; each may ask for models.
        name: Name of the model; `None` for the list.
    """

    def __init__(self, service: StreamService, access: Access, name: str | None = None) -> None:
        super().__init__(service.viewers)
        self._access = access
        self._service = service
        self._name = name

    def getChild(self, path: bytes, request: Request) -> Resource:
        """See `Resource.getChild`: the resource of one model, whose name may contain slashes."""
        if not path:
            return self
        name = path.decode("utf-8", "replace")
        return Models(self._service, self._access, name if self._name is None else f"{self._name}/{name}")

    async def GET(self, request: Request) -> bytes | Document:
        """Answer with the list of models, or with one of them."""
        await self._access.identify(request)
        if self._name is not None:
            return answerJSON(request, self._describe(await findModel(self._service.source, self._name)))
        models = await listModels(self._service.source)
        described = map(self._describe, models)
        if len(models) > MOST_WHOLE:
            return answerLargeJSON(request, encodePieces({"object": "list", "data": Array(described)}, SPACED))
        return answerJSON(request, {"object": "list", "data": list(described)})

    def _describe(self, model: str | Mapping[str, Any]) -> dict[str, object]:
        """Describe a model, in its own words as far as it has any."""
        known = {"id": model} if isinstance(model, str) else model
        return {
            "id": "",
            "object": "model",
            "created": int(self._service.created),
            "owned_by": "sseserver",
            **known,
        }
