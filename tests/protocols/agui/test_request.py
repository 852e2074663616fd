"""
Tests for `sseserver.protocols.agui.request`.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.protocols.agui import checkRunID, readAgentInput
from sseserver.values import Prompt
from tests.served import ScriptedSource


def inputOf(*messages: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return the body of a request, as AG-UI's client sends it."""
    told = [{"id": str(number), **message} for number, message in enumerate(messages)]
    return {"threadId": "t", "runId": "r", "state": {}, "messages": told, "tools": [], "context": [], **members}


HELLO = {"role": "user", "content": "Hello"}


class AgentInputTests(SynchronousTestCase):
    """Requests of AG-UI."""

    def test_messages(self) -> None:
        """The conversation is that of a chat completion; reasoning, activities and empty answers are left out."""
        calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        body = inputOf(
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": "Be nice."},
            HELLO,
            {"role": "reasoning", "content": "Hm"},
            {"role": "activity", "activityType": "x", "content": {"a": 1}},
            {"role": "assistant"},
            {"role": "assistant", "content": "Wait.", "toolCalls": calls},
            {"role": "assistant", "toolCalls": calls},
            {"role": "tool", "toolCallId": "c", "content": "1"},
        )
        told = [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": "Be nice."},
            HELLO,
            {"role": "assistant", "content": "Wait.", "tool_calls": calls},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c", "content": "1"},
        ]
        self.assertEqual(readAgentInput(body, ScriptedSource()), (Prompt("Hello", told, {}), ("t", "r")))

    def test_media(self) -> None:
        """Text, pictures and files are parts of the content, in the older shape, too."""
        data = {"type": "data", "value": "AA==", "mimeType": "image/png"}
        parts = [
            {"type": "text", "text": "See"},
            {"type": "image", "source": data},
            {"type": "image", "source": {"type": "url", "value": "https://e.org/a"}},
            {"type": "document", "source": {**data, "mimeType": "application/pdf"}},
            {"type": "binary", "mimeType": "image/gif", "url": "https://e.org/b"},
            {"type": "binary", "mimeType": "text/csv", "data": "AA==", "filename": "b.csv"},
        ]
        prompt = readAgentInput(inputOf({"role": "user", "content": parts}), ScriptedSource()).prompt
        self.assertEqual(prompt.text, "See")
        urls = [part.get("image_url", part.get("file")) for part in prompt.messages[0]["content"]]
        self.assertEqual(
            urls,
            [
                None,
                {"url": "data:image/png;base64,AA=="},
                {"url": "https://e.org/a"},
                {"filename": "file", "file_data": "data:application/pdf;base64,AA=="},
                {"url": "https://e.org/b"},
                {"filename": "b.csv", "file_data": "data:text/csv;base64,AA=="},
            ],
        )

    def test_options(self) -> None:
        """Tools and context are for the model; `forwardedProps` may have members of a chat completion."""
        schema = {"type": "object", "properties": {"a": {}}}
        tools = [{"name": "f", "description": "F.", "parameters": schema}, {"name": "g"}]
        context = [{"description": "City", "value": "Bonn"}, {"description": "Day", "value": "Monday"}]
        props = {"model": "script", "temperature": 0, "other": 1, "seed": None}
        prompt = readAgentInput(
            inputOf(HELLO, tools=tools, context=context, forwardedProps=props), ScriptedSource()
        ).prompt
        functions = [
            {"name": "f", "description": "F.", "parameters": schema},
            {"name": "g", "description": "", "parameters": {"type": "object", "properties": {}}},
        ]
        told = [{"type": "function", "function": function} for function in functions]
        self.assertEqual(prompt.options, {"model": "script", "temperature": 0, "tools": told})
        self.assertEqual(prompt.messages[0], {"role": "system", "content": "City: Bonn\nDay: Monday"})

    def test_bad(self) -> None:
        """A member with a wrong value is refused, and named."""
        for body, param in (
            ({"runId": "r", "messages": [HELLO]}, "threadId"),
            (inputOf(HELLO, runId=""), "runId"),
            (inputOf(HELLO, runId="a b"), "runId"),
            (inputOf(HELLO, threadId=""), "threadId"),
            (inputOf(), "messages"),
            (inputOf({"role": "assistant", "content": "x"}), "messages"),
            (inputOf({"role": "root", "content": "x"}), "messages[0].role"),
            (inputOf({"role": "user", "content": [{"type": "text"}]}), "messages[0].content[0].text"),
            (inputOf({"role": "user", "content": [{"type": "audio"}]}), "messages[0].content[0]"),
            (inputOf({"role": "tool", "content": "x"}), "messages[0].toolCallId"),
            (inputOf(HELLO, forwardedProps={"temperature": "x"}), "temperature"),
        ):
            with self.assertRaises(InvalidMember) as caught:
                readAgentInput(body, ScriptedSource(takesPrompt=True))
            self.assertEqual(caught.exception.param, param)
        props = {"model": "other"}
        self.assertRaises(ModelNotFound, readAgentInput, inputOf(HELLO, forwardedProps=props), ScriptedSource())

    def test_runIDs(self) -> None:
        """The ID of a run is visible ASCII."""
        for run in ("a", "run-1", "!~", "x" * 255):
            self.assertEqual(checkRunID(run, "runId"), run)
        for run in ("", " ", "a\n", "ä", "x" * 256):
            self.assertRaises(InvalidMember, checkRunID, run, "runId")
