"""
Tests for `sseserver.protocols.chatcompletions.request`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.interfaces import IModels
from sseserver.protocols.chatcompletions import CompletionRequest, readCompletion
from sseserver.protocols.chatcompletions.usage import wantsUsage
from tests.served import ScriptedSource

ASKED: dict[str, Any] = {"role": "user", "content": "Hello"}


@implementer(IModels)
class ManyModels(ScriptedSource):
    """A source that has several models."""

    def models(self) -> Deferred[list[str]]:
        return succeed(["small", "org/large"])


class CompletionTests(SynchronousTestCase):
    """Requests for chat completions."""

    def read(self, **body: Any) -> CompletionRequest:
        """Read a body for a source of one model, which is called `script`."""
        return readCompletion(body, ScriptedSource())

    def refuse(self, param: str, **body: Any) -> None:
        """Check that a body is refused because of one member."""
        with self.assertRaises(InvalidMember) as caught:
            self.read(**body)
        self.assertEqual(caught.exception.param, param)
        self.assertEqual((caught.exception.status, caught.exception.type), (400, "invalid_request_error"))

    def test_unchanged(self) -> None:
        """
        Messages, and all options but `stream`, go to the source unchanged: known ones, unknown
        ones, and null.
        """
        messages = [
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}], "name": "d"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
            {"role": "tool", "content": "42", "tool_call_id": "1"},
            {"role": "somebody", "content": "x", "new": [1.5, None]},
        ]
        options = {
            "model": "script",
            "temperature": 0,
            "top_p": 0.5,
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": "auto",
            "stop": ["a"],
            "seed": None,
            "stream_options": {"include_usage": True, "include_obfuscation": False},
            "chat_template_kwargs": {"thinking": True},
        }
        prompt, streamed = self.read(messages=messages, stream=True, **options)
        self.assertEqual((prompt.messages, prompt.options, streamed), (messages, options, True))

    def test_text(self) -> None:
        """
        The prompt's text is that of the last message of the user, a string or parts; empty if there
        is none.
        """
        parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": " b"}]
        for messages, text in (
            ([ASKED], "Hello"),
            ([ASKED, {"role": "assistant", "content": "x"}], "Hello"),
            ([ASKED, {"role": "user", "content": "again"}, {"role": "tool", "content": "x"}], "again"),
            ([{"role": "user", "content": parts}], "a b"),
            ([{"role": "user"}], ""),
            ([{"role": "system", "content": "x"}], ""),
        ):
            self.assertEqual(self.read(messages=messages)[0].text, text, messages)

    def test_whole(self) -> None:
        """
        A request for an answer in one piece always asks for the usage, and keeps other stream
        options.
        """
        for stream in ({}, {"stream": False}, {"stream": None}):
            prompt, streamed = self.read(messages=[ASKED], stream_options={"a": 1}, **stream)
            self.assertFalse(streamed)
            self.assertEqual(prompt.options, {"stream_options": {"a": 1, "include_usage": True}})
        prompt, _ = self.read(messages=[ASKED], stream=False, stream_options={"include_usage": False})
        self.assertTrue(wantsUsage(prompt))

    def test_badMembers(self) -> None:
        """
        A member with a wrong value is refused, and named.
        """
        self.refuse("messages")
        self.refuse("messages", messages=None)
        self.refuse("messages", messages=[])
        self.refuse("messages[0]", messages=["Hello"])
        self.refuse("messages[0].role", messages=[{"content": "x"}])
        self.refuse("messages[1].role", messages=[ASKED, {"role": 1, "content": "x"}])
        self.refuse("messages[0].content", messages=[{"role": "user", "content": 1}])
        self.refuse("messages[0].content[0]", messages=[{"role": "user", "content": ["x"]}])
        self.refuse("messages[0].content[0].type", messages=[{"role": "user", "content": [{"text": "x"}]}])
        self.refuse("messages[0].content[0].text", messages=[{"role": "user", "content": [{"type": "text"}]}])
        for name, value in (
            ("stream", "true"),
            ("model", 1),
            ("temperature", "hot"),
            ("max_tokens", 1.5),
            ("stop", 1),
            ("tools", {}),
            ("n", 0),
            ("n", 2),
            ("stream_options", True),
        ):
            self.refuse(name, messages=[ASKED], **{name: value})
        self.refuse("stream_options.include_usage", messages=[ASKED], stream_options={"include_usage": 1})

    def test_model(self) -> None:
        """
        A source of one model accepts its name or none, and names it in the error; one of several
        accepts any name, and several choices.
        """
        self.assertEqual(self.read(messages=[ASKED], model="script")[0].options["model"], "script")
        self.assertNotIn("model", self.read(messages=[ASKED], model=None)[0].options)
        with self.assertRaises(ModelNotFound) as caught:
            self.read(messages=[ASKED], model="gpt-9")
        self.assertIn("'script'", str(caught.exception))
        prompt, _ = readCompletion({"messages": [ASKED], "model": "gpt-9", "n": 2}, ManyModels())
        self.assertEqual((prompt.options["model"], prompt.options["n"]), ("gpt-9", 2))
