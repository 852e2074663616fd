"""
Tests for the legacy `v1/completions` of `sseserver.apis.chat.completions`.
"""

from __future__ import annotations

import json
from typing import Any

from sseserver.errors import SourceError
from sseserver.values import Prompt
from tests.apis.chat.cases import ChatTestCase
from tests.http import Response
from tests.wires import Wire

LEGACY = "/v1/completions"


class LegacyTests(ChatTestCase):
    """`POST /v1/completions`."""

    def create(self, key: str = "", **members: Any) -> Wire:
        """Ask for a completion."""
        headers = {"Idempotency_Key": key} if key else {}
        return self.post(LEGACY, {"prompt": "Hello there", **members}, **headers)

    def joined(self, response: Response) -> str:
        """Join the text of the chunks."""
        chunks = [json.loads(event.data) for event in response.events if event.data != "[DONE]"]
        return "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])

    def test_stream(self) -> None:
        """The answer in chunks is a stream with a URL, which a client can resume from any of its events."""
        wire = self.create(stream=True, seed=7)
        self.write("One ", "two")
        self.assertEqual(wire.response.headers["content-type"], "text/event-stream")
        self.assertIn("x-request-id", wire.response.headers)
        url = wire.response.headers["content-location"]
        self.end()
        self.assertEqual((self.joined(wire.response), wire.response.events[-1].data), ("One two", "[DONE]"))
        messages = [{"role": "user", "content": "Hello there"}]
        self.assertEqual(self.source.run.prompt, Prompt("Hello there", messages, {"seed": 7}))
        seen = wire.response.events[1]
        told = {"Last-Event-ID": seen.id}
        resumed = self.ask(f"{url}?format=completions", "text/event-stream", headers=told)
        self.assertEqual((self.joined(resumed), resumed.events[-1].data), ("two", "[DONE]"))

    def test_usage(self) -> None:
        """The usage is in the last chunk if it is requested."""
        wire = self.create(stream=True, stream_options={"include_usage": True})
        self.write("One ")
        self.end()
        usage = json.loads(wire.response.events[-2].data)["usage"]
        self.assertEqual(usage, {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3})

    def test_whole(self) -> None:
        """The answer in one piece has the text and the usage."""
        wire = self.create()
        self.write("One ", "two")
        self.end("length")
        answer = wire.response.json
        self.assertTrue(answer.pop("id").startswith("cmpl-"))
        del answer["created"]
        usage = {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
        choice = {"text": "One two", "index": 0, "logprobs": None, "finish_reason": "length"}
        self.assertEqual(answer, {"object": "text_completion", "model": "script", "choices": [choice], "usage": usage})

    def test_large(self) -> None:
        """A large answer is sent piece by piece."""
        wire = self.create()
        self.write("word " * 60_000, "end")
        self.end()
        self.reactor.run(0.5)
        self.assertEqual(wire.response.json["choices"][0]["text"], "word " * 60_000 + "end")

    def test_key(self) -> None:
        """The same idempotency key joins the run; the endpoint of chat completions has keys of its own."""
        first, second = self.create("k", stream=True), self.create("k", stream=True)
        self.write("One")
        self.end()
        self.assertEqual(self.joined(first.response), self.joined(second.response))
        location = "content-location"
        self.assertEqual(first.response.headers[location], second.response.headers[location])
        other = self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "?"}]}, Idempotency_Key="k")
        self.write("Two")
        self.end()
        self.assertNotEqual(other.response.headers[location], first.response.headers[location])

    def test_refused(self) -> None:
        """A request that cannot be served, and a run that fails before it has text, get an error with its status."""
        response = self.create(echo=True).response
        self.assertEqual((response.status, response.error["param"]), (400, "echo"))
        wire = self.create(stream=True)
        self.breakDown(SourceError("Too many.", "busy", 429))
        self.assertEqual(wire.response.status, 429)
