"""Tests of `sseserver.protocols.messages.conversion`, and of the blocks that it converts."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import InvalidMember
from sseserver.jsontext import convert
from sseserver.protocols.messages.blocks import InputMessage
from sseserver.protocols.messages.conversion import Tool, ToolChoice, convertChoice, convertMessages, convertTools

PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
PHOTO = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.jpg"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}


def text(value: str) -> dict[str, str]:
    """Make a block of text."""
    return {"type": "text", "text": value}


class ConversionTests(SynchronousTestCase):
    """Conversations, tools and their choice."""

    def convert(self, *messages: tuple[str, Any], system: Any = None) -> list[dict[str, Any]]:
        """Convert messages: their roles and contents."""
        given = [{"role": role, "content": content} for role, content in messages]
        return convertMessages(system, convert(given, list[InputMessage]))

    def test_texts(self) -> None:
        """Texts stay texts; the system prompt is the first message."""
        self.assertEqual(
            self.convert(
                ("user", "a"), ("assistant", [text("b"), text("c")]), ("user", [text("d"), text("e")]), system="s"
            ),
            [
                {"role": "system", "content": "s"},
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "bc"},
                {"role": "user", "content": "d\ne"},
            ],
        )

    def test_files(self) -> None:
        """Images and documents are parts of a message."""
        plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "t"}}
        (message,) = self.convert(("user", [text("a"), PNG, PHOTO, PDF, plain]))
        self.assertEqual(
            message["content"],
            [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
                {
                    "type": "file",
                    "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
                },
                {"type": "text", "text": "t"},
            ],
        )

    def test_calls(self) -> None:
        """Tool calls are those of a message; each result is a message before the rest. Reasoning is left out."""
        use = {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}
        thinking = {"type": "thinking", "thinking": "Hm", "signature": ""}
        results = [
            text("then"),
            {"type": "tool_result", "tool_use_id": "c1", "content": [text("r1"), PNG]},
            {"type": "tool_result", "tool_use_id": "c2", "content": "r2", "is_error": True},
            {"type": "tool_result", "tool_use_id": "c3"},
        ]
        redacted = {"type": "redacted_thinking", "data": "x"}
        asked, *answered, rest = self.convert(("assistant", [thinking, redacted, use]), ("user", results))
        function = {"name": "f", "arguments": '{"x":1}'}
        calls = [{"id": "c1", "type": "function", "function": function}]
        self.assertEqual(asked, {"role": "assistant", "content": None, "tool_calls": calls})
        self.assertEqual(
            [(each["tool_call_id"], each["content"]) for each in answered], [("c1", "r1"), ("c2", "r2"), ("c3", "")]
        )
        self.assertEqual((rest["role"], [part["type"] for part in rest["content"]]), ("user", ["text", "image_url"]))

    def test_refused(self) -> None:
        """A block of an unknown type, or one of another role, is named by its place."""
        for role, block, param in (
            ("user", {"type": "video"}, "[0].content[0].type"),
            ("user", {"type": "image"}, "[0].content[0].source"),
            ("user", {"type": "tool_use", "id": "a", "name": "f", "input": {}}, "messages[0].content[0].type"),
            ("assistant", PNG, "messages[0].content[0].type"),
            (
                "user",
                {"type": "document", "source": {"type": "base64", "media_type": "text/csv", "data": ""}},
                "messages[0].content[0].source",
            ),
        ):
            refused = self.assertRaises(InvalidMember, self.convert, (role, [block]))
            self.assertEqual(refused.param, param)

    def test_tools(self) -> None:
        """A tool is a function; tools that Anthropic's servers would run are refused."""
        tools = [Tool("f", None, "F", {"type": "object"}), Tool("g", "custom")]
        functions = [each["function"] for each in convertTools(tools)]
        self.assertEqual(functions[0], {"name": "f", "description": "F", "parameters": {"type": "object"}})
        self.assertEqual(functions[1], {"name": "g", "parameters": {"type": "object", "properties": {}}})
        refused = self.assertRaises(InvalidMember, convertTools, [Tool("s", "web_search_20250305")])
        self.assertEqual(refused.param, "tools[0].type")

    def test_choice(self) -> None:
        """Each choice of a tool has its equivalent."""
        self.assertEqual(convertChoice(ToolChoice("auto")), {"tool_choice": "auto"})
        self.assertEqual(convertChoice(ToolChoice("none")), {"tool_choice": "none"})
        choice = ToolChoice("any", None, True)
        self.assertEqual(convertChoice(choice), {"tool_choice": "required", "parallel_tool_calls": False})
        named = {"type": "function", "function": {"name": "f"}}
        self.assertEqual(
            convertChoice(ToolChoice("tool", "f", False)), {"tool_choice": named, "parallel_tool_calls": True}
        )
        self.assertRaises(InvalidMember, convertChoice, ToolChoice("tool"))
