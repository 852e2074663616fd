"""
The UI messages of the Vercel AI SDK: the requests of its chats, and the parts of a UI message stream, version 1.

Reference: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from sseserver.errors import InvalidMember
from sseserver.interfaces import ITokenSource
from sseserver.jsontext import convert
from sseserver.protocols.prompt import Part, checkModel, checkText, lastOfUser, readText
from sseserver.values import Prompt

#: Name and value of the header that every response with a UI message stream has.
HEADER = (b"x-vercel-ai-ui-message-stream", b"v1")

#: ID of the text in a message; each message has one text.
TEXT_ID = "0"

CHAT_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")


# See `Part`.
class UIMessage(msgspec.Struct, gc=False):
    """The members of a UI message that are read."""

    role: Literal["system", "user", "assistant"]
    parts: list[Part]


class ChatBody(msgspec.Struct):
    """The body that the SDK's `DefaultChatTransport` sends, as far as it is read."""

    id: str
    messages: Annotated[list[UIMessage], msgspec.Meta(min_length=1)]
    model: str | None = None


class ChatRequest(NamedTuple):
    """
    A request for the next answer of a chat.

    Attributes:
        prompt: The prompt for the source.
        chat: ID of the chat.
    """

    prompt: Prompt
    chat: str


def readChat(body: Mapping[str, Any], source: ITokenSource) -> ChatRequest:
    """
    Read the body of a request: the text of its messages, and the member `model`. Other members are ignored.

    Args:
        body: The decoded JSON.
        source: The source that will answer.

    Raises:
        InvalidMember: A member is missing or has a wrong value.
        ModelNotFound: The source does not have the model.
    """
    asked = convert(body, ChatBody)
    checkModel(asked.model, source)
    checkChatID(asked.id)
    texts = [readText(message.parts, f"messages[{number}].parts") for number, message in enumerate(asked.messages)]
    roles = [message.role for message in asked.messages]
    # A message without text is an answer that was stopped before its first word. It tells a model nothing.
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True) if text]
    if not messages:
        raise InvalidMember("`messages` must contain text.", "messages")
    text = lastOfUser(roles, texts)
    checkText(text, source, "messages")
    return ChatRequest(Prompt(text, messages, {} if asked.model is None else {"model": asked.model}), asked.id)


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


def startParts(messageID: str) -> list[dict[str, str]]:
    """Return the parts that open a message with one text."""
    return [{"type": "start", "messageId": messageID}, {"type": "start-step"}, {"type": "text-start", "id": TEXT_ID}]


def deltaPart(text: str) -> dict[str, str]:
    """Return the part that adds to the text of a message."""
    return {"type": "text-delta", "id": TEXT_ID, "delta": text}


#: The parts that end a message. Version 5.0 of the SDK refuses parts with other members, such as a finish reason.
END_PARTS = ({"type": "text-end", "id": TEXT_ID}, {"type": "finish-step"}, {"type": "finish"})

#: The part that ends a message that was cancelled.
ABORT_PART = {"type": "abort"}


def errorPart(message: str) -> dict[str, str]:
    """Return the part that reports an error to the reader of a chat."""
    return {"type": "error", "errorText": message}
