"""
The usage of an answer: how many tokens the prompt and the answer took.
"""

from __future__ import annotations

from collections.abc import Mapping

from sseserver.interfaces import IStreamLog
from sseserver.protocols.chatcompletions.content import textOf
from sseserver.values import Kind, Prompt


def wantsUsage(prompt: Prompt) -> bool:
    """Tell whether the request asks for the usage (`stream_options.include_usage`)."""
    options = prompt.options.get("stream_options")
    return isinstance(options, Mapping) and options.get("include_usage") is True


def countUsage(prompt: Prompt, tokens: int) -> dict[str, int]:
    """
    Return the usage of an answer whose source does not report it: each word of the prompt counts as a token.

    Args:
        prompt: The prompt that was answered.
        tokens: Number of tokens in the answer.
    """
    texts = [textOf(message.get("content"), " ") for message in prompt.messages] or [prompt.text]
    words = sum(len(text.split()) for text in texts)
    return {"prompt_tokens": words, "completion_tokens": tokens, "total_tokens": words + tokens}


def addUsage(prompt: Prompt | None, streamLog: IStreamLog) -> dict[str, object]:
    """
    Return the member `usage` of a `done` entry, or nothing if the request does not ask for it.

    Args:
        prompt: The prompt that was answered, if any.
        streamLog: The answer. Chunks of an upstream report the usage themselves.
    """
    buffer = streamLog.buffer
    if prompt is None or not wantsUsage(prompt) or Kind.CHUNK in buffer.kinds or Kind.SILENT_CHUNK in buffer.kinds:
        return {}
    return {"usage": countUsage(prompt, buffer.tokens)}
