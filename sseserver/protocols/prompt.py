"""
Prompts: the parts of a conversation, and the checks, that the requests of all protocols share.

The request of each protocol makes a `Prompt` with it, and so does the native API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.interfaces import IModels, ITokenSource
from sseserver.jsontext import convert

#: Characters. Longest question that the state of a stream shows. Every stream keeps one.
LONGEST_QUESTION = 4096


# Without `gc`: a long conversation has ten thousands, and the collector would walk over them while they are made.
class Part(msgspec.Struct, gc=False):
    """A part of a message: text, an image, a file."""

    type: str
    text: str | None = None


class ModelOptions(msgspec.Struct):
    """The members of a chat completion that other protocols' requests may have, too."""

    model: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: str | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    response_format: dict[str, Any] | None = None


def cutQuestion(text: str) -> str:
    """
    Return the question that the state of a stream shows.

    Args:
        text: The last message of the user. More than `LONGEST_QUESTION` characters are cut off, which an ellipsis
            shows. Lone surrogates, which UTF-8 lacks, become question marks.
    """
    if len(text) > LONGEST_QUESTION:
        text = text[: LONGEST_QUESTION - 1] + "…"
    return text.encode("utf-8", "replace").decode("utf-8")


def checkModel(model: str | None, source: ITokenSource) -> None:
    """
    Check that a source has a model.

    Args:
        model: Name of the model that a client asks for; `None` leaves the choice to the source.
        source: The source.

    Raises:
        ModelNotFound: The source has one model, and it is another one.
    """
    if model is not None and model != source.model and not IModels.providedBy(source):
        raise ModelNotFound(f"There is no model {model!r} here; the model is {source.model!r}.")


def checkText(text: str, source: ITokenSource, member: str) -> None:
    """
    Check that a prompt has text, if the source needs one and reads nothing else of it.

    A source that provides `IModels` gets the messages themselves.

    Args:
        text: The text of the last message of the user.
        source: The source that will answer.
        member: Name of the member that has the text.

    Raises:
        InvalidMember: There is no text.
    """
    if not text and source.takesPrompt and not IModels.providedBy(source):
        raise InvalidMember(f"`{member}` must contain text of the user: this source accepts only text.", member)


def readText(content: str | list[Part] | None, place: str) -> str:
    """
    Return the text of a message; parts of other types are skipped.

    Args:
        content: A string or a list of parts.
        place: Name of the member, for the error.

    Raises:
        InvalidMember: A part of type `text` has no text.
    """
    if not isinstance(content, list):
        return content or ""
    for number, part in enumerate(content):
        if part.type == "text" and part.text is None:
            where = f"{place}[{number}]"
            raise InvalidMember(f"`{where}`: a part of type `text` needs a member `text`.", f"{where}.text")
    return "".join(part.text or "" for part in content if part.type == "text")


def lastOfUser(roles: Sequence[str], texts: Sequence[str]) -> str:
    """
    Return the text of the last message whose role is `user`; empty if there is none.

    Args:
        roles: The role of each message.
        texts: The text of each message, in the same order.
    """
    users = [text for role, text in zip(roles, texts, strict=True) if role == "user"]
    return users[-1] if users else ""


def pickOptions(body: Mapping[str, Any], source: ITokenSource) -> dict[str, Any]:
    """
    Return the options of a prompt from a request that is none for a chat completion, but may have members of one.

    Args:
        body: The object that may have them; `null` stands for a member that is missing.
        source: The source that will answer. One that provides `IModels` is asked for the usage.

    Raises:
        InvalidMember: A member has a wrong type.
        ModelNotFound: The source does not have the model.
    """
    found = {name: body[name] for name in ModelOptions.__struct_fields__ if body.get(name) is not None}
    checkModel(convert(found, ModelOptions).model, source)
    if IModels.providedBy(source):
        found["stream_options"] = {"include_usage": True}
    return found


def makePicturePart(url: str) -> dict[str, Any]:
    """Return the part of a message that is a picture, as in a chat completion."""
    return {"type": "image_url", "image_url": {"url": url}}


def makeFilePart(url: str, name: str | None) -> dict[str, Any]:
    """
    Return the part of a message that is a file, as in a chat completion.

    Args:
        url: Its URL, with scheme `data`.
        name: Its name.
    """
    return {"type": "file", "file": {"filename": name or "file", "file_data": url}}


def joinContent(parts: Sequence[Mapping[str, Any]]) -> str | Sequence[Mapping[str, Any]]:
    """Return the content of a message: a string if it is nothing but text, otherwise the parts."""
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts
