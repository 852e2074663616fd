"""
The usage of an answer: how many tokens the prompt and the answer took.

The APIs give `makeSummary` to the runs that they start; the entry `done` then has the usage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from sseserver.interfaces import IStreamLog
from sseserver.protocols.chatcompletions.content import listTexts
from sseserver.values import Kind, Prompt

#: Characters. The words of a longer prompt are estimated from its beginning: to count them all would take the reactor
#: a hundredth of a second for each megabyte.
COUNTED = 64 * 1024


def wantsUsage(prompt: Prompt) -> bool:
    """Tell whether the request asks for the usage (`stream_options.include_usage`)."""
    options = prompt.options.get("stream_options")
    return isinstance(options, Mapping) and options.get("include_usage") is True


def countWords(prompt: Prompt) -> int:
    """
    Count the words of a prompt: each counts as a token if the source does not report the usage.

    The words of a prompt with more than `COUNTED` characters are estimated.
    """
    contents = [message.get("content") for message in prompt.messages] or [prompt.text]
    words = counted = total = 0
    for content in contents:
        for text in (content,) if isinstance(content, str) else listTexts(content):
            total += len(text)
            if counted < COUNTED:
                part = text[: COUNTED - counted]
                counted += len(part)
                words += len(part.split())
    return words if total == counted else words * total // counted


def makeSummary(prompt: Prompt | None) -> Callable[[IStreamLog], dict[str, object]] | None:
    """
    Return what adds the member `usage` to a `done` entry; `None` if the request does not ask for it.

    The prompt itself is not kept for that: it can be large, and the run can wait and last.
    """
    return partial(addUsage, countWords(prompt)) if prompt is not None and wantsUsage(prompt) else None


def addUsage(words: int, streamLog: IStreamLog) -> dict[str, object]:
    """
    Return the member `usage` of a `done` entry.

    Args:
        words: Number of words of the prompt.
        streamLog: The answer. Chunks of an upstream report the usage themselves.
    """
    buffer = streamLog.buffer
    if Kind.CHUNK in buffer.kinds or Kind.SILENT_CHUNK in buffer.kinds:
        return {}
    tokens = streamLog.answered
    return {"usage": {"prompt_tokens": words, "completion_tokens": tokens, "total_tokens": words + tokens}}
