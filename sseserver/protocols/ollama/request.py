"""
Requests of Ollama's clients: checked once, and turned into a `Prompt` for a chat completion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from sseserver.errors import InvalidMember
from sseserver.interfaces import IModels, ITokenSource
from sseserver.jsontext import convert, toJSON
from sseserver.protocols.prompt import checkModel, checkText, lastOfUser
from sseserver.values import Prompt

#: The tag that Ollama adds to the name of a model without one.
_TAG = ":latest"

#: Options with the same name and meaning in a chat completion. Upstreams other than OpenAI's have `top_k`.
_SAME = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")

#: First characters of an image in base64, and its media type.
_IMAGES = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}

#: Characters of base64 that are looked at to refuse something else: URLs, names of files.
_LOOKED_AT = 64

_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]+={0,2}")


class OllamaFunction(msgspec.Struct, gc=False):
    """A function that the model has called."""

    name: str
    arguments: dict[str, Any] = {}


class OllamaCall(msgspec.Struct, gc=False):
    """A tool call of an earlier answer."""

    function: OllamaFunction
    id: str | None = None


class OllamaMessage(msgspec.Struct, gc=False):
    """A message of the conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    images: list[str] | None = None
    tool_calls: list[OllamaCall] | None = None
    tool_call_id: str | None = None


class OllamaOptions(msgspec.Struct):
    """
    The options that a chat completion has, too.

    Others, such as `num_ctx`, are those of Ollama's own engine, and are ignored.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    num_predict: int | None = None
    stop: str | list[str] | None = None


class _Body(msgspec.Struct, kw_only=True):
    """The members that the bodies of all requests for an answer have."""

    model: str
    stream: bool | None = None
    options: OllamaOptions | None = None
    format: str | dict[str, Any] | None = None
    think: bool | str | None = None


class OllamaChatBody(_Body, kw_only=True):
    """The body of a request for the next message of a chat, as far as it is read."""

    messages: list[OllamaMessage] = []
    tools: list[dict[str, Any]] | None = None


class OllamaGenerateBody(_Body, kw_only=True):
    """The body of a request for the answer to a prompt, as far as it is read."""

    prompt: str = ""
    system: str | None = None
    images: list[str] | None = None


class OllamaShowBody(msgspec.Struct):
    """The body of a request for the description of a model. Older clients call the model `name`."""

    model: str = ""
    name: str = ""


class OllamaRequest(NamedTuple):
    """
    A request for an answer.

    Attributes:
        prompt: The prompt for the source, as that of a chat completion; `None` if the client only wants the model to be
            loaded.
        stream: Whether the client wants the answer as a stream, as it does unless it says otherwise.
        model: Name of the model that the client asks for.
    """

    prompt: Prompt | None
    stream: bool
    model: str


def readOllamaChat(body: Mapping[str, Any], source: ITokenSource) -> OllamaRequest:
    """
    Read the body of a request for the next message of a chat.

    Args:
        body: The decoded JSON.
        source: The source that will answer. See `readCompletion`.

    Raises:
        InvalidMember: A member is missing or has a wrong value.
        ModelNotFound: The source does not have the model.
    """
    asked = convert(body, OllamaChatBody)
    messages = list(_convertMessages(asked.messages))
    options = {"tools": asked.tools} if asked.tools else {}
    return _makeRequest(asked, messages, options, source)


def readOllamaGenerate(body: Mapping[str, Any], source: ITokenSource) -> OllamaRequest:
    """
    Read the body of a request for the answer to a prompt.

    Args:
        body: See `readOllamaChat`.
        source: See `readOllamaChat`.

    Raises:
        InvalidMember: See `readOllamaChat`.
        ModelNotFound: See `readOllamaChat`.
    """
    asked = convert(body, OllamaGenerateBody)
    said = [OllamaMessage("system", asked.system)] if asked.system else []
    if asked.prompt or asked.images:
        said.append(OllamaMessage("user", asked.prompt, asked.images))
    return _makeRequest(asked, list(_convertMessages(said)), {}, source)


def readOllamaShow(body: Mapping[str, Any], source: ITokenSource) -> str:
    """
    Read the body of a request for the description of a model, and return the name of the model.

    Args:
        body: See `readOllamaChat`.
        source: See `readOllamaChat`.

    Raises:
        InvalidMember: The model is not named.
    """
    asked = convert(body, OllamaShowBody)
    if not asked.model and not asked.name:
        raise InvalidMember("`model` must name a model.", "model")
    return _dropTag(asked.model or asked.name, source)


def _dropTag(model: str, source: ITokenSource) -> str:
    """Return the name of a model without the tag that Ollama adds. An upstream decides itself what its names mean."""
    return model if IModels.providedBy(source) else model.removesuffix(_TAG)


def _makeRequest(
    asked: _Body, messages: Sequence[dict[str, Any]], more: Mapping[str, Any], source: ITokenSource
) -> OllamaRequest:
    """Make the request of a body whose messages are converted."""
    model = _dropTag(asked.model, source)
    checkModel(model, source)
    streamed = asked.stream is not False
    if all(message["role"] == "system" for message in messages):
        return OllamaRequest(None, streamed, asked.model)
    text = lastOfUser([each["role"] for each in messages], [_readText(each["content"]) for each in messages])
    checkText(text, source, "messages" if isinstance(asked, OllamaChatBody) else "prompt")
    options = {"model": model, **_listOptions(asked), **more}
    return OllamaRequest(Prompt(text, messages, options), streamed, asked.model)


def _convertMessages(messages: Sequence[OllamaMessage]) -> Iterator[dict[str, Any]]:
    """
    Convert messages into those of a chat completion.

    The results of tools refer to the calls before them, in their order: Ollama's messages need no IDs.
    """
    open: list[str] = []
    for number, message in enumerate(messages):
        converted: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            names = [call.id or f"call_{number}_{place}" for place, call in enumerate(message.tool_calls)]
            open = list(names)
            converted["tool_calls"] = list(map(_convertCall, names, message.tool_calls))
        elif message.role == "tool":
            converted["tool_call_id"] = message.tool_call_id or (open.pop(0) if open else f"call_{number}")
        if message.images:
            where = f"messages[{number}].images"
            images = [_convertImage(image, f"{where}[{place}]") for place, image in enumerate(message.images)]
            text = [{"type": "text", "text": message.content}] if message.content else []
            converted["content"] = [*text, *images]
        yield converted


def _convertCall(name: str, call: OllamaCall) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": toJSON(call.function.arguments).decode("ascii")}
    return {"id": name, "type": "function", "function": function}


def _convertImage(image: str, where: str) -> dict[str, Any]:
    """
    Convert an image.

    Raises:
        InvalidMember: It is no base64.
    """
    if not _BASE64.fullmatch(image[:_LOOKED_AT]):
        raise InvalidMember(f"`{where}` must be an image in base64.", where)
    types = [mediaType for start, mediaType in _IMAGES.items() if image.startswith(start)]
    return {"type": "image_url", "image_url": {"url": f"data:{(types or ['image/png'])[0]};base64,{image}"}}


def _readText(content: Any) -> str:
    """Return the text of a converted message."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _listOptions(asked: _Body) -> dict[str, Any]:
    """Return the options for the source: those of a chat completion."""
    told = asked.options or OllamaOptions()
    options: dict[str, Any] = {name: getattr(told, name) for name in _SAME if getattr(told, name) is not None}
    options["stream_options"] = {"include_usage": True}
    if told.num_predict is not None and told.num_predict > 0:
        options["max_tokens"] = told.num_predict
    if told.stop:
        options["stop"] = told.stop
    if isinstance(asked.think, str):
        options["reasoning_effort"] = asked.think
    if asked.format == "json":
        options["response_format"] = {"type": "json_object"}
    elif isinstance(asked.format, dict):
        options["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": asked.format}}
    elif asked.format:
        raise InvalidMember("`format` must be `json` or a JSON Schema.", "format")
    return options
