"""
`v1/models`: the models that a client can ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request

from sseserver.apis.chat.resource import ChatResource
from sseserver.delivery.document import Document
from sseserver.errors import ModelNotFound
from sseserver.interfaces import IModels, IUpstreams
from sseserver.protocols.jsonpieces import SPACED, Array, encodePieces
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
            return answerJSON(request, self._describe(await self._findModel(self._name)))
        models = await self._find()
        described = map(self._describe, models)
        if len(models) > MOST_WHOLE:
            return answerLargeJSON(request, encodePieces({"object": "list", "data": Array(described)}, SPACED))
        return answerJSON(request, {"object": "list", "data": list(described)})

    async def _findModel(self, name: str) -> str | Mapping[str, Any]:
        """
        Return a model.

        Raises:
            ModelNotFound: There is none with this name.
        """
        source = self._service.source
        found = await source.findModel(name) if IUpstreams.providedBy(source) else None
        if found is not None:
            return found
        for model in await self._find():
            if name == (model if isinstance(model, str) else model.get("id")):
                return model
        raise ModelNotFound(f"There is no model {name!r} here. GET /v1/models lists the models.")

    async def _find(self) -> Sequence[str | Mapping[str, Any]]:
        source = self._service.source
        return await source.models() if IModels.providedBy(source) else [source.model]

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
