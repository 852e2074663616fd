"""
Tests for `sseserver.protocols.responses.items`.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import InvalidMember
from sseserver.protocols.responses.items import convertItems, describeItems, listItems


class ConvertTests(SynchronousTestCase):
    """Items as messages."""

    def test_messages(self) -> None:
        """Messages keep their roles; text alone is a string, other parts are those of a chat completion."""
        items: list[dict[str, Any]] = [
            {"role": "user", "content": "Hello"},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "a"}] * 2},
            {
                "role": "assistant",
                "content": [{"type": "output_text", "text": "b"}, {"type": "refusal", "refusal": "c"}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": "data:x", "detail": "low"},
                    {"type": "input_file", "file_id": "f", "filename": None},
                    {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
                ],
            },
        ]
        self.assertEqual(
            convertItems(items),
            [
                {"role": "user", "content": "Hello"},
                {"role": "developer", "content": "aa"},
                {"role": "assistant", "content": "bc"},
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
                        {"type": "file", "file": {"file_id": "f"}},
                        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
                    ],
                },
            ],
        )

    def test_calls(self) -> None:
        """Calls in a row, and after a text of the model, are one message; reasoning is left out."""
        call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
        items: list[dict[str, Any]] = [
            {"type": "reasoning", "summary": []},
            {"role": "assistant", "content": "I look."},
            call,
            {**call, "call_id": "b"},
            {"type": "function_call_output", "call_id": "a", "output": "1"},
            {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "2"}]},
            call,
        ]
        function = {"name": "f", "arguments": "{}"}
        calls = [{"id": name, "type": "function", "function": function} for name in "ab"]
        self.assertEqual(
            convertItems(items),
            [
                {"role": "assistant", "content": "I look.", "tool_calls": calls},
                {"role": "tool", "tool_call_id": "a", "content": "1"},
                {"role": "tool", "tool_call_id": "b", "content": "2"},
                {"role": "assistant", "content": None, "tool_calls": calls[:1]},
            ],
        )

    def test_refused(self) -> None:
        """Content that no message can have is refused, by its place."""
        for item, param in (
            ({"type": "item_reference", "id": "x"}, "input[0].type"),
            ({"type": []}, "input[0].type"),
            ({"role": "tool", "content": "x"}, "input[0].role"),
            ({"role": [], "content": "x"}, "input[0].role"),
            ({"role": "user"}, "input[0].content"),
            ({"role": "user", "content": ["x"]}, "input[0].content[0]"),
            ({"role": "user", "content": [{"type": "x"}]}, "input[0].content[0].type"),
            ({"role": "user", "content": [{"type": ["x"]}]}, "input[0].content[0].type"),
            ({"role": "user", "content": [{"type": "input_text"}]}, "input[0].content[0].text"),
            ({"type": "function_call", "call_id": "a"}, "input[0].name"),
            ({"type": "function_call_output", "output": "a"}, "input[0].call_id"),
        ):
            error = self.assertRaises(InvalidMember, convertItems, [item])
            self.assertEqual(error.param, param)
        self.assertEqual(self.assertRaises(InvalidMember, listItems, ["x"]).param, "input[0]")


class DescribeTests(SynchronousTestCase):
    """Items as the API lists them."""

    def test_described(self) -> None:
        """Each item has an ID, its own if it has one, and content in parts."""
        items = [*listItems("Hello"), {"role": "assistant", "content": "Yes"}, {"type": "reasoning", "id": "rs_1"}]
        first, second, third = describeItems(items, "n")
        self.assertEqual(
            first,
            {
                "id": "msg_n_in0",
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Hello"}],
                "status": "completed",
            },
        )
        part = {"type": "output_text", "text": "Yes", "annotations": [], "logprobs": []}
        self.assertEqual((second["id"], second["content"]), ("msg_n_in1", [part]))
        self.assertEqual(third, {"id": "rs_1", "type": "reasoning"})
