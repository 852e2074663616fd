"""
Requests for a response: checked once, and turned into a `Prompt` for any source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import msgspec

from sseserver.errors import InvalidMember
from sseserver.interfaces import ITokenSource
from sseserver.jsontext import convert
from sseserver.protocols.chatcompletions.content import textOf
from sseserver.protocols.prompt import checkModel, checkText, lastOfUser
from sseserver.protocols.responses.items import convertItems, listItems
from sseserver.protocols.responses.native import NATIVE, makeNative, mayPass
from sseserver.protocols.responses.response import DEFAULTS
from sseserver.tracebacks import forgetTraceback
from sseserver.values import Prompt

_Metadata = Annotated[dict[str, Annotated[str, msgspec.Meta(max_length=512)]], msgspec.Meta(max_length=16)]

#: Members that a chat completion has by the same name.
_SAME = (
    "frequency_penalty",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "temperature",
    "top_p",
    "user",
)

#: Members of the response that are those of the request.
_ECHOED = (*(name for name in DEFAULTS if name not in {"text", "tools", "reasoning"}), "model", "user")


class ResponseBody(msgspec.Struct):
    """The body of a request, as far as it is read."""

    input: str | list[Any]
    model: str | None = None
    instructions: str | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    metadata: _Metadata | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_tool_calls: Annotated[int, msgspec.Meta(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    parallel_tool_calls: bool | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """
    A request for a response.

    Attributes:
        asked: The members of the response that come from it.
        items: The input items.
        options: The options of a chat completion.
        native: The body, if an upstream may get it as it is; otherwise `None`.
        refusal: Why no chat completion can ask for the same, if the upstream may be asked for a response; or `None`.
        instructions: See the body.
        previous: ID of the response that it continues, or `None`.
        isStream: Whether the client wants the events.
        isBackground: Whether the run goes on without viewers.
        isStored: Whether the response can be retrieved.
    """

    asked: Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]
    options: Mapping[str, Any]
    native: Mapping[str, Any] | None
    refusal: InvalidMember | None
    instructions: str | None
    previous: str | None
    isStream: bool
    isBackground: bool
    isStored: bool

    def forgetContent(self) -> ResponseRequest:
        """Return what is needed of the request after its run has been started: its switches."""
        return replace(self, asked={}, items=(), options={}, native=None, refusal=None, instructions=None)

    def makePrompt(self, earlier: Sequence[Mapping[str, Any]], source: ITokenSource) -> Prompt:
        """
        Return the prompt.

        Args:
            earlier: The items of the conversation before.
            source: The source that will answer.

        Raises:
            InvalidMember: An item is malformed, or the source needs a text of the user and there is none.
        """
        options, refusal = self.options, self.refusal
        try:
            messages = convertItems(self.items)
        except InvalidMember as error:
            if self.native is None:
                raise
            forgetTraceback(error)
            refusal = refusal or error
            messages = convertItems(self.items, leavesOut=True)
        if self.native is not None:
            options = {**options, NATIVE: makeNative(self.native, earlier, self.items, refusal)}
        texts = [textOf(message["content"]) for message in messages]
        text = lastOfUser([message["role"] for message in messages], texts)
        checkText(text, source, "input")
        before = [{"role": "system", "content": self.instructions}] if self.instructions else []
        return Prompt(text, [*before, *convertItems(earlier, leavesOut=True), *messages], options)


def readResponse(body: Mapping[str, Any], source: ITokenSource) -> ResponseRequest:
    """
    Read the body of a request.

    Args:
        body: The decoded JSON.
        source: The source that will answer. One of a single model accepts only its name.

    Raises:
        InvalidMember: A member is missing or has a wrong value.
        ModelNotFound: The source does not have the model.
    """
    asked = convert(body, ResponseBody)
    checkModel(asked.model, source)
    _checkSupported(asked)
    isBackground, isStored = bool(asked.background), asked.store is not False
    if isBackground and not isStored:
        raise InvalidMember("`background` needs `store`: nobody could get the response.", "background")
    native = body if mayPass(source) else None
    options, refusal = _convertOptions(body, asked, native is not None)
    return ResponseRequest(
        _echo(body, asked, source.model),
        listItems(asked.input),
        options,
        native,
        refusal,
        asked.instructions,
        asked.previous_response_id,
        bool(asked.stream),
        isBackground,
        isStored,
    )


def _checkSupported(asked: ResponseBody) -> None:
    """
    Check members that have a meaning elsewhere.

    Raises:
        InvalidMember: One of them is set.
    """
    for name in ("conversation", "prompt"):
        if getattr(asked, name) is not None:
            hint = " Continue a response with `previous_response_id`." if name == "conversation" else ""
            raise InvalidMember(f"`{name}` is not supported here.{hint}", name)
    if asked.input == []:
        raise InvalidMember("`input` must not be empty.", "input")


def _echo(body: Mapping[str, Any], asked: ResponseBody, model: str) -> dict[str, Any]:
    """Return the members of the response that come from the request."""
    echoed = {name: body[name] for name in _ECHOED if body.get(name) is not None}
    echoed.setdefault("model", model)
    text = asked.text or {}
    form = text.get("format") or {"type": "text"}
    if isinstance(form, dict) and form.get("type") == "json_schema":
        form = {"description": None, "strict": False, **form}
    verbosity = {"verbosity": text["verbosity"]} if text.get("verbosity") is not None else {}
    echoed["text"] = {"format": form, **verbosity}
    echoed["reasoning"] = {"effort": None, "summary": None, **(asked.reasoning or {})}
    echoed["tools"] = [
        {"description": None, "parameters": None, "strict": None, **tool} if tool.get("type") == "function" else tool
        for tool in asked.tools or ()
    ]
    return echoed


def _convertOptions(
    body: Mapping[str, Any], asked: ResponseBody, mayPass: bool
) -> tuple[dict[str, Any], InvalidMember | None]:
    """
    Return the options of a chat completion; and why they do not ask for the same, if an upstream may be asked for more.

    Raises:
        InvalidMember: A chat completion cannot ask for the same, and nothing else can be asked for.
    """
    try:
        return _makeOptions(body, asked), None
    except InvalidMember as refusal:
        if not mayPass:
            raise
        forgetTraceback(refusal)
        known = msgspec.structs.replace(asked, tools=None, tool_choice=None, text=None)
        return _makeOptions(body, known), refusal


def _makeOptions(body: Mapping[str, Any], asked: ResponseBody) -> dict[str, Any]:
    """Return the options of a chat completion that ask for the same."""
    options: dict[str, Any] = {name: body[name] for name in _SAME if body.get(name) is not None}
    if asked.model is not None:
        options["model"] = asked.model
    if asked.max_output_tokens is not None:
        options["max_completion_tokens"] = asked.max_output_tokens
    if asked.top_logprobs:
        options |= {"logprobs": True, "top_logprobs": asked.top_logprobs}
    if asked.reasoning and asked.reasoning.get("effort") is not None:
        options["reasoning_effort"] = asked.reasoning["effort"]
    if asked.tools:
        options["tools"] = [_convertTool(tool, f"tools[{number}]") for number, tool in enumerate(asked.tools)]
    if asked.tool_choice is not None:
        options["tool_choice"] = _convertChoice(asked.tool_choice)
    options |= _convertText(asked.text or {})
    options["stream_options"] = {"include_usage": True}
    return options


def _convertTool(tool: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return a tool as a chat completion has it."""
    if tool.get("type") != "function":
        raise InvalidMember(f"`{place}`: only tools of the type `function` are supported here.", f"{place}.type")
    if not isinstance(tool.get("name"), str) or not tool["name"]:
        raise InvalidMember(f"`{place}` needs a member `name`, a string.", f"{place}.name")
    names = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {name: tool[name] for name in names if tool.get(name) is not None}}


def _convertChoice(choice: str | Mapping[str, Any]) -> str | dict[str, Any]:
    """Return the choice of a tool as a chat completion has it."""
    if isinstance(choice, str):
        return choice
    if choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    if choice.get("type") == "allowed_tools" and isinstance(choice.get("tools"), list):
        tools = [_convertChoice(tool) if isinstance(tool, dict) else tool for tool in choice["tools"]]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode", "auto"), "tools": tools}}
    raise InvalidMember("`tool_choice` must be a word, or of the type function or allowed_tools.", "tool_choice")


def _convertText(text: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options about the form of the text."""
    options = {"verbosity": text["verbosity"]} if text.get("verbosity") is not None else {}
    form = text.get("format")
    if form is None:
        return options
    if not isinstance(form, dict) or form.get("type") not in ("text", "json_object", "json_schema"):
        raise InvalidMember("`text.format.type` must be text, json_object or json_schema.", "text.format")
    if form["type"] == "json_schema":
        schema = {
            name: form[name] for name in ("name", "description", "schema", "strict") if form.get(name) is not None
        }
        return {**options, "response_format": {"type": "json_schema", "json_schema": schema}}
    return options if form["type"] == "text" else {**options, "response_format": {"type": form["type"]}}
