"""
A response of an upstream with everything: items, parts and events that this server knows, and others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

#: ID of the response at the upstream.
THEIRS = "resp_theirs"

USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 1},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 7,
}

#: Members of a response that the Open Responses specification wants.
RESPONSE: dict[str, Any] = {
    "id": THEIRS,
    "object": "response",
    "created_at": 1_730_000_000,
    "completed_at": None,
    "status": "in_progress",
    "incomplete_details": None,
    "model": "theirs",
    "previous_response_id": None,
    "instructions": None,
    "output": [],
    "error": None,
    "tools": [],
    "tool_choice": "auto",
    "truncation": "disabled",
    "parallel_tool_calls": True,
    "text": {"format": {"type": "text"}},
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_logprobs": 0,
    "temperature": 1.0,
    "reasoning": None,
    "usage": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "store": False,
    "background": False,
    "service_tier": "default",
    "metadata": {},
    "safety_identifier": None,
    "prompt_cache_key": None,
    "x_extension": {"big": 123456789012345678901234567890, "text": "žlutý"},
}

REASONING = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Think."}]}
SEARCH = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "weather"},
}
ANNOTATION = {"type": "url_citation", "start_index": 0, "end_index": 5, "url": "https://example.org", "title": "E"}
PART = {"type": "output_text", "text": "Hello 🌍", "annotations": [ANNOTATION], "logprobs": []}
MESSAGE = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [PART]}
ARGUMENTS = '{"a":1}'
CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "c",
    "name": "f",
    "arguments": ARGUMENTS,
}
CODE = {"id": "ci_1", "type": "code_interpreter_call", "status": "completed", "code": "1 + 1", "outputs": None}
CUSTOM = {"id": "ct_1", "type": "custom_tool_call", "status": "completed", "call_id": "d", "name": "g", "input": "any"}
OUTPUT: list[dict[str, Any]] = [REASONING, SEARCH, MESSAGE, CALL, CODE, CUSTOM]


def makeWhole(status: str = "completed", **members: Any) -> dict[str, Any]:
    """Return the response at its end."""
    return {**RESPONSE, "status": status, "output": OUTPUT, "usage": USAGE, **members}


def _listEvents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the types and the other members of the events before the last one."""
    yield "response.created", {"response": RESPONSE}
    yield "response.in_progress", {"response": RESPONSE}
    yield "keepalive", {}
    place: dict[str, Any] = {"item_id": "rs_1", "output_index": 0}
    yield "response.output_item.added", {"output_index": 0, "item": {**REASONING, "summary": []}}
    place["summary_index"] = 0
    yield "response.reasoning_summary_part.added", {**place, "part": {"type": "summary_text", "text": ""}}
    yield "response.reasoning_summary_text.delta", {**place, "delta": "Think", "obfuscation": "xyz"}
    yield "response.reasoning_summary_text.delta", {**place, "delta": ".", "obfuscation": ""}
    yield "response.reasoning_summary_text.done", {**place, "text": "Think."}
    yield "response.reasoning_summary_part.done", {**place, "part": REASONING["summary"][0]}
    yield "response.output_item.done", {"output_index": 0, "item": REASONING}
    yield "response.output_item.added", {"output_index": 1, "item": {**SEARCH, "status": "in_progress", "action": None}}
    for step in ("in_progress", "searching", "completed"):
        yield f"response.web_search_call.{step}", {"item_id": "ws_1", "output_index": 1}
    yield "response.output_item.done", {"output_index": 1, "item": SEARCH}
    yield "response.output_item.added", {"output_index": 2, "item": {**MESSAGE, "status": "in_progress", "content": []}}
    place = {"item_id": "msg_1", "output_index": 2, "content_index": 0}
    yield "response.content_part.added", {**place, "part": {**PART, "text": "", "annotations": []}}
    for piece in ("Hello", " ", "🌍"):
        yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}
    yield "response.output_text.annotation.added", {**place, "annotation_index": 0, "annotation": ANNOTATION}
    yield "response.output_text.done", {**place, "text": PART["text"], "logprobs": []}
    yield "response.content_part.done", {**place, "part": PART}
    yield "response.output_item.done", {"output_index": 2, "item": MESSAGE}
    yield "response.output_item.added", {"output_index": 3, "item": {**CALL, "status": "in_progress", "arguments": ""}}
    place = {"item_id": "fc_1", "output_index": 3}
    for piece in ('{"a"', ":1}"):
        yield "response.function_call_arguments.delta", {**place, "delta": piece}
    yield "response.function_call_arguments.done", {**place, "name": "f", "arguments": ARGUMENTS}
    yield "response.output_item.done", {"output_index": 3, "item": CALL}
    yield "response.output_item.added", {"output_index": 4, "item": {**CODE, "status": "in_progress", "code": ""}}
    yield "response.code_interpreter_call_code.delta", {"item_id": "ci_1", "output_index": 4, "delta": "1 +"}
    yield "response.code_interpreter_call_code.delta", {"item_id": "ci_1", "output_index": 4, "delta": " 1"}
    yield "response.output_item.done", {"output_index": 4, "item": CODE}
    yield "response.output_item.added", {"output_index": 5, "item": {**CUSTOM, "status": "in_progress", "input": ""}}
    yield "response.custom_tool_call_input.delta", {"item_id": "ct_1", "output_index": 5, "delta": "any"}
    yield "response.output_item.done", {"output_index": 5, "item": CUSTOM}
    yield "response.future.thing", {"payload": [1, {"deep": None}], "sequence": "none"}


def makeEvents(*last: dict[str, Any], first: int = 0) -> list[dict[str, Any]]:
    """
    Return the events of a response.

    Args:
        last: The last events without numbers; by default the response is completed.
        first: Number of the first event.
    """
    ends = last or ({"type": "response.completed", "response": makeWhole()},)
    events = [{"type": kind, **members} for kind, members in _listEvents()]
    return [{**event, "sequence_number": number} for number, event in enumerate([*events, *ends], first)]


def encode(event: dict[str, Any]) -> bytes:
    """Return the data of an event, in UTF-8 and with spaces, as other servers write it."""
    return json.dumps(event, ensure_ascii=False).encode("utf-8")


def replaceIDs(event: dict[str, Any], number: int, response: str) -> dict[str, Any]:
    """Return an event of the upstream as clients here get it."""
    told = {**event, "sequence_number": number}
    if "response" in told:
        told["response"] = {**told["response"], "id": response}
    return told
