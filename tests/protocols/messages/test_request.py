"""Tests of `sseserver.protocols.messages.request`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import BadRequest, InvalidMember, ModelNotFound
from sseserver.protocols.messages import checkVersion, readMessages
from sseserver.sources.function import FunctionSource

SOURCE = FunctionSource(lambda sink, prompt: None, takesPrompt=True, model="m")

ASKED: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}


class RequestTests(SynchronousTestCase):
    """Bodies of requests."""

    def read(self, **members: Any) -> Any:
        """Read a body with more members."""
        return readMessages({**ASKED, **members}, SOURCE)

    def test_prompt(self) -> None:
        """The prompt is that of a chat completion, which asks for the usage."""
        prompt, streamed = self.read()
        self.assertEqual((prompt.text, prompt.messages, streamed), ("Hello", ASKED["messages"], False))
        self.assertEqual(prompt.options, {"model": "m", "max_tokens": 9, "stream_options": {"include_usage": True}})
        self.assertTrue(self.read(stream=True).stream)

    def test_options(self) -> None:
        """Options with an equivalent are converted, others are ignored."""
        schema = {"type": "object"}
        prompt, _ = self.read(
            system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            stop_sequences=["x"],
            metadata={"user_id": "u"},
            tools=[{"name": "f", "input_schema": schema}],
            tool_choice={"type": "any"},
            output_config={"format": {"type": "json_schema", "schema": schema}},
            thinking={"type": "enabled", "budget_tokens": 2000},
            service_tier="auto",
        )
        options = dict(prompt.options)
        self.assertEqual([tool["function"]["name"] for tool in options.pop("tools")], ["f"])
        self.assertEqual(options.pop("response_format")["json_schema"]["schema"], schema)
        self.assertEqual(
            options,
            {
                "model": "m",
                "max_tokens": 9,
                "temperature": 0.5,
                "top_p": 0.9,
                "top_k": 40,
                "stream_options": {"include_usage": True},
                "stop": ["x"],
                "user": "u",
                "tool_choice": "required",
            },
        )
        self.assertEqual(prompt.messages[0], {"role": "system", "content": "s"})

    def test_refused(self) -> None:
        """Wrong members are named."""
        for members, param in (
            ({"max_tokens": 0}, "max_tokens"),
            ({"messages": []}, "messages"),
            ({"messages": [{"role": "user", "content": []}]}, "messages"),
            ({"messages": [{"role": "user", "content": ""}]}, "messages"),
            ({"messages": [{"role": "bot", "content": "a"}]}, "messages[0].role"),
            ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
            ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
        ):
            refused = self.assertRaises(InvalidMember, self.read, **members)
            self.assertEqual(refused.param, param)
        for name in ASKED:
            body = {key: value for key, value in ASKED.items() if key != name}
            refused = self.assertRaises(InvalidMember, readMessages, body, SOURCE)
            self.assertEqual(refused.param, name)
        self.assertRaises(ModelNotFound, self.read, model="other")

    def test_version(self) -> None:
        """The version of the API may be any date, and may be missing."""
        for version in (None, "2023-06-01", "2026-01-01"):
            checkVersion(version)
        for version in ("", "1", "2023-06-01; x"):
            self.assertRaises(BadRequest, checkVersion, version)
