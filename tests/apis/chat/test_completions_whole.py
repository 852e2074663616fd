"""
Tests for `sseserver.apis.chat.completions`: answers in one piece.
"""

from __future__ import annotations

from typing import Any

from sseserver.errors import SourceError
from sseserver.service.answer import STEP_BYTES, STEP_ENTRIES
from sseserver.service.service import Settings
from sseserver.stores import memory
from sseserver.streams.buffer import EntryBuffer
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.log import StreamLog
from sseserver.values import Prompt
from tests.apis.chat.cases import COMPLETIONS, HELLO, ChatTestCase
from tests.fakes import RecordingProducer


class WholeTests(ChatTestCase):
    """Completions in one piece."""

    settings = Settings(linger=10, window=100_000, readAhead=1000)

    def test_answer(self) -> None:
        """
        The completion is sent at the end of the stream, in OpenAI's shape, with the usage.
        """
        wire = self.complete(max_tokens=5)
        self.write("One ", "two")
        self.assertEqual(wire.received, b"")
        self.end("length")
        completion = wire.response.json
        self.assertEqual((wire.response.status, wire.response.headers["content-type"]), (200, "application/json"))
        name = wire.response.headers["content-location"].removeprefix("/streams/")
        self.assertEqual((completion["id"], completion["object"]), (f"chatcmpl-{name}", "chat.completion"))
        self.assertEqual(completion["model"], "script")
        (choice,) = completion["choices"]
        self.assertEqual(choice["message"], {"role": "assistant", "content": "One two", "refusal": None})
        self.assertEqual(choice["finish_reason"], "length")
        self.assertEqual(completion["usage"], {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4})
        options = {"max_tokens": 5, "stream_options": {"include_usage": True}}
        self.assertEqual(self.source.run.prompt, Prompt("Hello there", HELLO["messages"], options))

    def test_holdsLinger(self) -> None:
        """
        A waiting client is a viewer: the run continues, and ends one linger after the client has
        disconnected.
        """
        wire = self.complete()
        self.reactor.run(60)
        self.assertFalse(self.source.run.cancelled)
        self.assertEqual(self.service.viewers.count, 1)
        wire.close()
        self.assertEqual(self.service.viewers.count, 0)
        self.reactor.run(9.5)
        self.assertFalse(self.source.run.cancelled)
        self.reactor.run(1)
        self.assertTrue(self.source.run.cancelled)
        self.assertEqual(wire.received, b"")

    def test_noLinger(self) -> None:
        """
        Without a linger the run is cancelled when its client disconnects.
        """
        self.serve(self.source, Settings(linger=0))
        wire = self.complete()
        self.write("a")
        wire.close()
        self.assertTrue(self.source.run.cancelled)

    def test_readsAhead(self) -> None:
        """
        A waiting client reads as the answer grows: the run is not paused for long, and read entries
        may be trimmed.
        """
        wire = self.complete()
        producer = RecordingProducer()
        self.source.run.sink.registerProducer(producer, True)
        for number in range(4500):
            self.source.run.write(f"{number:20}")
            if number % 500 == 0:
                self.reactor.advance(FLUSH_TICK)
        self.reactor.advance(FLUSH_TICK)
        # It is looked at every so many tokens, in the midst of a flush tick.
        self.assertEqual(producer.told, ["pause", "resume"] * (len(producer.told) // 2))
        self.assertTrue(producer.told)
        self.source.run.sink.unregisterProducer()
        self.assertGreater(self.state("/streams/" + self.service.runs.names[0])["first"], 1)
        self.end()
        self.assertEqual(
            wire.response.json["choices"][0]["message"]["content"], "".join(f"{number:20}" for number in range(4500))
        )

    def test_tooLong(self) -> None:
        """
        An answer larger than the window is refused at once, with a status that clients do not
        retry.
        """
        wire = self.complete()
        for _ in range(21):
            self.write("x" * 5000)
        self.assertEqual((wire.response.status, wire.response.error["code"]), (400, "answer_too_long"))
        self.assertEqual(self.service.viewers.count, 0)
        self.reactor.run(11)
        self.assertTrue(self.source.run.cancelled)

    def test_F50_severalTurns(self) -> None:
        """F50: a long answer is read in several turns of the reactor, even if nothing else wakes its viewer."""
        wire = self.complete()
        for _ in range(4 * STEP_ENTRIES):
            self.source.run.sink.writeChunk(b'{"choices":[{"delta":{"content":"ab"}}]}', "ab")
        self.end()
        self.assertEqual(wire.response.json["choices"][0]["message"]["content"], "ab" * 4 * STEP_ENTRIES)

    def test_fails(self) -> None:
        """
        A run that fails gives the response its status, before the first token and after it.
        """
        for tokens in ((), ("a",)):
            wire = self.complete()
            self.write(*tokens)
            self.breakDown(SourceError("Too many.", "upstream", 429, 5))
            self.assertEqual((wire.response.status, wire.response.error["message"]), (429, "Too many."))
            self.assertEqual(wire.response.headers["retry-after"], "5")

    def test_cancelled(self) -> None:
        """
        A run that is cancelled or deleted has no answer.
        """
        for method, path in (("POST", "/cancel"), ("DELETE", "")):
            wire = self.complete()
            self.write("a")
            self.ask(f"/streams/{self.service.runs.names[0]}{path}", method=method, body=b"")
            self.reactor.advance(FLUSH_TICK)
            self.assertEqual((wire.response.status, wire.response.error["code"]), (410, "cancelled"))

    def test_retry(self) -> None:
        """
        A retry joins the answer, before its end and after it.
        """
        first = self.post(COMPLETIONS, HELLO, Idempotency_Key="k")
        self.write("One ")
        first.close()
        second = self.post(COMPLETIONS, HELLO, Idempotency_Key="k")
        self.write("two")
        self.end()
        third = self.post(COMPLETIONS, HELLO, Idempotency_Key="k")
        self.assertEqual(second.response.json["choices"][0]["message"]["content"], "One two")
        self.assertEqual(third.response.json, second.response.json)
        self.assertEqual(len(self.source.runs), 1)

    def test_cut(self) -> None:
        """
        A client that waits for a store is cut when the server stops.
        """
        store = memory.MemoryStore(self.reactor, 100_000)
        # Entries become visible when the store commits them; this one never does.
        store.durable = True
        self.serve(self.source, Settings(drain=5), store)
        wire = self.complete()
        self.end()
        stopped = self.service.stopService()
        self.reactor.run(9)
        self.successResultOf(stopped)
        self.assertTrue(wire.socket.closed)
        self.assertEqual(wire.received, b"")

    def test_bug(self) -> None:
        """
        A bug while the client waits is a 500, and is logged.
        """

        class BrokenBuffer(EntryBuffer):
            def span(self, first: int, last: int) -> bytes:
                raise KeyError("swordfish")

        class BrokenLog(StreamLog):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                self.buffer = BrokenBuffer()

        self.patch(memory, "StreamLog", BrokenLog)
        wire = self.complete()
        self.write("a")
        self.assertEqual((wire.response.status, wire.response.error["code"]), (500, "internal_error"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertNotIn(b"swordfish", wire.received)


class LargeTests(ChatTestCase):
    """Completions of more than 64 KiB."""

    settings = Settings(linger=10, stall=5, maxViewers=1)

    def ended(self, text: str, room: int | None = None) -> Any:
        """Ask for a completion, and let the run write a text and end."""
        wire = self.complete()
        wire.socket.room = room
        for start in range(0, len(text), 5000):
            self.source.run.write(text[start : start + 5000])
        self.end()
        return wire

    def test_whole(self) -> None:
        """A completion that is encoded in pieces is the same as one that is encoded at once."""
        answers = []
        for size in (STEP_BYTES // 2, STEP_BYTES * 2):
            text = 'äöü"\n😀xxxx' * (size // 15)
            wire = self.ended(text)
            self.assertEqual(wire.response.json["choices"][0]["message"]["content"], text)
            self.assertTrue(wire.response.body.endswith(b"}\n"))
            self.reactor.run(1)
            answers.append({**wire.response.json, "choices": [], "id": "", "created": 0, "usage": None})
        self.assertEqual(answers[0], answers[1])

    def test_F1_slowReader(self) -> None:
        """F1: a client that reads slowly is a viewer until it has all; the rest is encoded as it reads."""
        text = "x" * 1_000_000
        wire = self.ended(text, 0)
        self.reactor.run(1)
        self.assertLess(next(iter(self.service.viewers)).written, 200_000)
        for _ in range(7):
            self.assertEqual(self.service.viewers.count, 1)
            wire.take(150_000)
            self.reactor.run(4)
        self.assertEqual(wire.response.json["choices"][0]["message"]["content"], text)
        self.reactor.run(1)
        self.assertEqual(self.service.viewers.count, 0)

    def test_F2_stalled(self) -> None:
        """F2: a client that takes nothing is cut."""
        wire = self.ended("x" * 1_000_000, 0)
        self.reactor.run(8)
        self.assertTrue(wire.closed)
        self.assertEqual(self.service.viewers.count, 0)

    def test_F4_drain(self) -> None:
        """F4: a completion that ends while the server stops is sent before it has stopped."""
        text = "x" * 1_000_000
        wire = self.complete()
        wire.socket.room = 0
        self.write(text)
        drained = self.service.viewers.drain()
        self.end()
        self.reactor.run(2)
        self.assertNoResult(drained)
        wire.take()
        self.reactor.run(1)
        self.assertEqual(wire.response.json["choices"][0]["message"]["content"], text)
        self.successResultOf(drained)
