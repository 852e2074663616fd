"""
The object `response`: the whole of an answer, at its end or before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sseserver.protocols.chatcompletions import Usage
from sseserver.values import Kind, Reason

#: Begins the ID of a response. The name of its stream follows.
PREFIX = "resp_"

#: Why an answer is incomplete, by the reason of its end.
_INCOMPLETE = {Reason.LENGTH: "max_output_tokens", Reason.CONTENT_FILTER: "content_filter"}

#: The members of a response that come from its request, as they are if the request does not have them.
DEFAULTS: Mapping[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "truncation": "disabled",
}


class Outcome(NamedTuple):
    """
    The state of an answer, as the members of its response show it.

    Attributes:
        status: See `status` of a response.
        completed: When it was complete, in seconds since 1970; otherwise `None`.
        incomplete: Why it is incomplete, or `None`.
        error: Why it failed, or `None`.
    """

    status: str
    completed: int | None = None
    incomplete: dict[str, str] | None = None
    error: dict[str, str] | None = None


def readOutcome(kind: int, terminal: Mapping[str, Any]) -> Outcome:
    """
    Return the state of an answer that has ended.

    Args:
        kind: Kind of its terminal entry.
        terminal: Members of the entry.
    """
    reason = terminal.get("reason")
    if kind == Kind.CANCELLED:
        return Outcome("cancelled")
    if kind == Kind.FAILED:
        message = terminal.get("message") or f"The answer failed ({reason})."
        return Outcome("failed", error={"code": str(terminal.get("code") or "server_error"), "message": str(message)})
    if reason in _INCOMPLETE:
        return Outcome("incomplete", incomplete={"reason": _INCOMPLETE[Reason(reason)]})
    ended = terminal.get("ended")
    return Outcome("completed", completed=ended if isinstance(ended, int) else None)


class Identity(NamedTuple):
    """
    The members of a response that come from its stream.

    Attributes:
        name: Name of the stream.
        created: When it was created, in seconds since 1970.
        model: Name of the model, if the request names none.
    """

    name: str
    created: int
    model: str


def describeResponse(
    identity: Identity, asked: Mapping[str, Any], outcome: Outcome, output: list[dict[str, Any]], usage: Usage | None
) -> dict[str, Any]:
    """
    Return the response.

    Args:
        identity: Its members that come from its stream.
        asked: Its members that come from its request.
        outcome: Its state.
        output: Its items.
        usage: How many tokens it took; `None` while that is not known.
    """
    return {
        "id": PREFIX + identity.name,
        "object": "response",
        "created_at": identity.created,
        "status": outcome.status,
        "completed_at": outcome.completed,
        "error": outcome.error,
        "incomplete_details": outcome.incomplete,
        "model": identity.model,
        **DEFAULTS,
        **asked,
        "output": output,
        "usage": None if usage is None else describeUsage(usage),
    }


def describeUsage(usage: Usage) -> dict[str, Any]:
    """Return the usage as a response has it."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    }
