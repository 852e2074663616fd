"""
Content blocks: the parts of the messages in a request, checked by their types.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


# Without `gc`: see `sseserver.protocols.prompt.Part`.
class TextBlock(msgspec.Struct, tag_field="type", tag="text", gc=False):
    """Text."""

    text: str


class BytesSource(msgspec.Struct, tag_field="type", tag="base64", gc=False):
    """A file in the request."""

    media_type: str
    data: str


class URLSource(msgspec.Struct, tag_field="type", tag="url", gc=False):
    """A file at a URL."""

    url: str


class TextSource(msgspec.Struct, tag_field="type", tag="text", gc=False):
    """A text in the request."""

    data: str


class ImageBlock(msgspec.Struct, tag_field="type", tag="image", gc=False):
    """An image."""

    source: BytesSource | URLSource


class DocumentBlock(msgspec.Struct, tag_field="type", tag="document", gc=False):
    """A document: a text, or a PDF file."""

    source: BytesSource | TextSource
    title: str | None = None


class ToolUseBlock(msgspec.Struct, tag_field="type", tag="tool_use", gc=False):
    """A tool call of the assistant."""

    id: str
    name: str
    input: dict[str, Any]


class ToolResultBlock(msgspec.Struct, tag_field="type", tag="tool_result", gc=False):
    """The result of a tool call."""

    tool_use_id: str
    content: str | list[TextBlock | ImageBlock | DocumentBlock] | None = None


class ThinkingBlock(msgspec.Struct, tag_field="type", tag="thinking", gc=False):
    """The reasoning of an earlier answer. It is left out: a chat completion has no place for it."""


class RedactedThinkingBlock(msgspec.Struct, tag_field="type", tag="redacted_thinking", gc=False):
    """The encrypted reasoning of an earlier answer. It is left out, too."""


#: A content block of a message.
Block = TextBlock | ImageBlock | DocumentBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock


class InputMessage(msgspec.Struct, gc=False):
    """A message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]
