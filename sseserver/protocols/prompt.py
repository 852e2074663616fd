"""
Prompts: the parts of a conversation, and the checks, that the requests of all protocols share.

The request of each protocol makes a `Prompt` with it, and so does the native API.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.interfaces import IModels, ITokenSource

#: Characters. Longest question that the state of a stream shows. Every stream keeps one.
LONGEST_QUESTION = 4096


# Without `gc`: a long conversation has ten thousands, and the collector would walk over them while they are made.
class Part(msgspec.Struct, gc=False):
    """A part of a message: text, an image, a file."""

    type: str
    text: str | None = None


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
