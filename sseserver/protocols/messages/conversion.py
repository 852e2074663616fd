"""
Conversion of a conversation into the messages of chat completions, which the token sources understand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from sseserver.errors import InvalidMember
from sseserver.jsontext import toJSON
from sseserver.protocols.messages.blocks import (
    Block,
    BytesSource,
    DocumentBlock,
    ImageBlock,
    InputMessage,
    TextBlock,
    TextSource,
    ToolResultBlock,
    ToolUseBlock,
)

#: Media type of documents that are passed on as files.
_PDF = "application/pdf"


class Tool(msgspec.Struct, gc=False):
    """A tool that the client offers."""

    name: str
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None


class ToolChoice(msgspec.Struct, gc=False):
    """Whether the model must use a tool."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


def convertMessages(system: str | list[TextBlock] | None, messages: Sequence[InputMessage]) -> list[dict[str, Any]]:
    """
    Convert the messages of a request.

    Args:
        system: The system prompt.
        messages: The conversation.

    Returns:
        The messages for a chat completion. The results of tools, which are blocks of a message of the user, become
        messages of their own, before the rest of that message.

    Raises:
        InvalidMember: A block cannot be converted.
    """
    converted: list[dict[str, Any]] = []
    if system:
        text = system if isinstance(system, str) else "\n".join(block.text for block in system)
        converted.append({"role": "system", "content": text})
    for number, message in enumerate(messages):
        if isinstance(message.content, str):
            converted.append({"role": message.role, "content": message.content})
        elif message.role == "assistant":
            converted.append(_convertAnswer(message.content, f"messages[{number}].content"))
        else:
            converted.extend(_convertInput(message.role, message.content, f"messages[{number}].content"))
    return converted


def _convertAnswer(blocks: Sequence[Block], place: str) -> dict[str, Any]:
    """Convert a message of the assistant: its text and its tool calls."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        if isinstance(block, TextBlock):
            texts.append(block.text)
        elif isinstance(block, ToolUseBlock):
            function = {"name": block.name, "arguments": toJSON(block.input).decode("ascii")}
            calls.append({"id": block.id, "type": "function", "function": function})
        elif isinstance(block, ImageBlock | DocumentBlock | ToolResultBlock):
            raise _makeMisplaced("assistant", f"{place}[{number}]")
    text = "".join(texts)
    return {
        "role": "assistant",
        "content": text if text or not calls else None,
        **({"tool_calls": calls} if calls else {}),
    }


def _convertInput(role: str, blocks: Sequence[Block], place: str) -> Iterator[dict[str, Any]]:
    """Convert a message of the user: first the results of tools, then everything else."""
    parts: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        where = f"{place}[{number}]"
        if isinstance(block, ToolUseBlock):
            raise _makeMisplaced(role, where)
        if isinstance(block, ToolResultBlock):
            content = [TextBlock(block.content)] if isinstance(block.content, str) else block.content or []
            texts = [one.text for one in content if isinstance(one, TextBlock)]
            yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": "\n".join(texts)}
            # A chat completion has no images in the results of tools.
            parts += [_convertPart(one, where) for one in content if not isinstance(one, TextBlock)]
        elif isinstance(block, TextBlock | ImageBlock | DocumentBlock):
            parts.append(_convertPart(block, where))
    if parts and all(part["type"] == "text" for part in parts):
        yield {"role": role, "content": "\n".join(part["text"] for part in parts)}
    elif parts:
        yield {"role": role, "content": parts}


def _convertPart(block: TextBlock | ImageBlock | DocumentBlock, where: str) -> dict[str, Any]:
    """Convert a block into a part of a message."""
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    source = block.source
    if isinstance(source, TextSource):
        return {"type": "text", "text": source.data}
    url = f"data:{source.media_type};base64,{source.data}" if isinstance(source, BytesSource) else source.url
    if isinstance(block, ImageBlock):
        return {"type": "image_url", "image_url": {"url": url}}
    if isinstance(source, BytesSource) and source.media_type == _PDF:
        return {"type": "file", "file": {"filename": block.title or "document.pdf", "file_data": url}}
    raise InvalidMember(f"`{where}`: a document must be a text, or base64 of {_PDF}.", f"{where}.source")


def _makeMisplaced(role: str, where: str) -> InvalidMember:
    return InvalidMember(f"`{where}`: a message of the role {role} cannot have a block of this type.", f"{where}.type")


def convertTools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """
    Convert the tools of a request.

    Raises:
        InvalidMember: A tool is one that Anthropic's servers would run.
    """
    converted = []
    for number, tool in enumerate(tools):
        if tool.type not in {None, "custom"}:
            where = f"tools[{number}].type"
            raise InvalidMember(
                f"`{where}`: tools that run on the server, such as {tool.type!r}, do not exist here.", where
            )
        described = {} if tool.description is None else {"description": tool.description}
        schema = tool.input_schema or {"type": "object", "properties": {}}
        converted.append({"type": "function", "function": {"name": tool.name, **described, "parameters": schema}})
    return converted


def convertChoice(choice: ToolChoice) -> dict[str, Any]:
    """
    Convert the choice of a tool.

    Returns:
        Options of a chat completion.

    Raises:
        InvalidMember: The tool has no name.
    """
    if choice.type == "tool" and not choice.name:
        raise InvalidMember("`tool_choice` of the type tool needs a member `name`.", "tool_choice.name")
    named = {"type": "function", "function": {"name": choice.name}}
    chosen = {"auto": "auto", "any": "required", "none": "none", "tool": named}[choice.type]
    parallel = (
        {}
        if choice.disable_parallel_tool_use is None
        else {"parallel_tool_calls": not choice.disable_parallel_tool_use}
    )
    return {"tool_choice": chosen, **parallel}
