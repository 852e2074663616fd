"""
The items of a conversation, as messages of a chat completion, and as the API lists them.

The items of a request and those of an earlier answer have the same shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sseserver.errors import InvalidMember
from sseserver.tracebacks import forgetTraceback

_ROLES = frozenset({"user", "assistant", "system", "developer"})

#: Types of parts that are text, and the member that has it.
_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}


def listItems(value: str | list[Any]) -> list[dict[str, Any]]:
    """
    Return the member `input` of a request as items.

    Args:
        value: A string is a message of the user.

    Raises:
        InvalidMember: One of them is not an object.
    """
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
    for number, item in enumerate(value):
        if not isinstance(item, dict):
            raise InvalidMember(f"`input[{number}]` must be an object.", f"input[{number}]")
    return value


def convertItems(items: Iterable[Mapping[str, Any]], leavesOut: bool = False) -> list[dict[str, Any]]:
    """
    Return the messages that items are. Reasoning has no place in messages.

    Args:
        items: Objects.
        leavesOut: Whether items that no message can have are left out: those of an earlier response of an upstream, and
            those that the upstream gets beside the messages.

    Raises:
        InvalidMember: One of them is no item, or one that no message can have.
    """
    messages: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        try:
            _addItem(item, f"input[{number}]", messages)
        except InvalidMember as error:
            if not leavesOut:
                raise
            forgetTraceback(error)
    return messages


def _addItem(item: Mapping[str, Any], place: str, messages: list[dict[str, Any]]) -> None:
    """Add the message that an item is."""
    match item.get("type", "message"):
        case "message":
            messages.append(_convertMessage(item, place))
        case "function_call":
            _addCall(item, place, messages)
        case "function_call_output":
            content = _convertContent(item.get("output"), f"{place}.output")
            messages.append({"role": "tool", "tool_call_id": _readText(item, "call_id", place), "content": content})
        case "reasoning":
            pass
        case other:
            raise InvalidMember(f"`{place}`: items of the type {other!r} are not supported here.", f"{place}.type")


def describeItems(items: Iterable[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """
    Return input items as the API lists them: each with an ID.

    Args:
        items: The items of a request.
        name: Name of the stream of its response.
    """
    return [_describeItem(item, f"{name}_in{number}") for number, item in enumerate(items)]


def _describeItem(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an input item with an ID."""
    type = item.get("type", "message")
    prefix = {"message": "msg", "function_call": "fc", "function_call_output": "fco"}.get(type, "item")
    told: dict[str, Any] = {"id": f"{prefix}_{name}", **item, "type": type}
    if type == "message" and isinstance(item.get("content"), str):
        kind = "output_text" if item.get("role") == "assistant" else "input_text"
        part = {"type": kind, "text": item["content"]}
        told["content"] = [part if kind == "input_text" else {**part, "annotations": [], "logprobs": []}]
    if type != "reasoning":
        told.setdefault("status", "completed")
    return told


def _convertMessage(item: Mapping[str, Any], place: str) -> dict[str, Any]:
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidMember(f"`{place}.role` must be one of: {', '.join(sorted(_ROLES))}.", f"{place}.role")
    return {"role": role, "content": _convertContent(item.get("content"), f"{place}.content")}


def _convertContent(content: object, place: str) -> str | list[dict[str, Any]]:
    """Return the content of a message; text alone as a string, which all upstreams take."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidMember(f"`{place}` must be a string or a list of parts.", place)
    parts = [_convertPart(part, f"{place}[{number}]") for number, part in enumerate(content)]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _convertPart(part: object, place: str) -> dict[str, Any]:
    """Return a part of a message."""
    if not isinstance(part, dict):
        raise InvalidMember(f"`{place}` must be an object.", place)
    type = part.get("type")
    if isinstance(type, str) and type in _TEXTS:
        return {"type": "text", "text": _readText(part, _TEXTS[type], place)}
    if type == "input_image":
        image = {"url": _readText(part, "image_url", place)}
        return {"type": "image_url", "image_url": {**image, **_pick(part, ("detail",))}}
    if type == "input_file":
        return {"type": "file", "file": _pick(part, ("file_data", "file_id", "filename"))}
    if type == "input_audio" and isinstance(part.get("input_audio"), dict):
        return {"type": type, "input_audio": part["input_audio"]}
    raise InvalidMember(f"`{place}`: parts of the type {type!r} are not supported here.", f"{place}.type")


def _addCall(item: Mapping[str, Any], place: str, messages: list[dict[str, Any]]) -> None:
    """Add a function call: to the message before, if that is the model's, since calls belong to one message."""
    function = {"name": _readText(item, "name", place), "arguments": _readText(item, "arguments", place)}
    call = {"id": _readText(item, "call_id", place), "type": "function", "function": function}
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)


def _readText(members: Mapping[str, Any], name: str, place: str) -> str:
    """Return a string that must be there."""
    value = members.get(name)
    if not isinstance(value, str):
        raise InvalidMember(f"`{place}` needs a member `{name}`, a string.", f"{place}.{name}")
    return value


def _pick(members: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the members with some names that are there."""
    return {name: members[name] for name in names if members.get(name) is not None}
