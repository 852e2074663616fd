"""
Prompts: what a client asks, in OpenAI's words or the Vercel AI SDK's, checked
once and turned into a L{Prompt}; and what a prompt and its answer took.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.interfaces import IModels, ITokenSource
from sseserver.values import Prompt

T = TypeVar("T", bound=msgspec.Struct)

#: How msgspec ends its sentences: where in the body something is wrong.
_PLACE = re.compile(r" - at `\$\.?(.*)`$")

#: What it says of a member that is not there.
_MISSING = re.compile(r"Object missing required field `(.*)`$")

#: Ids that clients give their chats.
_CHAT = re.compile(r"[A-Za-z0-9._~-]{1,128}")


class _Part(msgspec.Struct):
    """A part of a message: text, an image, a file ..."""

    type: str
    text: str | None = None


class _Message(msgspec.Struct):
    """A message, as far as it matters here."""

    role: str
    content: str | list[_Part] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Completion(msgspec.Struct):
    """
    The body of a chat completion's request, as far as its types are known for
    certain. Members that are not named here go to the source as they are.
    """

    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
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


class _UIMessage(msgspec.Struct):
    """A message of the Vercel AI SDK."""

    role: Literal["system", "user", "assistant"]
    parts: list[_Part]


class _Chat(msgspec.Struct):
    """The body that the SDK's C{DefaultChatTransport} sends."""

    id: str
    messages: Annotated[list[_UIMessage], msgspec.Meta(min_length=1)]
    model: str | None = None


class _Plain(msgspec.Struct):
    """The body of C{POST /streams}, when there are no messages in it."""

    prompt: str | None = None


def readPrompt(body: Mapping[str, Any], source: ITokenSource) -> Prompt | None:
    """
    Read the request of a run.

    Args:
        body: As it came, in JSON: C{prompt}, or what a chat completion has.
        source: Whose models there are.

    Returns:
        The prompt; C{None} when there is none.

    Raises:
        InvalidMember: A member is not what it must be.
        ModelNotFound: The source is not called that.
    """
    prompt = _convert(body, _Plain).prompt
    if body.get("messages") is None:
        if prompt is not None:
            _checkText(prompt, source, "prompt")
        return None if prompt is None else Prompt(prompt)
    if prompt is not None:
        raise InvalidMember("There is either a prompt or messages.", "prompt")
    return readCompletion({**body, "stream": True}, source)[0]


def readCompletion(body: Mapping[str, Any], source: ITokenSource) -> tuple[Prompt, bool]:
    """
    Read the request of a chat completion.

    Args:
        body: As it came, in JSON.
        source: Whose models there are.

    Returns:
        The prompt, and whether the answer is wanted as a stream. For one that
        is not, the source is asked what it took.

    Raises:
        InvalidMember: A member is missing, or not what it must be.
        ModelNotFound: The source is not called that.
    """
    asked = _convert(body, _Completion)
    _checkModel(asked.model, source)
    if asked.n is not None and asked.n > 1 and not IModels.providedBy(source):
        raise InvalidMember("There is one choice only: n is 1.", "n")
    options = {name: value for name, value in body.items() if name not in {"messages", "stream"}}
    if asked.model is None:
        # Null is no model: the source has its own.
        options.pop("model", None)
    if not asked.stream:
        options["stream_options"] = {**(options.get("stream_options") or {}), "include_usage": True}
    texts = [_text(message.content, f"messages[{number}].content") for number, message in enumerate(asked.messages)]
    text = _lastOfUser(asked.messages, texts)
    _checkText(text, source, "messages")
    return Prompt(text, body["messages"], options), bool(asked.stream)


def _checkText(text: str, source: ITokenSource, member: str) -> None:
    """
    Check that there is something to ask. An upstream makes of the messages what it will; all others have only their
    text.

    Raises:
        InvalidMember: A source that needs a prompt would be asked nothing.
    """
    if not text and source.takesPrompt and not IModels.providedBy(source):
        raise InvalidMember("There is no text of a user in it, and this source takes nothing else.", member)


def readChat(body: Mapping[str, Any], source: ITokenSource) -> tuple[Prompt, str]:
    """
    Read the request of the Vercel AI SDK. Of its messages only the text is
    taken; of other members only C{model}.

    Args:
        body: As it came, in JSON.
        source: Whose models there are.

    Returns:
        The prompt, and the chat's id.

    Raises:
        InvalidMember: A member is missing, or not what it must be.
        ModelNotFound: The source is not called that.
    """
    asked = _convert(body, _Chat)
    _checkModel(asked.model, source)
    checkChat(asked.id)
    texts = [_text(message.parts, f"messages[{number}].parts") for number, message in enumerate(asked.messages)]
    # An answer that was broken off before its first word says nothing to a model.
    messages = [
        {"role": message.role, "content": text} for message, text in zip(asked.messages, texts, strict=True) if text
    ]
    if not messages:
        raise InvalidMember("There is no text in the messages.", "messages")
    options = {} if asked.model is None else {"model": asked.model}
    text = _lastOfUser(asked.messages, texts)
    _checkText(text, source, "messages")
    return Prompt(text, messages, options), asked.id


def checkChat(chat: str) -> str:
    """
    Check the id of a chat.

    Raises:
        InvalidMember: It has other characters than C{A-Z a-z 0-9 . _ ~ -}, or not 1 to 128 of them.
    """
    # Segments of these names mean something else in a URL.
    if not _CHAT.fullmatch(chat) or chat in {".", ".."}:
        raise InvalidMember("A chat's id has 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -.", "id")
    return chat


def wantsUsage(prompt: Prompt | None) -> bool:
    """Whether it was asked what the answer took."""
    options = prompt.options.get("stream_options") if prompt else None
    return isinstance(options, Mapping) and options.get("include_usage") is True


def usage(prompt: Prompt, tokens: int) -> dict[str, int]:
    """
    Tell what a prompt and its answer took, for a source that does not know it
    itself: of the prompt, each word counts as a token.

    Args:
        tokens: Of the answer.
    """
    texts = [_plain(message.get("content")) for message in prompt.messages] or [prompt.text]
    words = sum(len(text.split()) for text in texts)
    return {"prompt_tokens": words, "completion_tokens": tokens, "total_tokens": words + tokens}


def _convert(body: Mapping[str, Any], shape: type[T]) -> T:
    """Check a body; say in OpenAI's words where it is wrong."""
    try:
        return msgspec.convert(body, shape)
    except msgspec.ValidationError as error:
        message = _PLACE.sub("", str(error))
        place = _PLACE.search(str(error))
        missing = _MISSING.match(message)
        steps = [place[1] if place else "", missing[1] if missing else ""]
        param = ".".join(step for step in steps if step)
        raise InvalidMember(f"The body has not the right shape: {message} - at {param!r}.", param) from None


def _checkModel(model: str | None, source: ITokenSource) -> None:
    if model is not None and model != source.model and not IModels.providedBy(source):
        raise ModelNotFound(f"There is no model {model!r} here; the model is {source.model!r}.")


def _text(content: str | list[_Part] | None, place: str) -> str:
    """Give the text of a message; parts that are no text have none."""
    if not isinstance(content, list):
        return content or ""
    for number, part in enumerate(content):
        if part.type == "text" and part.text is None:
            raise InvalidMember("A part of the type text has a text.", f"{place}[{number}].text")
    return "".join(part.text or "" for part in content if part.type == "text")


def _lastOfUser(messages: Sequence[_Message | _UIMessage], texts: list[str]) -> str:
    """Give the text of the last message that is the user's."""
    users = [text for message, text in zip(messages, texts, strict=True) if message.role == "user"]
    return users[-1] if users else ""


def textOfParts(parts: Sequence[object], between: str = "") -> str:
    """Give the text of a content that comes in parts, whatever is in it."""
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return between.join(text for text in texts if isinstance(text, str))


def _plain(content: object) -> str:
    """Give the text of a message that was checked before, or was made by a program."""
    if isinstance(content, str):
        return content
    return textOfParts(content, " ") if isinstance(content, list) else ""
