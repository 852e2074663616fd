"""
OpenAI's legacy completions, without I/O: a prompt in, a text out.

A request becomes one for a chat completion whose only message is the prompt, so that every source answers it. The
chunks of the answer, and the answer in one piece, become objects `text_completion`.

Reference: https://platform.openai.com/docs/api-reference/completions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from sseserver.errors import InvalidMember
from sseserver.interfaces import ITokenSource
from sseserver.jsontext import convert, toJSON
from sseserver.protocols.chatcompletions import ChunkWriter, CompletionRequest, readCompletion
from sseserver.protocols.chatcompletions.chunk import decodeChunk, replaceSurrogates
from sseserver.protocols.chatcompletions.content import textOf
from sseserver.protocols.chatcompletions.request import StreamOptions
from sseserver.protocols.jsonpieces import Array
from sseserver.values import Reason

#: Name of the objects.
OBJECT = "text_completion"

#: Members of a request that have no counterpart in chat completions, and are left out.
_LEGACY = frozenset({"best_of", "echo", "logprobs", "prompt", "suffix"})

#: Finish reasons of legacy completions.
_FINISH_REASONS = frozenset({Reason.STOP, Reason.LENGTH, Reason.CONTENT_FILTER})

#: Members of a chunk that pass into the converted one.
_KEPT = ("created", "model", "system_fingerprint")


class LegacyBody(msgspec.Struct):
    """
    The body of a request, as far as it differs from that of a chat completion.

    Members that are not named here are those of chat completions.
    """

    prompt: str | list[Any]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    logprobs: int | None = None
    suffix: str | None = None


def readLegacy(body: Mapping[str, Any], source: ITokenSource) -> CompletionRequest:
    """
    Read the body of a request.

    Args:
        body: The decoded JSON.
        source: The source that will answer.

    Returns:
        The request, as one for a chat completion.

    Raises:
        InvalidMember: A member is missing, has a wrong value, or has no counterpart in chat completions.
        ModelNotFound: The source does not have the model.
    """
    asked = convert(body, LegacyBody)
    _checkUnsupported(asked)
    members = {name: value for name, value in body.items() if name not in _LEGACY}
    return readCompletion({**members, "messages": [{"role": "user", "content": _readPrompt(asked.prompt)}]}, source)


def _readPrompt(prompt: str | list[Any]) -> str:
    """
    Return the text of a prompt.

    Raises:
        InvalidMember: It is empty, or something else than one text.
    """
    texts = prompt if isinstance(prompt, list) else [prompt]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidMember("`prompt` must be text: numbers of tokens are not supported.", "prompt")
    if len(texts) != 1:
        raise InvalidMember("`prompt` must be one text; send a request for each prompt.", "prompt")
    if not texts[0]:
        raise InvalidMember("`prompt` must not be empty.", "prompt")
    return str(texts[0])


def _checkUnsupported(asked: LegacyBody) -> None:
    """
    Check that a request asks for nothing that a chat completion does not have.

    Raises:
        InvalidMember: It does.
    """
    if asked.echo:
        raise InvalidMember("`echo` must be false: the prompt is not repeated.", "echo")
    if asked.suffix:
        raise InvalidMember("`suffix` is not supported: the text is always at the end.", "suffix")
    if asked.best_of is not None and asked.best_of != 1:
        raise InvalidMember("`best_of` must be 1; use `n` for several answers.", "best_of")
    if asked.logprobs is not None:
        raise InvalidMember("`logprobs` is not supported; /v1/chat/completions has it.", "logprobs")


class TextWriter(ChunkWriter):
    """
    Writes the chunks of one legacy completion, as JSON in one line.

    Args:
        answerID: ID of the answer as a chat completion.
        created: When the answer was begun, in seconds since 1970.
        model: Name of the model.
        withUsage: Whether the usage was requested; every chunk has the member `usage` then.
    """

    def __init__(self, answerID: str, created: int, model: str, withUsage: bool = False) -> None:
        super().__init__(_nameAnswer(answerID), created, model, withUsage)
        self._members["object"] = OBJECT

    def write(self, delta: Mapping[str, str], finishReason: str | None = None) -> bytes:
        """
        Write a chunk.

        Args:
            delta: The addition of a chunk of a chat completion; its content is the text.
            finishReason: Why the answer ended, in the last chunk.
        """
        choice = _makeChoice(0, delta.get("content", ""), finishReason)
        return toJSON({**self._members, "choices": [choice], **self._usage})

    def convert(self, chunk: bytes, text: str) -> bytes | None:
        """
        Convert a chunk of an upstream.

        Args:
            chunk: The chunk of a chat completion, JSON in UTF-8.
            text: The text of its first choice, in which a character that was cut in two is whole.

        Returns:
            The chunk; `None` if it has neither text nor an end nor the usage, but a role, reasoning or a tool call.
        """
        members = decodeChunk(chunk)
        choices = list(_convertDeltas(members.get("choices"), text))
        usage = members.get("usage")
        if not choices and not isinstance(usage, dict):
            return None
        known = {name: members[name] for name in _KEPT if members.get(name) is not None}
        name = members.get("id")
        if isinstance(name, str) and name:
            known["id"] = _nameAnswer(name)
        told = {"usage": usage} if "usage" in members else self._usage
        return toJSON({**self._members, **known, "choices": choices, **told})


def _convertDeltas(choices: object, first: str) -> Iterator[dict[str, object]]:
    """Yield the choices of a chunk that have text or an end. The text of the first choice is known."""
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        delta, finish, number = choice.get("delta"), choice.get("finish_reason"), choice.get("index")
        index = number if isinstance(number, int) else 0
        text = first
        if index:
            text = replaceSurrogates(textOf(delta.get("content"))) if isinstance(delta, dict) else ""
        if text or isinstance(finish, str):
            yield _makeChoice(index, text, finish)


def convertWhole(completion: Mapping[str, Any]) -> dict[str, object]:
    """
    Convert a chat completion in one piece.

    Args:
        completion: From `CompletionBuilder.build`. Its members may be in pieces.

    Returns:
        The legacy completion. Its members may be in pieces as well.
    """
    choices = completion["choices"]
    members = {name: completion[name] for name in (*_KEPT, "usage") if name in completion}
    return {
        "id": _nameAnswer(completion["id"]),
        "object": OBJECT,
        **members,
        "choices": Array(
            [
                _makeChoice(choice["index"], choice["message"].get("content") or "", choice["finish_reason"])
                for choice in choices.items
            ]
        ),
    }


def _makeChoice(index: int, text: object, finish: object) -> dict[str, object]:
    """Make a choice. A finish reason that the API does not know, such as a tool call, becomes `stop`."""
    reason = finish if finish is None or (isinstance(finish, str) and finish in _FINISH_REASONS) else Reason.STOP
    return {"text": text, "index": index, "logprobs": None, "finish_reason": reason}


def _nameAnswer(answerID: str) -> str:
    """Return the ID of an answer, with the prefix of legacy completions."""
    return f"cmpl-{answerID.removeprefix('chatcmpl-')}"
