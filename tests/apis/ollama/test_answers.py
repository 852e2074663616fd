"""Tests of `sseserver.apis.ollama.answers`."""

from __future__ import annotations

import json
from typing import Any

from sseserver.errors import SourceError
from sseserver.service.service import Settings
from tests.apis.chat.cases import ChatTestCase
from tests.formats.test_ollama import readLines
from tests.wires import Wire

USER = {"role": "user", "content": "Hello there"}


class AnswersTests(ChatTestCase):
    """Requests of Ollama's clients."""

    settings = Settings(heartbeat=5, linger=10, ollama=True)

    def chat(self, **members: Any) -> Wire:
        """Ask for the next message of a chat."""
        return self.post("/ollama/api/chat", {"model": "script", "messages": [USER], **members})

    def generate(self, **members: Any) -> Wire:
        """Ask for the answer to a prompt."""
        return self.post("/ollama/api/generate", {"model": "script", "prompt": "Hello there", **members})

    def test_stream(self) -> None:
        """An answer is lines of JSON, also after a heartbeat; its stream is named."""
        for ask, read in (
            (self.chat, lambda line: line["message"]["content"]),
            (self.generate, lambda line: line["response"]),
        ):
            wire = ask()
            self.write("a")
            self.reactor.advance(6)
            self.write("b")
            self.end()
            answer = wire.response
            self.assertEqual(answer.headers["content-type"], "application/x-ndjson")
            lines = readLines(answer.body)
            self.assertEqual([read(line) for line in lines], ["a", "b", ""])
            self.assertEqual((lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]), (2, 2))
            self.assertEqual(lines[-1]["total_duration"], lines[-1]["eval_duration"])
            self.assertGreaterEqual(lines[-1]["eval_duration"], 6 * 10**9)
            self.assertEqual(self.ask(answer.headers["content-location"], "text/plain").body, b"ab")

    def test_whole(self) -> None:
        """With `stream` false the answer is one object."""
        chat, generated = self.chat(stream=False), self.generate(stream=False)
        self.reactor.advance(3)
        for run in self.source.runs:
            run.write("a", "b")
            self.reactor.advance(2)
            run.end()
        self.reactor.run(1)
        self.assertEqual(chat.response.json["message"], {"role": "assistant", "content": "ab"})
        self.assertEqual((generated.response.json["response"], generated.response.json["done_reason"]), ("ab", "stop"))
        durations = {name: value for name, value in chat.response.json.items() if name.endswith("_duration")}
        total = {"total_duration": 5 * 10**9, "load_duration": 0}
        self.assertEqual(durations, {**total, "prompt_eval_duration": 3 * 10**9, "eval_duration": 2 * 10**9})

    def test_large(self) -> None:
        """A large answer is sent in pieces."""
        wire, text = self.generate(stream=False), "x" * 300_000
        self.write(text)
        self.end()
        self.reactor.run(1)
        self.assertEqual(wire.response.json["response"], text)

    def test_loaded(self) -> None:
        """A request without a prompt starts no run."""
        answer = self.chat(messages=[]).response
        self.assertEqual((answer.status, answer.json["done_reason"], self.source.runs), (200, "load", []))

    def test_failures(self) -> None:
        """An error is a sentence, with the status of the error before the first line."""
        wire = self.chat()
        self.breakDown(SourceError("Busy.", "refused", 429, 7))
        self.assertEqual((wire.response.status, wire.response.json), (429, {"error": "Busy."}))
        self.assertEqual(wire.response.headers["retry-after"], "7")
        wire = self.chat()
        self.write("a")
        self.breakDown(SourceError("Broken.", "truncated"))
        self.assertEqual(readLines(wire.response.body)[-1], {"error": "Broken."})
        self.assertEqual(self.chat(model="other").response.status, 404)

    def test_both(self) -> None:
        """The chats of the Vercel AI SDK keep their path."""
        message = {"role": "user", "parts": [{"type": "text", "text": "Hello"}]}
        wire = self.post("/api/chat", {"id": "c", "messages": [message]})
        self.end()
        self.assertEqual(json.loads(wire.response.events[0].data)["type"], "start")

    def test_off(self) -> None:
        """Without the setting there is no such API."""
        self.serve(self.source, Settings())
        self.assertEqual((self.chat().response.status, self.ask("/ollama/api/tags").status), (404, 404))
