"""Tests of `sseserver.apis.messages.messages`."""

from __future__ import annotations

import json
from typing import Any

from sseserver.errors import SourceError
from sseserver.service.service import Settings
from sseserver.streams.followed import FLUSH_TICK
from tests.apis.chat.cases import ChatTestCase
from tests.wires import Wire

ASKED: dict[str, Any] = {
    "model": "scripted",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello there"}],
}


class MessagesTests(ChatTestCase):
    """Requests of Anthropic's clients."""

    settings = Settings(heartbeat=5, linger=10)

    def setUp(self) -> None:
        super().setUp()
        self.asked = {**ASKED, "model": self.source.model}

    def message(self, path: str = "/v1/messages", headers: dict[str, str] | None = None, **members: Any) -> Wire:
        """Ask for a message."""
        return self.post(path, {**self.asked, **members}, **(headers or {}))

    def chunk(self, **delta: Any) -> None:
        """Let the newest run write an upstream's chunk."""
        data = json.dumps({"model": "up", "choices": [{"index": 0, "delta": delta}]}).encode()
        self.source.run.sink.writeChunk(data, delta.get("content", ""))
        self.reactor.advance(FLUSH_TICK)

    def test_whole(self) -> None:
        """A message in one piece has the text and the usage; its stream is named."""
        wire = self.message()
        self.write("a", "b")
        self.end("length")
        answer = wire.response
        self.assertEqual((answer.status, answer.json["content"]), (200, [{"type": "text", "text": "ab"}]))
        self.assertEqual((answer.json["stop_reason"], answer.json["model"]), ("max_tokens", self.source.model))
        self.assertEqual((answer.json["usage"]["input_tokens"], answer.json["usage"]["output_tokens"]), (2, 2))
        self.assertRegex(answer.headers["request-id"], "^req_[0-9a-f]{32}$")
        self.assertEqual(self.ask(answer.headers["content-location"], "text/plain").body, b"ab")
        assert self.source.run.prompt is not None
        self.assertEqual(self.source.run.prompt.options["max_tokens"], 100)

    def test_stream(self) -> None:
        """A streamed message is its events; a heartbeat is a ping. A viewer that returns gets the rest."""
        wire = self.message(stream=True)
        self.write("a")
        self.reactor.advance(6)
        self.write("b")
        self.end()
        types = [event.type for event in wire.response.events]
        self.assertEqual(
            types,
            [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "ping",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop",
            ],
        )
        self.assertEqual(wire.response.headers["content-type"], "text/event-stream")
        usage = json.loads(wire.response.events[-2].data)["usage"]
        self.assertEqual((usage["input_tokens"], usage["output_tokens"]), (2, 2))
        url = f"{wire.response.headers['content-location']}?format=messages"
        rest = self.view(url, wire.response.events[2].id)
        self.assertEqual([event.type for event in rest.response.events], types[4:])

    def test_chunks(self) -> None:
        """The chunks of an upstream are translated: as events, and in one piece."""
        wires = [self.message(stream=True), self.message()]
        for run in self.source.runs:
            data = b'{"model":"up","choices":[{"index":0,"delta":{"reasoning":"r"}}]}'
            run.sink.writeChunk(data, "")
            run.sink.writeChunk(data.replace(b"reasoning", b"content"), "r")
            run.end("stop")
        self.reactor.run(1)
        streamed, whole = (wire.response for wire in wires)
        self.assertEqual([block["type"] for block in whole.json["content"]], ["thinking", "text"])
        blocks = [json.loads(event.data) for event in streamed.events if event.type == "content_block_start"]
        self.assertEqual([block["content_block"]["type"] for block in blocks], ["thinking", "text"])
        self.assertEqual((whole.json["model"], json.loads(streamed.events[0].data)["message"]["model"]), ("up", "up"))

    def test_joined(self) -> None:
        """A request with the same idempotency key joins the run; one with another body is refused."""
        headers = {"Idempotency_Key": "k"}
        first = self.message(stream=True, headers=headers)
        second = self.message(stream=True, headers=headers)
        self.write("a")
        self.end()
        self.assertEqual(len(self.source.runs), 1)
        told = [[(event.type, event.data) for event in wire.response.events] for wire in (first, second)]
        self.assertEqual(told[0], told[1])
        refused = self.message(stream=True, headers=headers, max_tokens=1)
        self.assertEqual(
            (refused.response.status, refused.response.json["error"]["type"]), (422, "invalid_request_error")
        )

    def test_failures(self) -> None:
        """A run that fails before its first entry has the status of its error; one that fails later has an event."""
        for streamed in (True, False):
            wire = self.message(stream=streamed)
            self.breakDown(SourceError("Busy.", "refused", 429, 7))
            answer = wire.response
            self.assertEqual((answer.status, answer.headers["retry-after"]), (429, "7"))
            self.assertEqual((answer.json["type"], answer.json["error"]["type"]), ("error", "rate_limit_error"))
            self.assertEqual(answer.json["request_id"], answer.headers["request-id"])
        wire = self.message(stream=True)
        self.write("a")
        self.breakDown(SourceError("Broken.", "truncated"))
        last = wire.response.events[-1]
        self.assertEqual((last.type, json.loads(last.data)["error"]["message"]), ("error", "Broken."))

    def test_refused(self) -> None:
        """Errors have the shape and the types of Anthropic's API."""
        for members, headers, status, type in (
            ({"max_tokens": 0}, {}, 400, "invalid_request_error"),
            ({"model": "other"}, {}, 404, "not_found_error"),
            ({}, {"anthropic_version": "1"}, 400, "invalid_request_error"),
        ):
            answer = self.message(headers=headers, **members).response
            self.assertEqual(
                (answer.status, answer.json["type"], answer.json["error"]["type"]), (status, "error", type)
            )
        self.assertEqual(self.ask("/v1/messages", method="DELETE").status, 405)
        accepted = self.message(headers={"anthropic_version": "2023-06-01"})
        self.end()
        self.assertEqual(accepted.response.status, 200)

    def test_overloaded(self) -> None:
        """A full server has the status that Anthropic's clients know."""
        self.serve(self.source, Settings(maxViewers=1))
        self.message(stream=True)
        refused = self.message(stream=True).response
        self.assertEqual((refused.status, refused.json["error"]["type"]), (529, "overloaded_error"))
        self.assertEqual(refused.headers["retry-after"], "3")

    def test_large(self) -> None:
        """A large answer is sent in pieces."""
        wire = self.message()
        text = "x" * 300_000
        self.write(text)
        self.end()
        self.reactor.run(1)
        self.assertEqual(wire.response.json["content"][0]["text"], text)

    def test_tokens(self) -> None:
        """The tokens of a request are estimated, which the answer says."""
        answer = self.message("/v1/messages/count_tokens").response
        self.assertEqual((answer.status, answer.json), (200, {"input_tokens": 7, "estimated": True}))
        self.assertEqual(self.source.runs, [])
        refused = self.message("/v1/messages/count_tokens", model="other").response
        self.assertEqual((refused.status, refused.json["error"]["type"]), (404, "not_found_error"))
