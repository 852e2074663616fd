"""
Tests for `sseserver.protocols.responses.request`.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.protocols.responses.request import ResponseRequest, readResponse
from tests.served import ScriptedSource


class RequestTests(SynchronousTestCase):
    """Requests for a response."""

    def read(self, **members: Any) -> ResponseRequest:
        """Read a request."""
        return readResponse({"input": "Hello", **members}, ScriptedSource())

    def test_text(self) -> None:
        """A text is a message of the user. By default a response is stored, not streamed, not in the background."""
        asked = self.read()
        self.assertEqual((asked.isStream, asked.isBackground, asked.isStored), (False, False, True))
        prompt = asked.makePrompt([], ScriptedSource())
        self.assertEqual(prompt.text, "Hello")
        self.assertEqual(prompt.messages, [{"role": "user", "content": "Hello"}])
        self.assertEqual(prompt.options, {"stream_options": {"include_usage": True}})

    def test_conversation(self) -> None:
        """Instructions come first, then the conversation before, then the new items."""
        asked = self.read(instructions="Be short.", input=[{"role": "user", "content": "Two"}])
        prompt = asked.makePrompt([{"role": "user", "content": "One"}], ScriptedSource())
        self.assertEqual([message["content"] for message in prompt.messages], ["Be short.", "One", "Two"])
        self.assertEqual(prompt.text, "Two")

    def test_options(self) -> None:
        """Options become those of a chat completion."""
        tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
        asked = self.read(
            max_output_tokens=20,
            temperature=0.5,
            top_logprobs=2,
            reasoning={"effort": "low"},
            tools=[tool],
            tool_choice={"type": "function", "name": "f"},
            text={"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        )
        self.assertEqual(
            asked.options,
            {
                "temperature": 0.5,
                "max_completion_tokens": 20,
                "logprobs": True,
                "top_logprobs": 2,
                "reasoning_effort": "low",
                "tools": [
                    {"type": "function", "function": {name: tool[name] for name in ("name", "parameters", "strict")}}
                ],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "verbosity": "low",
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
                "stream_options": {"include_usage": True},
            },
        )
        self.assertEqual(asked.asked["tools"], [{"description": None, **tool}])
        self.assertEqual(asked.asked["text"]["verbosity"], "low")
        self.assertEqual(asked.asked["reasoning"], {"effort": "low", "summary": None})
        self.assertEqual(asked.asked["max_output_tokens"], 20)
        choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}
        self.assertEqual(
            self.read(tool_choice=choice).options["tool_choice"],
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        )
        self.assertEqual(self.read(tool_choice="none").options["tool_choice"], "none")
        self.assertEqual(
            self.read(text={"format": {"type": "json_object"}}).options["response_format"], {"type": "json_object"}
        )
        self.assertNotIn("response_format", self.read(text={"format": {"type": "text"}}).options)

    def test_refused(self) -> None:
        """Members with wrong values, and those that have no meaning here, are refused by name."""
        for members, param in (
            ({"input": None}, "input"),
            ({"input": []}, "input"),
            ({"input": ["x"]}, "input[0]"),
            ({"conversation": "conv_1"}, "conversation"),
            ({"prompt": {"id": "x"}}, "prompt"),
            ({"background": True, "store": False}, "background"),
            ({"metadata": {"a": 1}}, "metadata[...]"),
            ({"max_output_tokens": 0}, "max_output_tokens"),
            ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
            ({"tools": [{"type": "function"}]}, "tools[0].name"),
            ({"tool_choice": {"type": "mcp"}}, "tool_choice"),
            ({"text": {"format": {"type": "x"}}}, "text.format"),
            ({"text": {"format": "x"}}, "text.format"),
            ({"text": {"format": {"type": []}}}, "text.format"),
            ({"text": {"format": {"type": {}}}}, "text.format"),
            ({"truncation": "x"}, "truncation"),
        ):
            error = self.assertRaises(InvalidMember, self.read, **members)
            self.assertEqual(error.param, param, members)
        self.assertRaises(ModelNotFound, self.read, model="other")
        silent = self.read(input=[{"role": "assistant", "content": "x"}])
        source = ScriptedSource()
        source.takesPrompt = True
        self.assertEqual(self.assertRaises(InvalidMember, silent.makePrompt, [], source).param, "input")
