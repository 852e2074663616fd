"""
Tests for `sseserver.protocols.responses.upstreamrequest`.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.protocols.jsonpieces import PLAIN, encodePieces
from sseserver.protocols.responses.upstreamrequest import convertRequest


def convert(messages: list[Any], **members: Any) -> dict[str, Any]:
    """Convert a request, and return what an upstream decodes."""
    request = convertRequest({"messages": messages, **members})
    decoded: dict[str, Any] = json.loads(b"".join(encodePieces(request, PLAIN)))
    return decoded


class MemberTests(SynchronousTestCase):
    """Members of a request."""

    def members(self, **members: Any) -> dict[str, Any]:
        """Return the converted members without those that are always there."""
        converted = convert([], **members)
        self.assertEqual((converted.pop("input"), converted.pop("stream")), ([], True))
        return converted

    def test_unchanged(self) -> None:
        """Known and unknown members pass unchanged, `null` does not; nothing is stored unless the client asks."""
        kept = {"model": "m", "temperature": 0.5, "metadata": {"a": "b"}, "new": [None]}
        self.assertEqual(self.members(**kept, user=None), {"store": False, **kept})
        self.assertEqual(self.members(store=True), {"store": True})

    def test_renamed(self) -> None:
        """Members that have other names in Responses get them."""
        schema = {"name": "n", "schema": {"type": "object"}, "strict": True}
        tool = {"name": "f", "parameters": {}}
        self.assertEqual(
            self.members(
                max_completion_tokens=5,
                reasoning_effort="low",
                verbosity="high",
                response_format={"type": "json_schema", "json_schema": schema},
                tools=[{"type": "function", "function": tool}, {"type": "web_search"}],
                tool_choice={"type": "function", "function": {"name": "f"}},
            ),
            {
                "store": False,
                "max_output_tokens": 5,
                "reasoning": {"effort": "low"},
                "text": {"verbosity": "high", "format": {"type": "json_schema", **schema}},
                "tools": [{"type": "function", **tool}, {"type": "web_search"}],
                "tool_choice": {"type": "function", "name": "f"},
            },
        )
        self.assertEqual(self.members(max_tokens=5)["max_output_tokens"], 5)
        self.assertEqual(
            self.members(response_format={"type": "json_object"})["text"]["format"], {"type": "json_object"}
        )
        self.assertEqual(self.members(tool_choice="auto")["tool_choice"], "auto")
        empty = {
            "response_format": None,
            "tools": None,
            "tool_choice": None,
            "reasoning_effort": None,
            "verbosity": None,
        }
        self.assertEqual(self.members(**empty), {"store": False})

    def test_dropped(self) -> None:
        """Members without effect are left out, and so are hints."""
        idle = {"n": 1, "stop": [], "logprobs": False, "presence_penalty": 0, "logit_bias": {}, "modalities": ["text"]}
        self.assertEqual(self.members(**idle, seed=1, stream_options={"include_usage": True}), {"store": False})

    def test_refused(self) -> None:
        """A member that would change the answer is refused by its name."""
        for name, value in (("n", 2), ("stop", ["x"]), ("logprobs", True), ("frequency_penalty", 0.5)):
            error = self.assertRaises(SourceError, convert, [], **{name: value})
            self.assertEqual((error.status, error.param), (400, name))
            self.assertIn(name, str(error))


class MessageTests(SynchronousTestCase):
    """Messages, which become items."""

    def items(self, *messages: dict[str, Any]) -> Any:
        """Return the items of a conversation."""
        return convert(list(messages))["input"]

    def test_texts(self) -> None:
        """Texts of all roles, in one string or in parts."""
        part = {"type": "text", "text": "Hello"}
        for role, kind in (("system", "input_text"), ("user", "input_text"), ("assistant", "output_text")):
            self.assertEqual(self.items({"role": role, "content": "Hello"}), [{"role": role, "content": "Hello"}])
            expected = [{"role": role, "content": [{"type": kind, "text": "Hello"}]}]
            self.assertEqual(self.items({"role": role, "content": [part]}), expected)

    def test_parts(self) -> None:
        """Images and files are those of Responses; other parts pass unchanged."""
        parts = [
            {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
            {"type": "image_url", "image_url": "https://a/"},
            {"type": "file", "file": {"file_id": "f"}},
            {"type": "input_audio", "input_audio": {"data": "x"}},
            "odd",
        ]
        (item,) = self.items({"role": "user", "content": parts})
        self.assertEqual(
            item["content"],
            [
                {"type": "input_image", "image_url": "data:x", "detail": "low"},
                {"type": "input_image", "image_url": "https://a/"},
                {"type": "input_file", "file_id": "f"},
                *parts[3:],
            ],
        )

    def test_calls(self) -> None:
        """Calls of tools are items of their own, and so are their results."""
        asked = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        self.assertEqual(
            self.items(
                {"role": "assistant", "content": "Wait.", "tool_calls": [asked]},
                {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "7"}]},
                {"role": "assistant", "content": None, "tool_calls": [asked, 5]},
                {"role": "assistant", "content": None, "refusal": "No."},
                {"role": "assistant", "content": "So", "tool_calls": 5},
            ),
            [
                {"role": "assistant", "content": "Wait."},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "7"},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "", "name": "", "arguments": ""},
                {"role": "assistant", "content": "No."},
                {"role": "assistant", "content": "So"},
            ],
        )
