"""
Tests for `sseserver.apis.responses.conversation`.
"""

from __future__ import annotations

from sseserver.settings import Settings
from tests.apis.responses.cases import ResponsesTestCase


class ConversationTests(ResponsesTestCase):
    """Responses that continue others."""

    settings = Settings(maxBody=3000)

    def test_continued(self) -> None:
        """The input and the output of all responses before are the conversation; their instructions are not."""
        first = self.finish("Two", input="One", instructions="Be short.")
        second = self.finish("Four", input="Three", previous_response_id=first)
        third = self.get(self.finish("Six", input="Five", previous_response_id=second)).json
        told = [(message["role"], message["content"]) for message in self.source.run.prompt.messages]
        texts = ["One", "Two", "Three", "Four", "Five"]
        self.assertEqual(told, list(zip(["user", "assistant"] * 2 + ["user"], texts, strict=True)))
        self.assertEqual((third["previous_response_id"], third["instructions"]), (second, None))
        self.assertEqual(len(self.get(third["id"], "/input_items").json["data"]), 1)

    def test_calls(self) -> None:
        """A call of a function, and its output, are messages of the conversation."""
        wire = self.create()
        chunk = (
            b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}}]}'
        )
        self.source.run.sink.writeChunk(chunk, "")
        self.end("tool_calls")
        first = wire.response.json["id"]
        output = {"type": "function_call_output", "call_id": "a", "output": "1"}
        self.finish(input=[output, {"role": "user", "content": "x"}], previous_response_id=first)
        call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        self.assertEqual(
            self.source.run.prompt.messages[1:3],
            [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "a", "content": "1"},
            ],
        )

    def test_counted(self) -> None:
        """A conversation counts as a prompt while it is read. Without room it is refused, and nothing stays counted."""
        first = self.finish("Two", input="One")
        second = self.finish("Four", input="Three", previous_response_id=first)
        prompts = self.service.ledger.prompts
        reading = self.create(previous_response_id=second)
        self.assertGreater(prompts.used, 0)
        self.reactor.run(0.05)
        self.end()
        self.assertEqual(reading.response.status, 200)
        prompts.add(self.settings.maxBytes)
        refused = self.create(previous_response_id=second)
        self.reactor.run(0.05)
        self.assertEqual(refused.response.status, 503)
        prompts.subtract(self.settings.maxBytes)
        self.assertEqual((prompts.used, prompts.count), (0, 0))

    def test_refused(self) -> None:
        """A response that is missing, works still or has failed cannot be continued; no conversation grows for ever."""
        working = self.create(background=True).response.json["id"]
        failed = self.create(background=True).response.json["id"]
        self.breakDown(ValueError())
        self.flushLoggedErrors(ValueError)
        long = self.finish("word " * 1000)
        for previous in ("resp_x", working, failed, long):
            answer = self.create(previous_response_id=previous).response
            self.assertEqual((answer.status, answer.json["error"]["param"]), (400, "previous_response_id"))
