"""Tests of `sseserver.protocols.ollama.request`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.protocols.ollama import readOllamaChat, readOllamaGenerate
from sseserver.sources.function import FunctionSource

SOURCE = FunctionSource(lambda sink, prompt: None, takesPrompt=True, model="m")

USER = {"role": "user", "content": "Hello"}
JPEG = "/9j/4AAQSkZJRg=="


class RequestTests(SynchronousTestCase):
    """Bodies of requests."""

    def chat(self, *messages: dict[str, Any], **members: Any) -> Any:
        """Read the body of a chat."""
        return readOllamaChat({"model": "m", "messages": list(messages), **members}, SOURCE)

    def test_chat(self) -> None:
        """The prompt is that of a chat completion. An answer is streamed unless the client says otherwise."""
        prompt, streamed, model = self.chat(USER)
        self.assertEqual((prompt.text, prompt.messages, streamed, model), ("Hello", [USER], True, "m"))
        self.assertEqual(prompt.options, {"model": "m", "stream_options": {"include_usage": True}})
        self.assertFalse(self.chat(USER, stream=False).stream)

    def test_generate(self) -> None:
        """A prompt and a system prompt are messages."""
        body = {"model": "m:latest", "prompt": "Why?", "system": "s", "images": [JPEG]}
        prompt, _, model = readOllamaGenerate(body, SOURCE)
        self.assertEqual((prompt.text, prompt.options["model"], model), ("Why?", "m", "m:latest"))
        self.assertEqual(prompt.messages[0], {"role": "system", "content": "s"})
        url = {"url": f"data:image/jpeg;base64,{JPEG}"}
        content = [{"type": "text", "text": "Why?"}, {"type": "image_url", "image_url": url}]
        self.assertEqual(prompt.messages[1], {"role": "user", "content": content})

    def test_load(self) -> None:
        """Without a prompt the client only wants the model to be loaded."""
        self.assertIsNone(self.chat().prompt)
        self.assertIsNone(readOllamaGenerate({"model": "m"}, SOURCE).prompt)

    def test_options(self) -> None:
        """Options with an equivalent are converted, others are ignored."""
        options = {"temperature": 0.5, "top_k": 3, "seed": 1, "num_predict": 9, "stop": ["x"], "num_ctx": 4096}
        told = self.chat(USER, options=options, format="json", think="low", keep_alive="5m").prompt.options
        expected = {
            "temperature": 0.5,
            "top_k": 3,
            "seed": 1,
            "max_tokens": 9,
            "stop": ["x"],
            "reasoning_effort": "low",
        }
        form = {"response_format": {"type": "json_object"}, "stream_options": {"include_usage": True}}
        self.assertEqual(told, {"model": "m", **expected, **form})
        schema = {"type": "object"}
        told = self.chat(USER, format=schema, options={"num_predict": -1}, tools=[{"type": "function"}]).prompt.options
        self.assertEqual(told["response_format"]["json_schema"]["schema"], schema)
        self.assertEqual((told["tools"], "max_tokens" in told), ([{"type": "function"}], False))

    def test_calls(self) -> None:
        """The results of tools refer to the calls before them, in their order."""
        calls = [{"function": {"name": "f", "arguments": {"x": 1}}}, {"id": "b", "function": {"name": "g"}}]
        asked = {"role": "assistant", "tool_calls": calls}
        results = [{"role": "tool", "content": "1", "tool_name": "f"}, {"role": "tool", "content": "2"}]
        messages = self.chat(USER, asked, *results).prompt.messages
        names = [call["id"] for call in messages[1]["tool_calls"]]
        self.assertEqual([message["tool_call_id"] for message in messages[2:]], names)
        self.assertEqual(messages[1]["tool_calls"][0]["function"], {"name": "f", "arguments": '{"x":1}'})
        lone = self.chat(USER, {"role": "tool", "content": "1", "tool_call_id": "x"}).prompt.messages
        self.assertEqual(lone[1]["tool_call_id"], "x")

    def test_refused(self) -> None:
        """Wrong members are named."""
        for messages, members, param in (
            ([{"role": "bot"}], {}, "messages[0].role"),
            ([{**USER, "images": ["http://a/b.png"]}], {}, "messages[0].images[0]"),
            ([USER], {"format": "xml"}, "format"),
            ([USER], {"options": {"seed": "x"}}, "options.seed"),
            ([{**USER, "content": ""}], {}, "messages"),
        ):
            refused = self.assertRaises(InvalidMember, self.chat, *messages, **members)
            self.assertEqual(refused.param, param)
        self.assertRaises(ModelNotFound, self.chat, USER, model="n")
        self.assertEqual(self.assertRaises(InvalidMember, readOllamaChat, {}, SOURCE).param, "model")
