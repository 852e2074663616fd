"""
Stop reasons and the usage of an answer, converted from those of a chat completion.
"""

from __future__ import annotations

from sseserver.protocols.chatcompletions import Usage
from sseserver.values import Reason

#: Stop reasons by finish reasons. All others, the words of token sources, are the end of the turn.
_STOPS: dict[str, str] = {
    Reason.LENGTH: "max_tokens",
    Reason.CONTENT_FILTER: "refusal",
    Reason.TOOL_CALLS: "tool_use",
    Reason.FUNCTION_CALL: "tool_use",
}


def convertReason(reason: object, hasCalls: bool, refuses: bool) -> str:
    """
    Return the stop reason of an answer.

    Args:
        reason: The finish reason, or the reason of a terminal entry.
        hasCalls: Whether the answer has tool calls: some upstreams end it with `stop` all the same.
        refuses: Whether it has a refusal.
    """
    stop = _STOPS.get(reason, "end_turn") if isinstance(reason, str) else "end_turn"
    if stop == "end_turn" and refuses:
        return "refusal"
    return "tool_use" if stop == "end_turn" and hasCalls else stop


def convertUsage(usage: Usage) -> dict[str, int]:
    """Return the usage of a message. The tokens of the prompt that were in a cache are counted by themselves."""
    return {
        "input_tokens": max(0, usage.prompt - usage.cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }
