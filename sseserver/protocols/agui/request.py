"""
The requests of AG-UI: `RunAgentInput`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from sseserver.errors import InvalidMember
from sseserver.interfaces import ITokenSource
from sseserver.jsontext import convert
from sseserver.protocols.agui.run import RunNames
from sseserver.protocols.prompt import (
    checkText,
    joinContent,
    lastOfUser,
    makeFilePart,
    makePicturePart,
    pickOptions,
)
from sseserver.values import Prompt

RUN_ID = re.compile(r"[!-~]{1,255}")

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class PartSource(msgspec.Struct, gc=False):
    """The place of the bytes of a part: a URL, or the value itself in base64."""

    type: Literal["url", "data", "file"]
    value: str
    mimeType: str | None = None


class InputPart(msgspec.Struct, gc=False):
    """
    A part of a message: text, or a medium. The members `mimeType` to `filename` belong to the older type `binary`.
    """

    type: str
    text: str | None = None
    source: PartSource | None = None
    mimeType: str | None = None
    url: str | None = None
    data: str | None = None
    filename: str | None = None


class InputMessage(msgspec.Struct, gc=False):
    """The members of a message that are read. The content of an activity, which is left out, is an object."""

    role: Literal["developer", "system", "user", "assistant", "tool", "activity", "reasoning"]
    content: str | list[InputPart] | dict[str, Any] | None = None
    toolCalls: list[dict[str, Any]] | None = None
    toolCallId: str | None = None


class InputTool(msgspec.Struct, gc=False):
    """A tool that the model may call."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None


class InputContext(msgspec.Struct, gc=False):
    """Something that the model should know."""

    description: str
    value: str


class AgentInput(msgspec.Struct):
    """The body of a request, as far as it is read."""

    threadId: _Name
    runId: str
    messages: list[InputMessage]
    tools: list[InputTool] | None = None
    context: list[InputContext] | None = None
    forwardedProps: Any = None


class RunRequest(NamedTuple):
    """
    A request to run an agent.

    Attributes:
        prompt: The prompt for the source.
        names: Names of the conversation and of the run.
    """

    prompt: Prompt
    names: RunNames


def readAgentInput(body: Mapping[str, Any], source: ITokenSource) -> RunRequest:
    """
    Read the body of a request. `forwardedProps` may have the members of a chat completion that `pickOptions` takes.

    Args:
        body: The decoded JSON.
        source: The source that will answer.

    Raises:
        InvalidMember: A member is missing or has a wrong value.
        ModelNotFound: The source does not have the model.
    """
    asked = convert(body, AgentInput)
    checkRunID(asked.runId, "runId")
    forwarded = asked.forwardedProps if isinstance(asked.forwardedProps, Mapping) else {}
    options = pickOptions(forwarded, source)
    if asked.tools:
        options["tools"] = [_convertTool(tool) for tool in asked.tools]
    messages = [{"role": "system", "content": _describe(asked.context)}] if asked.context else []
    texts = []
    for number, message in enumerate(asked.messages):
        content = _convertContent(message.content, f"messages[{number}].content")
        texts.append(content if isinstance(content, str) else "".join(part.get("text", "") for part in content))
        messages += _convertMessage(message, content, f"messages[{number}]")
    text = lastOfUser([message.role for message in asked.messages], texts)
    checkText(text, source, "messages")
    if source.takesPrompt and not asked.messages:
        raise InvalidMember("`messages` must not be empty: this source answers them.", "messages")
    return RunRequest(Prompt(text, messages, options), RunNames(asked.threadId, asked.runId))


def checkRunID(run: str, member: str) -> str:
    """
    Check the ID of a run, and return it.

    Args:
        run: The ID.
        member: Name of the member, header or parameter that has it.

    Raises:
        InvalidMember: It is not 1 to 255 visible ASCII characters.
    """
    if not RUN_ID.fullmatch(run):
        raise InvalidMember(f"`{member}` must be 1 to 255 visible ASCII characters.", member)
    return run


def _convertTool(tool: InputTool) -> dict[str, Any]:
    """Return a tool as in a chat completion."""
    parameters = {"type": "object", "properties": {}} if tool.parameters is None else tool.parameters
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _describe(context: list[InputContext]) -> str:
    """Return a text with everything that the model should know."""
    return "\n".join(f"{each.description}: {each.value}" for each in context)


def _convertContent(content: object, place: str) -> Any:
    """
    Return the content of a message as in a chat completion.

    Args:
        content: A string or a list of parts; nothing else has content.
        place: Name of the member, for the error.

    Raises:
        InvalidMember: A part lacks a member.
    """
    if isinstance(content, str):
        return content
    parts: list[dict[str, Any]] = []
    for number, part in enumerate(content if isinstance(content, list) else ()):
        where = f"{place}[{number}]"
        if part.type == "text":
            if part.text is None:
                raise InvalidMember(f"`{where}`: a part of type `text` needs a member `text`.", f"{where}.text")
            parts.append({"type": "text", "text": part.text})
        else:
            parts.append(_convertMedium(part, where))
    return joinContent(parts)


def _convertMedium(part: InputPart, place: str) -> dict[str, Any]:
    """
    Return a picture or a file as in a chat completion.

    Args:
        part: The part.
        place: Its name, for the error.

    Raises:
        InvalidMember: It has no bytes that can be passed on.
    """
    source = part.source
    if source is None and part.type == "binary":
        if part.url is not None:
            source = PartSource("url", part.url, part.mimeType)
        elif part.data is not None:
            source = PartSource("data", part.data, part.mimeType)
    if source is None or source.type == "file":
        raise InvalidMember(f"`{place}`: a part of type `{part.type}` needs a `source` of type `url` or `data`.", place)
    mimeType = source.mimeType or ("image/*" if part.type == "image" else "application/octet-stream")
    url = source.value if source.type == "url" else f"data:{mimeType};base64,{source.value}"
    if part.type == "image" or mimeType.startswith("image/"):
        return makePicturePart(url)
    return makeFilePart(url, part.filename)


def _convertMessage(message: InputMessage, content: Any, place: str) -> list[dict[str, Any]]:
    """
    Return a message as in a chat completion; reasoning and activities are left out.

    Args:
        message: The message.
        content: Its content, converted.
        place: Its name, for the error.

    Raises:
        InvalidMember: The output of a tool does not say for which call it is.
    """
    if message.role in {"activity", "reasoning"}:
        return []
    if message.role == "tool":
        if message.toolCallId is None:
            member = f"{place}.toolCallId"
            raise InvalidMember(f"`{place}`: a message of the role `tool` needs a member `toolCallId`.", member)
        return [{"role": "tool", "tool_call_id": message.toolCallId, "content": content}]
    if message.role == "assistant" and message.toolCalls:
        return [{"role": "assistant", "content": content or None, "tool_calls": message.toolCalls}]
    # An answer that was stopped before its first word tells a model nothing.
    return [{"role": message.role, "content": content}] if content else []
