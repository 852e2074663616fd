"""
The requests of the Vercel AI SDK's chats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from sseserver.errors import InvalidMember
from sseserver.interfaces import ITokenSource
from sseserver.jsontext import convert, toJSON
from sseserver.protocols.prompt import (
    checkText,
    joinContent,
    lastOfUser,
    makeFilePart,
    makePicturePart,
    pickOptions,
)
from sseserver.values import Prompt

CHAT_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")

#: Types of parts with tool calls: the name of the tool follows, or is a member.
_TOOL, _DYNAMIC_TOOL = "tool-", "dynamic-tool"

#: States of a tool call that has ended.
_OUTPUT, _ERROR = "output-available", "output-error"


# Without `gc`: see `Part` of `sseserver.protocols.prompt`.
class UIPart(msgspec.Struct, gc=False):
    """The members of a part of a UI message that are read; which of them a part has depends on its type."""

    type: str
    text: str | None = None
    url: str | None = None
    mediaType: str | None = None
    filename: str | None = None
    toolName: str | None = None
    toolCallId: str | None = None
    state: str | None = None
    input: Any = None
    output: Any = None
    errorText: str | None = None


class UIMessage(msgspec.Struct, gc=False):
    """The members of a UI message that are read."""

    role: Literal["system", "user", "assistant"]
    parts: list[UIPart]


class ChatBody(msgspec.Struct):
    """The body that the SDK's transports send, as far as it is read. Members of a chat completion may be in it."""

    messages: Annotated[list[UIMessage], msgspec.Meta(min_length=1)]
    id: str | None = None
    model: str | None = None


class ChatRequest(NamedTuple):
    """
    A request for the next answer of a chat.

    Attributes:
        prompt: The prompt for the source.
        chat: ID of the chat; `None` if the request has none, as that of `WorkflowChatTransport`.
    """

    prompt: Prompt
    chat: str | None


def readChat(body: Mapping[str, Any], source: ITokenSource) -> ChatRequest:
    """
    Read the body of a request: its messages, and the members of a chat completion that `pickOptions` takes.

    Args:
        body: The decoded JSON.
        source: The source that will answer.

    Raises:
        InvalidMember: A member is missing or has a wrong value.
        ModelNotFound: The source does not have the model.
    """
    _refuseForeign(body)
    asked = convert(body, ChatBody)
    options = pickOptions(body, source)
    if asked.id is not None:
        checkChatID(asked.id)
    messages: list[dict[str, Any]] = []
    for number, message in enumerate(asked.messages):
        for place, part in enumerate(message.parts):
            _checkPart(part, f"messages[{number}].parts[{place}]")
        messages += _convertAnswer(message.parts) if message.role == "assistant" else _convertMessage(message)
    if not messages:
        raise InvalidMember("`messages` must contain text.", "messages")
    text = lastOfUser([message.role for message in asked.messages], [_joinText(each.parts) for each in asked.messages])
    checkText(text, source, "messages")
    return ChatRequest(Prompt(text, messages, options), asked.id)


def _refuseForeign(body: Mapping[str, Any]) -> None:
    """Refuse the messages of another API, such as Ollama's, which has the same path."""
    messages = body.get("messages")
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, dict) and "content" in message and "parts" not in message:
            raise InvalidMember(
                f"`messages[{number}]` needs `parts`, as the Vercel AI SDK sends them. Chat completions are at"
                " /v1/chat/completions; Ollama's API is below /ollama, with the option --ollama.",
                f"messages[{number}].parts",
            )


def checkChatID(chat: str) -> str:
    """
    Check the ID of a chat, which is a segment of a URL.

    Returns:
        The ID, unchanged.

    Raises:
        InvalidMember: It is not 1 to 128 of the characters `A-Z a-z 0-9 . _ ~ -`.
    """
    # In a URL the segments `.` and `..` have a meaning of their own.
    if not CHAT_ID.fullmatch(chat) or chat in {".", ".."}:
        raise InvalidMember("`id` must be 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -.", "id")
    return chat


def _checkPart(part: UIPart, place: str) -> None:
    """
    Check that a part has the members that its type needs.

    Args:
        part: The part.
        place: Name of the member, for the error.

    Raises:
        InvalidMember: It does not.
    """
    needed: tuple[str, ...] = ()
    if part.type == "text":
        needed = ("text",)
    elif part.type == "file":
        needed = ("url", "mediaType")
    elif _nameTool(part):
        needed = ("toolCallId",)
    for name in needed:
        if getattr(part, name) is None:
            raise InvalidMember(f"`{place}`: a part of type `{part.type}` needs a member `{name}`.", f"{place}.{name}")


def _nameTool(part: UIPart) -> str:
    """Return the name of the tool that a part calls; empty for other parts."""
    if part.type == _DYNAMIC_TOOL:
        return part.toolName or ""
    return part.type[len(_TOOL) :] if part.type.startswith(_TOOL) else ""


def _joinText(parts: list[UIPart]) -> str:
    """Return the text of a message."""
    return "".join(part.text or "" for part in parts if part.type == "text")


def _convertMessage(message: UIMessage) -> list[dict[str, Any]]:
    """Return the message of a system or of a user, if it has content."""
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        if part.type == "text" and part.text:
            parts.append({"type": "text", "text": part.text})
        elif part.type == "file" and part.url and part.mediaType is not None:
            isPicture = part.mediaType.startswith("image/")
            parts.append(makePicturePart(part.url) if isPicture else makeFilePart(part.url, part.filename))
    return [{"role": message.role, "content": joinContent(parts)}] if parts else []


def _convertAnswer(parts: list[UIPart]) -> list[dict[str, Any]]:
    """
    Return the messages of an answer: text and tool calls, and the outputs of the tools.

    An answer that was stopped before its first word tells a model nothing, and neither does a call without an output.
    """
    messages: list[dict[str, Any]] = []
    outputs: list[dict[str, Any]] = []
    # An answer can have ten thousands of texts: they are joined once.
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in parts:
        if part.type == "text" and part.text:
            if outputs:
                # The text of the next step.
                messages += _makeAnswer(texts, calls), *outputs
                texts, calls, outputs = [], [], []
            texts.append(part.text)
        elif (name := _nameTool(part)) and part.state in {_OUTPUT, _ERROR}:
            given = "{}" if part.input is None else toJSON(part.input).decode("ascii")
            function = {"name": name, "arguments": given}
            calls.append({"id": part.toolCallId, "type": "function", "function": function})
            result = part.errorText if part.state == _ERROR else part.output
            content = result if isinstance(result, str) else toJSON(result).decode("ascii")
            outputs.append({"role": "tool", "tool_call_id": part.toolCallId, "content": content})
    return [*messages, _makeAnswer(texts, calls), *outputs] if texts or calls else messages


def _makeAnswer(texts: list[str], calls: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one step of an answer: its text, and the calls of tools if it has any."""
    called = {"tool_calls": calls} if calls else {}
    return {"role": "assistant", "content": "".join(texts) if texts else None, **called}
