"""
The dialects of upstreams: chat completions, and OpenAI's Responses.

`UpstreamSource` asks in a dialect, and finds out by itself which one an upstream speaks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sseserver.client import StatusError
from sseserver.options.types import AUTO, CHAT_API, RESPONSES_API
from sseserver.protocols.responses.native import makeChatBody
from sseserver.protocols.responses.upstream import ResponseConverter
from sseserver.protocols.responses.upstreamrequest import convertRequest
from sseserver.sources.upstreamerrors import readError

#: Statuses of a path that a server does not have.
_MISSING = frozenset({404, 405})


class Dialect(NamedTuple):
    """
    A protocol in which an upstream is asked.

    Attributes:
        path: Path of the resource below the base URL.
        makeBody: Makes the JSON of a request of the members of a chat completion.
        makeConverter: Makes what converts an answer, told whether the usage is requested; `None` passes it unchanged.
    """

    path: str
    makeBody: Callable[[Mapping[str, Any]], dict[str, Any]]
    makeConverter: Callable[[bool], ResponseConverter] | None = None


#: Chat completions, whose chunks pass unchanged.
CHAT = Dialect("chat/completions", makeChatBody)

#: Responses, whose events become chunks.
RESPONSES = Dialect("responses", convertRequest, ResponseConverter)

#: The dialects that can be asked for, by the values of `--upstream-api`, in the order in which they are tried.
DIALECTS = {CHAT_API: (CHAT,), RESPONSES_API: (RESPONSES,), AUTO: (CHAT, RESPONSES)}


def hasUsage(members: Mapping[str, Any]) -> bool:
    """Return whether the members of a chat completion ask for the usage."""
    options = members.get("stream_options")
    return isinstance(options, Mapping) and options.get("include_usage") is True


def isMissing(error: object) -> bool:
    """
    Return whether an upstream has refused a request because it does not have the path.

    Args:
        error: The error of the request. A 404 about the model is none of these: its text says so.
    """
    if not isinstance(error, StatusError) or error.status not in _MISSING:
        return False
    try:
        told = readError(json.loads(error.body), ())
    except (ValueError, RecursionError):
        return True
    return told.param != "model" and "model" not in f"{told.message} {told.code}".lower()
