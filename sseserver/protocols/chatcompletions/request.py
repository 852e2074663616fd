"""
Requests for chat completions: checked once, and turned into a `Prompt`.

`POST /v1/chat/completions` and, where it has `messages`, `POST /streams` read their bodies here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec

from sseserver.errors import InvalidMember
from sseserver.interfaces import IModels, ITokenSource
from sseserver.jsontext import convert
from sseserver.protocols.prompt import Part, checkModel, checkText, lastOfUser, readText
from sseserver.values import Prompt


# See `Part`.
class CompletionMessage(msgspec.Struct, gc=False):
    """The members of a message that are checked."""

    role: str
    content: str | list[Part] | None = None


class StreamOptions(msgspec.Struct):
    """The options of an answer in chunks that are checked."""

    include_usage: bool | None = None


class CompletionBody(msgspec.Struct):
    """
    The body of a request, as far as the types of its members are certain.

    Members that are not named here go to the source unchecked.
    """

    messages: Annotated[list[CompletionMessage], msgspec.Meta(min_length=1)]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, msgspec.Meta(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    user: str | None = None


class CompletionRequest(NamedTuple):
    """
    A request for a chat completion.

    Attributes:
        prompt: The prompt for the source.
        stream: Whether the client wants the answer as a stream of chunks.
    """

    prompt: Prompt
    stream: bool


def readCompletion(body: Mapping[str, Any], source: ITokenSource) -> CompletionRequest:
    """
    Read the body of a request.

    Args:
        body: The decoded JSON.
        source: The source that will answer. A source of one model accepts only its name, only one choice, and
            only text; one that provides `IModels` checks these itself.

    Returns:
        The request. If the answer is not wanted as a stream, the prompt asks for the usage.

    Raises:
        InvalidMember: A member is missing or has a wrong value.
        ModelNotFound: The source does not have the model.
    """
    asked = convert(body, CompletionBody)
    checkModel(asked.model, source)
    if asked.n is not None and asked.n > 1 and not IModels.providedBy(source):
        raise InvalidMember("`n` must be 1.", "n")
    # There can be tens of thousands: most of them have no place to name.
    texts = [
        one.content if isinstance(one.content, str) else readText(one.content, f"messages[{number}].content")
        for number, one in enumerate(asked.messages)
    ]
    text = lastOfUser([message.role for message in asked.messages], texts)
    checkText(text, source, "messages")
    return CompletionRequest(Prompt(text, body["messages"], _options(body, asked)), bool(asked.stream))


def _options(body: Mapping[str, Any], asked: CompletionBody) -> dict[str, Any]:
    """Return the options for the source: every member but the messages and `stream`."""
    options = {name: value for name, value in body.items() if name not in {"messages", "stream"}}
    if asked.model is None:
        # `null` means the source's own model.
        options.pop("model", None)
    if not asked.stream:
        options["stream_options"] = {**(options.get("stream_options") or {}), "include_usage": True}
    return options
