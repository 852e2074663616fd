"""
Requests for messages: checked once, and turned into a `Prompt` for a chat completion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec

from sseserver.errors import BadRequest, InvalidMember
from sseserver.interfaces import ITokenSource
from sseserver.jsontext import convert
from sseserver.protocols.messages.blocks import InputMessage, TextBlock
from sseserver.protocols.messages.conversion import Tool, ToolChoice, convertChoice, convertMessages, convertTools
from sseserver.protocols.prompt import checkModel, checkText, lastOfUser
from sseserver.values import Prompt

#: A version of Anthropic's API. All of them have the parts that are used here.
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

#: Options with the same name and meaning in a chat completion. Upstreams other than OpenAI's have `top_k`.
_SAME = ("model", "max_tokens", "temperature", "top_p", "top_k")


class Metadata(msgspec.Struct):
    """Notes of the client about the request."""

    user_id: str | None = None


class OutputFormat(msgspec.Struct):
    """The form of the answer."""

    type: str
    schema: dict[str, Any] | None = None


class OutputConfig(msgspec.Struct):
    """Options of the answer."""

    format: OutputFormat | None = None


class TokensBody(msgspec.Struct, kw_only=True):
    """
    The body of a request to count tokens, as far as it is read.

    Other members, such as `thinking`, `service_tier` and `cache_control`, have no equivalent and are ignored.
    """

    model: str
    messages: Annotated[list[InputMessage], msgspec.Meta(min_length=1)]
    system: str | list[TextBlock] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    output_config: OutputConfig | None = None


class MessagesBody(TokensBody, kw_only=True):
    """The body of a request for a message, as far as it is read."""

    max_tokens: Annotated[int, msgspec.Meta(ge=1)]
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: Metadata | None = None


class MessagesRequest(NamedTuple):
    """
    A request for a message.

    Attributes:
        prompt: The prompt for the source, as that of a chat completion. It asks for the usage.
        stream: Whether the client wants the answer as a stream of events.
    """

    prompt: Prompt
    stream: bool


def checkVersion(version: str | None) -> None:
    """
    Check the header `anthropic-version`.

    Args:
        version: Its value; `None` without the header, which clients other than Anthropic's leave out.

    Raises:
        BadRequest: It is no version.
    """
    if version is not None and not _VERSION.fullmatch(version):
        raise BadRequest(f"anthropic-version must be a date such as 2023-06-01, not {version[:50]!r}.")


def readMessages(body: Mapping[str, Any], source: ITokenSource) -> MessagesRequest:
    """
    Read the body of a request.

    Args:
        body: The decoded JSON.
        source: The source that will answer. See `readCompletion`.

    Raises:
        InvalidMember: A member is missing or has a wrong value.
        ModelNotFound: The source does not have the model.
    """
    asked = convert(body, MessagesBody)
    checkModel(asked.model, source)
    messages = convertMessages(asked.system, asked.messages)
    if all(message["role"] == "system" for message in messages):
        raise InvalidMember("`messages` must have content.", "messages")
    roles = [str(message["role"]) for message in messages]
    text = lastOfUser(roles, [_readText(message["content"]) for message in messages])
    checkText(text, source, "messages")
    return MessagesRequest(Prompt(text, messages, _listOptions(asked)), bool(asked.stream))


def _readText(content: Any) -> str:
    """Return the text of a converted message."""
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


def _listOptions(asked: MessagesBody) -> dict[str, Any]:
    """Return the options for the source: those of a chat completion."""
    options: dict[str, Any] = {name: getattr(asked, name) for name in _SAME if getattr(asked, name) is not None}
    options["stream_options"] = {"include_usage": True}
    if asked.stop_sequences:
        options["stop"] = asked.stop_sequences
    if asked.metadata is not None and asked.metadata.user_id:
        options["user"] = asked.metadata.user_id
    if asked.tools:
        options["tools"] = convertTools(asked.tools)
    if asked.tool_choice is not None:
        options |= convertChoice(asked.tool_choice)
    if asked.output_config is not None and asked.output_config.format is not None:
        options["response_format"] = _convertFormat(asked.output_config.format)
    return options


def _convertFormat(form: OutputFormat) -> dict[str, Any]:
    """
    Convert the form of the answer.

    Raises:
        InvalidMember: It is unknown.
    """
    if form.type != "json_schema" or form.schema is None:
        place = "output_config.format"
        raise InvalidMember(f"`{place}` must have the type json_schema, and a `schema`.", place)
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": form.schema, "strict": True}}
