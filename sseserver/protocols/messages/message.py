"""
A message in one piece, made of a chat completion in one piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sseserver.protocols.chatcompletions import build, listCalls, readCall, readUsage
from sseserver.protocols.jsonpieces import Array
from sseserver.protocols.messages.reasons import convertReason, convertUsage


def makeMessage(completion: Mapping[str, Any], messageID: str) -> dict[str, Any]:
    """
    Make a message of a completion.

    Args:
        completion: The completion, in pieces as `CompletionBuilder` makes it. Only its first choice counts.
        messageID: ID of the message.

    Returns:
        The message; its content is in pieces.

    Raises:
        SourceError: The arguments of a tool call are no JSON object.
    """
    choice = next(iter(completion["choices"].items))
    message = choice["message"]
    calls = listCalls(message)
    content: list[dict[str, Any]] = []
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if reasoning:
        content.append({"type": "thinking", "thinking": reasoning, "signature": ""})
    content += [{"type": "text", "text": text} for text in (message["content"], message["refusal"]) if text]
    content += map(_convertCall, calls)
    usage = completion.get("usage")
    return {
        "id": messageID,
        "type": "message",
        "role": "assistant",
        "model": completion["model"],
        "content": Array(content),
        "stop_reason": convertReason(choice["finish_reason"], bool(calls), bool(message["refusal"])),
        "stop_sequence": None,
        "usage": convertUsage(readUsage(build(usage) if isinstance(usage, dict) else {})),
    }


def _convertCall(call: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a tool call into a block."""
    read = readCall(call)
    return {"type": "tool_use", "id": read.id or "call_0", "name": read.name, "input": read.arguments}
