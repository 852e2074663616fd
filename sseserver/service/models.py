"""
The models that a client can request: those of the token source, or the source itself as one model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sseserver.errors import ModelNotFound
from sseserver.interfaces import IModels, ITokenSource, IUpstreams


async def listModels(source: ITokenSource) -> Sequence[str | Mapping[str, Any]]:
    """
    Return all models, each as in `IModels.models`.

    Args:
        source: A source that provides `IModels` lists its models; any other source is one model.

    Raises:
        SourceError: The models are unknown at present.
    """
    return await source.models() if IModels.providedBy(source) else [source.model]


async def findModel(source: ITokenSource, name: str) -> str | Mapping[str, Any]:
    """
    Return one model.

    Args:
        source: See `listModels`.
        name: Its name. It may begin with that of an upstream; see `IUpstreams.findModel`.

    Raises:
        ModelNotFound: There is none with this name.
        SourceError: See `listModels`.
    """
    found = await source.findModel(name) if IUpstreams.providedBy(source) else None
    if found is not None:
        return found
    for model in await listModels(source):
        if name == nameModel(model):
            return model
    raise ModelNotFound(f"There is no model {name!r} here. GET /v1/models lists the models.")


def nameModel(model: str | Mapping[str, Any]) -> str:
    """Return the name of a model; empty if it has none."""
    return model if isinstance(model, str) else str(model.get("id", ""))
