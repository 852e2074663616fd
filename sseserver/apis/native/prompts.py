"""
The body of `POST streams`: a prompt, or the messages of a chat completion.

Used by `streams`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sseserver.errors import BadRequest, InvalidMember
from sseserver.interfaces import ITokenSource
from sseserver.jsontext import convert, nameUnread
from sseserver.protocols.chatcompletions import readCompletion
from sseserver.protocols.prompt import checkText
from sseserver.values import Prompt


class _Plain(msgspec.Struct):
    """A body without messages."""

    prompt: str | None = None


def makeMissing(body: Mapping[str, Any]) -> BadRequest:
    """Return the error for a body without a prompt, if the source needs one."""
    unread = nameUnread(body, ("prompt", "messages"))
    message = "This token source needs a prompt. Send a JSON object with `prompt` or `messages`."
    return BadRequest(f"{message}{unread}")


def readPrompt(body: Mapping[str, Any], source: ITokenSource) -> Prompt | None:
    """
    Read the body of a request that starts a run.

    Args:
        body: The decoded JSON: the member `prompt`, or the members of a chat completion's request.
        source: The source of the run.

    Returns:
        The prompt; `None` if there is none.

    Raises:
        InvalidMember: A member has a wrong value.
        ModelNotFound: The source does not have the model.
    """
    prompt = convert(body, _Plain).prompt
    if body.get("messages") is None:
        if prompt is None:
            return None
        checkText(prompt, source, "prompt")
        return Prompt(prompt)
    if prompt is not None:
        raise InvalidMember("Send `prompt` or `messages`, not both.", "prompt")
    return readCompletion({**body, "stream": True}, source).prompt
