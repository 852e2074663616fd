"""
Requests to an upstream that speaks OpenAI's Responses, made of requests for chat completions.

`upstream` reads the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sseserver.errors import ErrorDetails, SourceError
from sseserver.protocols.chatcompletions.content import textOf
from sseserver.protocols.jsonpieces import Array
from sseserver.protocols.responses.native import NATIVE, takeNative
from sseserver.values import Reason

#: Members of chat completions that Responses have under the same or another name.
_RENAMED = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}

#: Members that only tune an answer, or that a Responses API always does.
_DROPPED = frozenset({"messages", "seed", "stream", "stream_options"})

#: Members that would change the answer, and that Responses do not have. A value without effect is left out.
_UNKNOWN = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "modalities",
        "n",
        "prediction",
        "presence_penalty",
        "stop",
        "top_logprobs",
    }
)

#: Values of such members that have no effect.
_IDLE: tuple[object, ...] = (None, 0, False, "", [], {})

Members = Mapping[str, Any]


def convertRequest(members: Members) -> dict[str, Any]:
    """
    Convert the body of a request for a chat completion.

    Args:
        members: Its members, with `messages`. If the client has asked for a response, `native.NATIVE` has its request,
            which is sent instead.

    Returns:
        The body of a request for a response that is streamed, and is not stored unless the client asks for it. The
        items of `input` are made while they are encoded, so that a long conversation is converted in several turns of
        the reactor.

    Raises:
        SourceError: The request asks for something that Responses do not have.
    """
    native = members.get(NATIVE)
    if native is not None:
        return takeNative(native, members)
    body: dict[str, Any] = {"store": False}
    for name, value in members.items():
        if name in _UNKNOWN:
            _checkIdle(name, value)
        elif name in _CONVERTED:
            _CONVERTED[name](body, value)
        elif name not in _DROPPED and value is not None:
            body[_RENAMED.get(name, name)] = value
    return {**body, "input": Array(makeItems(members["messages"])), "stream": True}


def _checkIdle(name: str, value: object) -> None:
    """
    Check that a member that Responses do not have has no effect.

    Raises:
        SourceError: It has.
    """
    if value in _IDLE or (name == "n" and value == 1) or (name == "modalities" and value == ["text"]):
        return
    message = f"`{name}` is not supported: the upstream speaks Responses, which do not have it."
    details = ErrorDetails("unsupported_parameter", "invalid_request_error", name, True)
    raise SourceError(message, Reason.PROMPT, 400, None, details)


def _setFormat(body: dict[str, Any], value: Any) -> None:
    """Set the format of the text; that of a JSON schema has all its members in one object."""
    if isinstance(value, Mapping):
        schema = value.get("json_schema")
        more = schema if isinstance(schema, Mapping) else {}
        body.setdefault("text", {})["format"] = {**more, "type": value.get("type")}


def _setVerbosity(body: dict[str, Any], value: Any) -> None:
    if value is not None:
        body.setdefault("text", {})["verbosity"] = value


def _setEffort(body: dict[str, Any], value: Any) -> None:
    if value is not None:
        body["reasoning"] = {"effort": value}


def _setTools(body: dict[str, Any], value: Any) -> None:
    if isinstance(value, list):
        body["tools"] = [_flatten(tool) for tool in value]


def _setChoice(body: dict[str, Any], value: Any) -> None:
    if value is not None:
        body["tool_choice"] = _flatten(value)


#: Members that are converted, by their names. Each function puts the member into the body.
_CONVERTED: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "reasoning_effort": _setEffort,
    "response_format": _setFormat,
    "tool_choice": _setChoice,
    "tools": _setTools,
    "verbosity": _setVerbosity,
}


def _flatten(tool: Any) -> Any:
    """Return a tool, or the choice of one, with the members of its function beside its type."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    return {"type": "function", **function} if isinstance(function, Mapping) else tool


def makeItems(messages: Sequence[Members]) -> Iterator[dict[str, Any]]:
    """
    Yield the items of a conversation.

    Args:
        messages: The messages of a chat completion.
    """
    for message in messages:
        role, content, calls = message.get("role"), message.get("content"), message.get("tool_calls")
        if role in {"tool", "function"}:
            callID = message.get("tool_call_id") or message.get("name") or ""
            yield {"type": "function_call_output", "call_id": callID, "output": textOf(content)}
            continue
        if content:
            yield {"role": role, "content": content if isinstance(content, str) else _makeParts(role, content)}
        elif not calls:
            yield {"role": role, "content": message.get("refusal") or ""}
        # A chat completion's messages are checked no further than to their texts.
        for call in calls if isinstance(calls, list) else ():
            yield _makeCall(call)


def _makeCall(call: Any) -> dict[str, Any]:
    """Make the item of a tool call."""
    members = call if isinstance(call, Mapping) else {}
    function = members.get("function")
    told = function if isinstance(function, Mapping) else {}
    return {
        "type": "function_call",
        "call_id": members.get("id") or "",
        "name": told.get("name") or "",
        "arguments": told.get("arguments") or "",
    }


def _makeParts(role: object, content: Any) -> list[Any]:
    """Make the parts of a message. Parts of an unknown type pass unchanged."""
    return [_makePart(role, part) for part in (content if isinstance(content, list) else [content])]


def _makePart(role: object, part: Any) -> Any:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text":
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part.get("text")}
    if kind == "image_url":
        image = part.get("image_url")
        told = image if isinstance(image, Mapping) else {"url": image}
        detail = {"detail": told["detail"]} if told.get("detail") else {}
        return {"type": "input_image", "image_url": told.get("url"), **detail}
    if kind == "file" and isinstance(part.get("file"), Mapping):
        return {"type": "input_file", **part["file"]}
    return part
