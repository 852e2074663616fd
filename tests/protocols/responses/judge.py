"""
The Open Responses specification as a judge: PyPI's `openresponses-types` has a model of each object.
"""

from __future__ import annotations

import json
import os
from enum import Enum
from typing import Any

try:
    from openresponses_types import types
except ImportError:
    types = None  # type: ignore[assignment]


def judgeResponse(response: object) -> None:
    """Check a response against the specification."""
    if _hasModels():
        types.ResponseResource.model_validate(response)


def judgeEvents(stream: bytes) -> list[dict[str, Any]]:
    """
    Check all events of a response, and their numbers, and return their data.

    Args:
        stream: The events, `[DONE]` included if it is there.
    """
    events = readEvents(stream)
    if _hasModels():
        models = dict(_listModels())
        for event in events:
            models[event["type"]].model_validate(event)
    return events


def _hasModels() -> bool:
    """Return whether the package is installed, which it must be in CI."""
    assert types is not None or not os.environ.get("CI"), "CI needs openresponses-types."
    return types is not None


def readEvents(stream: bytes) -> list[dict[str, Any]]:
    """Return the data of the events of a response; `event:` equals `type`, and no event has an ID."""
    events = []
    for block in stream.split(b"\n\n"):
        lines = [line for line in block.split(b"\n") if line and not line.startswith((b":", b"retry:"))]
        if not lines or lines == [b"data: [DONE]"]:
            continue
        kind, data = lines
        event = json.loads(data.removeprefix(b"data: "))
        assert kind == b"event: " + event["type"].encode(), block
        events.append(event)
    return events


def _listModels() -> Any:
    """Yield the type of each event with its model."""
    for name, model in vars(types).items():
        if name.endswith("StreamingEvent"):
            kind = model.model_fields["type"].annotation
            assert issubclass(kind, Enum)
            yield next(iter(kind)).value, model
