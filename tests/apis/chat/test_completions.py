"""
Tests for L{sseserver.apis.chat.completions}, through a real site on wires.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from sseserver.errors import SourceError
from sseserver.interfaces import IModels
from sseserver.service.service import Settings
from sseserver.stores import memory
from sseserver.streams.buffer import EntryBuffer
from sseserver.streams.log import FLUSH_TICK, StreamLog
from sseserver.values import Prompt
from tests.fakes import RecordingProducer
from tests.http import Response
from tests.served import ScriptedSource, ServedTestCase
from tests.wires import Wire

COMPLETIONS = "/v1/chat/completions"

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello there"}]}


class ChatTestCase(ServedTestCase):
    """Everything, with a source that is written by hand."""

    def post(self, path: str, body: object, **headers: str) -> Wire:
        """Post something in JSON, on a connection of its own; the answer may come later."""
        wire = self.connect(self.factory)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        wire.begin(path, "application/json", "POST", data, headers=told)
        return wire

    def complete(self, **members: Any) -> Wire:
        """Ask for a completion in one piece."""
        return self.post(COMPLETIONS, {**HELLO, **members})

    def stream(self, **members: Any) -> Wire:
        """Ask for a completion as a stream."""
        return self.post(COMPLETIONS, {**HELLO, "stream": True, **members})

    def write(self, *tokens: str) -> None:
        """Let the newest run write tokens, each in a flush tick of its own."""
        for token in tokens:
            self.source.run.write(token)
            self.reactor.advance(FLUSH_TICK)

    def end(self, result: object = None) -> None:
        """Let the newest run end."""
        self.source.run.end(result)
        self.reactor.advance(FLUSH_TICK)

    def breakDown(self, error: Exception) -> None:
        """Let the newest run fail."""
        self.source.run.fail(error)
        self.reactor.advance(FLUSH_TICK)

    def text(self, response: Response) -> str:
        """Join the content of a completion's chunks."""
        chunks = [json.loads(event.data) for event in response.events if event.data != "[DONE]"]
        return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


class StreamTests(ChatTestCase):
    """Completions as streams."""

    settings = Settings(heartbeat=15, linger=10)

    def test_answer(self) -> None:
        """
        Whatever C{Accept} says, the chunks come as an event stream, which is
        named as one that others can watch.
        """
        wire = self.stream(temperature=0.5)
        self.write("One ", "two")
        self.assertEqual(wire.response.headers["content-type"], "text/event-stream")
        self.assertFalse(wire.response.complete)
        url = wire.response.headers["content-location"]
        self.assertEqual(self.ask(url, "text/plain").body, b"One two")
        self.end()
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.text(wire.response), "One two")
        self.assertEqual(wire.response.events[-1].data, "[DONE]")
        self.assertEqual(self.source.run.prompt, Prompt("Hello there", HELLO["messages"], {"temperature": 0.5}))
        self.assertEqual(self.service.viewers.count, 0)

    def test_watched(self) -> None:
        """
        Others watch, resume and cancel the answer, in any format, while the
        first client reads its chunks.
        """
        wire = self.stream()
        self.write("One ")
        url = wire.response.headers["content-location"]
        watching = self.view(url)
        self.write("two ")
        watching.close()
        resumed = self.view(f"{url}?format=openai", watching.response.events[-1].id)
        self.write("three")
        self.assertEqual(self.ask(f"{url}/cancel", method="POST", body=b"").json["state"], "cancelled")
        self.reactor.advance(FLUSH_TICK)
        self.assertTrue(self.source.run.cancelled)
        self.assertEqual(watching.response.texts, ["One ", "two "])
        self.assertIn("cancelled", json.loads(wire.response.events[-1].data)["error"]["message"])
        told = [(event.id, event.data) for event in resumed.response.events]
        self.assertEqual(told, [(event.id, event.data) for event in wire.response.events[-2:]])
        self.assertIn("three", told[0][1])

    def test_headIsHeld(self) -> None:
        """
        Nothing is written before the first token, at most for a heartbeat's
        interval; from then on there are heartbeats.
        """
        wire = self.stream()
        self.reactor.run(14.9)
        self.assertEqual(wire.received, b"")
        self.assertEqual(self.service.viewers.count, 1)
        self.reactor.run(0.6)
        self.assertEqual((wire.response.status, wire.response.heartbeats), (200, 0))
        self.reactor.run(30)
        self.assertEqual(wire.response.heartbeats, 2)
        self.write("a")
        self.end()
        self.assertEqual(self.text(wire.response), "a")
        self.assertEqual(self.service.viewers.count, 0)

    def test_failsAtFirst(self) -> None:
        """
        A run that fails before its first token gives the answer its status, in OpenAI's shape.
        """
        for error, status, kind, retryAfter in (
            (SourceError("Too many.", "upstream", 429, 20), 429, "rate_limit_error", "20"),
            (SourceError("No such model.", "upstream", 404), 404, "invalid_request_error", None),
            (SourceError("Gone away.", "upstream"), 502, "server_error", None),
        ):
            wire = self.stream()
            self.breakDown(error)
            self.assertEqual((wire.response.status, wire.response.error["type"]), (status, kind))
            self.assertEqual((wire.response.error["message"], wire.response.error["code"]), (str(error), "upstream"))
            self.assertEqual(wire.response.headers.get("retry-after"), retryAfter)
            self.assertEqual(self.ask(wire.response.headers["content-location"], "application/json").json["last"], 1)
        self.assertEqual(self.service.viewers.count, 0)

    def test_failsLater(self) -> None:
        """
        After the head, or the first token, a failure is told in the stream, and is no end.
        """
        late, begun = self.stream(), self.stream()
        self.write("a")
        self.reactor.run(16)
        for run in self.source.runs:
            run.fail(SourceError("Too many.", "upstream", 429))
        self.reactor.advance(FLUSH_TICK)
        for wire in (late, begun):
            self.assertEqual(wire.response.status, 200)
            self.assertTrue(wire.response.complete)
            self.assertEqual(json.loads(wire.response.events[-1].data)["error"]["message"], "Too many.")

    def test_cancelledAtFirst(self) -> None:
        """
        A run that is cancelled before its first token is answered with a
        status after which clients do not start it again.
        """
        wire = self.stream()
        (name,) = self.service.runs.names
        self.ask(f"/streams/{name}/cancel", method="POST", body=b"")
        self.assertEqual((wire.response.status, wire.response.error["code"]), (410, "cancelled"))

    def test_leaves(self) -> None:
        """
        When the client goes, before the first token or after it, the linger begins.
        """
        for tokens in ((), ("a",)):
            wire = self.stream()
            self.write(*tokens)
            self.reactor.run(12)
            wire.close()
            self.reactor.run(9.5)
            self.assertFalse(self.source.run.cancelled)
            self.reactor.run(1)
            self.assertTrue(self.source.run.cancelled)
            self.assertEqual(self.service.viewers.count, 0)

    def test_noLinger(self) -> None:
        """
        Without a linger the answer is cancelled when its client goes, and not
        in the moment when the head is written.
        """
        self.serve(self.source, Settings(linger=0))
        wire = self.stream()
        self.write("a")
        self.assertFalse(self.source.run.cancelled)
        wire.close()
        self.assertTrue(self.source.run.cancelled)
        waits = self.stream()
        waits.close()
        self.assertTrue(self.source.run.cancelled)

    def test_usage(self) -> None:
        """
        What the answer took is told where it was asked for: in a chunk
        without choices, before the end.
        """
        for options, usage in (
            ({"include_usage": True}, {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}),
            (None, None),
        ):
            wire = self.stream(stream_options=options)
            self.write("a", "b", "c")
            self.end()
            chunks = [json.loads(event.data) for event in wire.response.events[:-1]]
            told = [(chunk["choices"], chunk["usage"]) for chunk in chunks if "usage" in chunk]
            self.assertEqual(told, [([], usage)] if usage else [])

    def test_chunks(self) -> None:
        """
        An upstream's chunks pass as they are, and tell themselves what they took.
        """
        wire = self.stream(stream_options={"include_usage": True})
        chunk = b'{"choices":[{"delta":{"tool_calls":[{"index":0}]}}], "x" : 1}'
        self.source.run.sink.writeChunk(chunk, "")
        self.source.run.sink.writeChunk(b'{"choices":[],"usage":{"total_tokens":1}}', "")
        self.end()
        first, second, end = wire.response.events
        self.assertEqual(first.data.encode(), chunk)
        self.assertIn("total_tokens", second.data)
        self.assertEqual(end.data, "[DONE]")

    def test_unknownUsage(self) -> None:
        """
        Where an upstream does not tell what it took, nobody makes it up.
        """
        wire = self.complete()
        self.source.run.sink.writeChunk(b'{"choices":[{"delta":{"content":"a"}}]}', "a")
        self.end()
        self.assertNotIn("usage", wire.response.json)

    def test_retry(self) -> None:
        """
        A retry with the same key joins the answer from its start, before and
        after its end; another body with that key is refused.
        """
        first = self.post(COMPLETIONS, {**HELLO, "stream": True}, Idempotency_Key="k")
        self.write("One ")
        first.close()
        second = self.post(COMPLETIONS, {**HELLO, "stream": True}, Idempotency_Key="k")
        self.write("two")
        self.end()
        third = self.post(COMPLETIONS, {**HELLO, "stream": True}, Idempotency_Key="k")
        self.assertEqual(len(self.source.runs), 1)
        for wire in (second, third):
            self.assertEqual(self.text(wire.response), "One two")
            self.assertTrue(wire.response.complete)
            self.assertEqual(wire.response.headers["content-location"], first.response.headers["content-location"])
        other = self.post(COMPLETIONS, {**HELLO, "stream": True, "seed": 1}, Idempotency_Key="k")
        self.assertEqual((other.response.status, other.response.error["code"]), (422, "idempotency_key_reused"))
        bad = self.post(COMPLETIONS, {**HELLO, "stream": True}, Idempotency_Key="a b")
        self.assertEqual(bad.response.status, 400)

    def test_joinsAtOnce(self) -> None:
        """
        A run that has begun already, without a viewer, is joined without
        being cancelled in between, also where there is no linger.
        """
        self.serve(self.source, Settings(linger=0))
        self.post("/streams", HELLO, Idempotency_Key="k")
        self.write("a")
        wire = self.post(COMPLETIONS, {**HELLO, "stream": True}, Idempotency_Key="k")
        self.assertFalse(self.source.run.cancelled)
        self.assertEqual(self.text(wire.response), "a")

    def test_leavesWhileItStarts(self) -> None:
        """
        A client that goes before its stream is made is no viewer of it.
        """
        for members in ({"stream": True}, {}):
            made: Deferred[Any] = Deferred()
            streamLog = self.successResultOf(self.service.startRun())
            patched = self.patch(self.service, "startRun", lambda *arguments, made=made: made)
            wire = self.post(COMPLETIONS, {**HELLO, **members})
            wire.close()
            made.callback(streamLog)
            self.assertEqual((self.service.viewers.count, streamLog.viewers, wire.received), (0, 0, b""))
            patched.restore()

    def test_full(self) -> None:
        """
        The last place can be had, also by a head that is held; the next client is refused.
        """
        self.serve(self.source, Settings(maxViewers=1))
        wire = self.stream()
        for full in (self.stream(), self.complete()):
            self.assertEqual((full.response.status, full.response.error["code"]), (503, "overloaded"))
            self.assertEqual(full.response.headers["retry-after"], "3")
        self.write("a")
        self.assertEqual(wire.response.status, 200)

    def test_stopped(self) -> None:
        """
        A server that stops tells who waits for the first token to come back later.
        """
        wires = [self.stream(), self.complete()]
        stopped = self.service.stopService()
        self.reactor.run(1)
        self.successResultOf(stopped)
        for wire in wires:
            self.assertEqual((wire.response.status, wire.response.error["code"]), (503, "shutdown"))
            self.assertEqual(wire.response.headers["retry-after"], "3")

    def test_mounted(self) -> None:
        """
        The stream's URL is right wherever it is mounted, with a slash at the end as well.
        """
        root, chat = Resource(), Resource()
        root.putChild(b"my chat", chat)
        chat.putChild(b"a", self.resource)
        self.factory = Site(root, reactor=self.reactor)
        for path in ("/my%20chat/a/v1/chat/completions", "/my%20chat/a/v1/chat/completions/"):
            wire = self.post(path, {**HELLO, "stream": True})
            self.write("a")
            url = wire.response.headers["content-location"]
            self.assertTrue(url.startswith("/my%20chat/a/streams/"), url)
            self.assertEqual(self.ask(url, "text/plain").body, b"a")


class WholeTests(ChatTestCase):
    """Completions in one piece."""

    settings = Settings(linger=10, window=100_000, readAhead=1000)

    def test_answer(self) -> None:
        """
        It comes when the stream has ended, in OpenAI's shape, with what it took.
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
        self.assertEqual(choice["message"], {"role": "assistant", "content": "One two"})
        self.assertEqual(choice["finish_reason"], "length")
        self.assertEqual(completion["usage"], {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4})
        options = {"max_tokens": 5, "stream_options": {"include_usage": True}}
        self.assertEqual(self.source.run.prompt, Prompt("Hello there", HELLO["messages"], options))

    def test_holdsLinger(self) -> None:
        """
        Who waits is a viewer: the run goes on as long as it takes; and ends
        when the linger is over after the client has gone.
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
        Without a linger the answer is cancelled when its client goes.
        """
        self.serve(self.source, Settings(linger=0))
        wire = self.complete()
        self.write("a")
        wire.close()
        self.assertTrue(self.source.run.cancelled)

    def test_readsAhead(self) -> None:
        """
        Who waits reads as the answer grows: the run is not held back, and
        what was read may be trimmed.
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
        An answer that is larger than a stream's window is refused at once,
        with a status after which clients do not ask again.
        """
        wire = self.complete()
        for _ in range(21):
            self.write("x" * 5000)
        self.assertEqual((wire.response.status, wire.response.error["code"]), (400, "answer_too_long"))
        self.assertEqual(self.service.viewers.count, 0)
        self.reactor.run(11)
        self.assertTrue(self.source.run.cancelled)

    def test_fails(self) -> None:
        """
        A run that fails gives its status, before its first token and after it.
        """
        for tokens in ((), ("a",)):
            wire = self.complete()
            self.write(*tokens)
            self.breakDown(SourceError("Too many.", "upstream", 429, 5))
            self.assertEqual((wire.response.status, wire.response.error["message"]), (429, "Too many."))
            self.assertEqual(wire.response.headers["retry-after"], "5")

    def test_cancelled(self) -> None:
        """
        A run that is cancelled, or deleted, has no answer.
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
        Who waits for a store that never takes the end is cut when the server stops.
        """
        store = memory.MemoryStore(self.reactor, 100_000)
        # Entries become visible when the store commits them; this one never does.
        store.durable = True
        self.serve(self.source, Settings(drain=5), store)
        wire = self.complete()
        self.end()
        stopped = self.service.stopService()
        self.reactor.run(6)
        self.successResultOf(stopped)
        self.assertTrue(wire.socket.closed)
        self.assertEqual(wire.received, b"")

    def test_bug(self) -> None:
        """
        What breaks while it waits is a 500, and in the log.
        """

        class BrokenBuffer(EntryBuffer):
            def entry(self, number: int) -> bytes:
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


class BadRequestTests(ChatTestCase):
    """What is refused, always in OpenAI's shape."""

    def test_bodies(self) -> None:
        """
        A body that cannot be used is refused, and starts nothing.
        """
        message = b'{"messages":[{"role":"user","content":"%b"}]%b}'
        for body, status, param in (
            (b"{", 400, None),
            (b"[]", 400, None),
            (b"", 400, "messages"),
            (b"[" * 100_000, 400, None),
            (message % (b"\\ud800abcdefghijkl", b""), 400, None),
            (message % (b"\xff", b""), 400, None),
            (message % (b"x", b',"x":' + b"[" * 100_000 + b"]" * 100_000), 400, None),
            (message % (b"x", b',"seed":1e999'), 400, None),
            (message % (b"x", b',"temperature":"x"'), 400, "temperature"),
            (message % (b"x", b',"model":"gpt-9"'), 404, "model"),
            (message % (b"x" * 1024 * 1024, b""), 413, None),
        ):
            for path in (COMPLETIONS, "/streams") if body and b"model" not in body else (COMPLETIONS,):
                response = self.post(path, body).response
                self.assertEqual(response.status, status, (path, body[:60]))
                self.assertEqual(response.error["type"], "invalid_request_error")
                self.assertEqual(response.error.get("param"), param)
        self.assertEqual(self.source.runs, [])

    def test_methods(self) -> None:
        """
        Other methods are answered 405, and are told which there are.
        """
        for path, allowed in (
            (COMPLETIONS, "POST"),
            ("/v1/models", "GET, HEAD"),
            ("/v1/models/script", "GET, HEAD"),
            ("/api/chat", "POST"),
            ("/api/chat/a/stream", "GET, HEAD"),
        ):
            response = self.ask(path, method="DELETE")
            self.assertEqual((response.status, response.headers["allow"]), (405, allowed), path)
            self.assertEqual(response.error["code"], "method_not_allowed")

    def test_nothing(self) -> None:
        """
        All else that OpenAI's API has is not there.
        """
        for path in ("/v1", "/v1/", "/v1/embeddings", "/v1/chat", "/v1/chat/completions/x", "/api", "/api/x"):
            for method in ("GET", "POST"):
                response = self.ask(path, method=method, body=b"{}")
                self.assertEqual((response.status, response.error["code"]), (404, "not_found"), path)
        self.assertEqual(self.ask("/api/chat/a").status, 404)
        self.assertEqual(self.ask("/api/chat/a/stream/x").status, 404)


@implementer(IModels)
class ManyModels(ScriptedSource):
    """A source that offers what its test says."""

    answer: Deferred[list[str]]

    def models(self) -> Deferred[list[str]]:
        return self.answer


class ModelTests(ChatTestCase):
    """C{GET /v1/models}."""

    def test_own(self) -> None:
        """
        A source of ours is a model.
        """
        self.reactor.advance(1_700_000_000.5)
        self.serve(self.source)
        model = {"id": "script", "object": "model", "created": 1_700_000_000, "owned_by": "sseserver"}
        for path in ("/v1/models", "/v1/models/"):
            self.assertEqual(self.ask(path).json, {"object": "list", "data": [model]})
        self.assertEqual(self.ask("/v1/models/script").json, model)
        response = self.ask("/v1/models/gpt%209")
        self.assertEqual((response.status, response.error["code"]), (404, "model_not_found"))
        self.assertEqual(self.ask("/v1/models", method="HEAD").status, 200)

    def test_many(self) -> None:
        """
        A source that offers more lists them; there may be slashes in their
        names. It takes every model's name: it knows itself what it has.
        """
        source = ManyModels(takesPrompt=True)
        source.answer = succeed(["small", "org/large"])
        self.serve(source)
        self.assertEqual([model["id"] for model in self.ask("/v1/models").json["data"]], ["small", "org/large"])
        for path in ("/v1/models/org/large", "/v1/models/org%2Flarge"):
            self.assertEqual(self.ask(path).json["id"], "org/large")
        self.assertEqual(self.ask("/v1/models/org").status, 404)
        self.complete(model="another")
        self.assertEqual(source.run.prompt and source.run.prompt.options["model"], "another")

    def test_unknown(self) -> None:
        """
        A source that does not know them now says so with its status.
        """
        source = ManyModels()
        source.answer = fail(SourceError("Too many.", "upstream", 429, 5))
        self.serve(source)
        response = self.ask("/v1/models")
        self.assertEqual((response.status, response.error["message"]), (429, "Too many."))
        self.assertEqual(response.headers["retry-after"], "5")


class RunTests(ChatTestCase):
    """C{POST /streams} with messages."""

    takesPrompt = True

    def test_messages(self) -> None:
        """
        A run can be started with a conversation; its text is the user's last message.
        """
        response = self.post("/streams", {**HELLO, "temperature": 0}).response
        self.assertEqual(response.status, 201)
        self.assertEqual(self.source.run.prompt, Prompt("Hello there", HELLO["messages"], {"temperature": 0}))
        self.post("/streams", {"prompt": "Hi"})
        self.assertEqual(self.source.run.prompt, Prompt("Hi"))

    def test_needsPrompt(self) -> None:
        """
        Either is needed, not both.
        """
        for body in ({}, {"prompt": None}, {"prompt": "a", **HELLO}, {"messages": []}):
            self.assertEqual(self.post("/streams", body).response.status, 400)
        self.assertEqual(self.source.runs, [])


class UITests(ChatTestCase):
    """The Vercel AI SDK's requests."""

    settings = Settings(linger=10)

    def chat(self, chat: str = "chat-1", **headers: str) -> Wire:
        """Send a message in a chat, as its transport does."""
        message = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}
        body = {"id": chat, "messages": [message], "trigger": "submit-message", "messageId": None}
        return self.post("/api/chat", body, **headers)

    def resume(self, chat: str = "chat-1") -> Wire:
        """Ask for what a chat's answer goes on with."""
        return self.view(f"/api/chat/{chat}/stream")

    def parts(self, wire: Wire) -> list[str]:
        """Give the types of the parts of a message."""
        return [
            "[DONE]" if event.data == "[DONE]" else json.loads(event.data)["type"] for event in wire.response.events
        ]

    def test_answer(self) -> None:
        """
        The answer comes as a UI message stream, and is a stream like every other.
        """
        wire = self.chat()
        self.assertEqual(wire.response.headers["x-vercel-ai-ui-message-stream"], "v1")
        self.write("a", "b")
        self.assertEqual(self.ask(wire.response.headers["content-location"], "text/plain").body, b"ab")
        self.end()
        self.assertEqual(self.parts(wire)[:3], ["start", "start-step", "text-start"])
        self.assertEqual(self.parts(wire)[-4:], ["text-end", "finish-step", "finish", "[DONE]"])
        self.assertTrue(wire.response.complete)
        prompt = Prompt("Hello", [{"role": "user", "content": "Hello"}])
        self.assertEqual(self.source.run.prompt, prompt)

    def test_failure(self) -> None:
        """
        A failure is told in the stream, where the SDK looks for its words.
        """
        wire = self.chat()
        self.breakDown(SourceError("Too many.", "upstream", 429))
        self.assertEqual(wire.response.status, 200)
        self.assertEqual(json.loads(wire.response.events[-2].data)["errorText"], "Too many.")

    def test_resumes(self) -> None:
        """
        As long as the answer grows, a page that was loaded anew gets it from
        its start; before and after that, and for other chats, there is nothing.
        """
        self.assertEqual(self.resume().response.status, 204)
        wire = self.chat()
        self.write("a")
        wire.close()
        resumed = self.resume()
        self.write("b")
        self.assertEqual(resumed.response.headers["x-vercel-ai-ui-message-stream"], "v1")
        self.assertEqual(resumed.response.headers["content-location"], wire.response.headers["content-location"])
        self.assertEqual(self.ask("/api/chat/chat-1/stream", method="HEAD").status, 200)
        self.assertEqual(self.service.viewers.count, 1)
        self.assertEqual(self.resume("chat-2").response.status, 204)
        self.end()
        text = "".join(json.loads(event.data).get("delta", "") for event in resumed.response.events[:-1])
        self.assertEqual(text, "ab")
        self.assertEqual(self.resume().response.status, 204)

    def test_newest(self) -> None:
        """
        The chat's newest answer is resumed.
        """
        self.chat()
        self.chat()
        self.write("new")
        self.assertIn(b"new", self.resume().response.body)

    def test_forgets(self) -> None:
        """
        A chat is known no longer than its stream is kept.
        """
        wire = self.chat()
        self.write("a")
        self.end()
        self.reactor.run(self.settings.keep + 1, 10)
        self.assertEqual(self.ask(wire.response.headers["content-location"], "application/json").status, 404)
        wire.close()
        del self.source.runs[:]
        self.assertEqual(self.resume().response.status, 204)

    def test_ids(self) -> None:
        """
        An id that is none is refused.
        """
        self.assertEqual(self.chat("a/b").response.error["param"], "id")
        for chat in ("a%20b", "%E4", "x" * 129):
            self.assertEqual(self.resume(chat).response.status, 400)

    def test_retry(self) -> None:
        """
        A retry with the same key joins the answer.
        """
        self.chat(Idempotency_Key="k")
        self.chat(Idempotency_Key="k")
        self.assertEqual(len(self.source.runs), 1)
