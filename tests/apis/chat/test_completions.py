"""
Tests for `sseserver.apis.chat.completions`: streamed answers, and refusals.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from sseserver.apis.chat import completions
from sseserver.errors import SourceError
from sseserver.jsontext import convert
from sseserver.protocols.chatcompletions import makeSummary, request
from sseserver.protocols.jsonsteps import MAX_PROMPT_VALUES
from sseserver.service.service import Settings
from sseserver.streams.followed import FLUSH_TICK
from sseserver.values import LargePrompt, Prompt
from tests.apis.chat.cases import COMPLETIONS, HELLO, ChatTestCase


class StreamTests(ChatTestCase):
    """Completions as streams."""

    settings = Settings(heartbeat=15, linger=10)

    def test_answer(self) -> None:
        """
        Whatever the header `Accept` says, the answer is an event stream of chunks, with the URL of
        its stream in a header.
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
        # Without speedups the last bytes leave in a later turn of the reactor.
        self.reactor.run(0.1)
        self.assertEqual(self.service.viewers.count, 0)

    def test_largeBody(self) -> None:
        """#12: a large body is decoded in several turns; the run gets all of it, and nothing stays counted."""
        members = {"messages": [{"role": "user", "content": f"{n} " * 1000} for n in range(100)], "seed": 7}
        for accounts in (0, 1):
            wire = self.stream(**members)
            self.write("One")
            self.end()
            self.assertEqual(self.text(wire.response), "One")
            prompt = self.source.run.prompt
            self.assertIs(type(prompt), LargePrompt)
            self.assertEqual((prompt.text, prompt.messages), ("99 " * 1000, members["messages"]))
            self.assertEqual(prompt.options, {"seed": 7})
            self.assertEqual(self.service.ledger.prompts.used, 0, accounts)

    def test_largeBodyTurns(self) -> None:
        """#12: the messages of a large body are checked in one turn, and their words are counted in another."""
        order: list[str] = []

        def read(*arguments: Any) -> Any:
            order.append("read")
            self.reactor.callLater(0, order.append, "turn")
            return convert(*arguments)

        def count(prompt: Prompt) -> Any:
            order.append("count")
            return makeSummary(prompt)

        self.patch(request, "convert", read)
        self.patch(completions, "makeSummary", count)
        self.stream(messages=[{"role": "user", "content": "word " * 40_000}])
        self.write("One")
        self.end()
        self.assertEqual(order, ["read", "turn", "count"])

    def test_largeBodyRefused(self) -> None:
        """#12: a large body that is malformed, or has too many values, is refused with a reason."""
        text = b'"%b"' % (b"x" * 200_000)
        for body, status, words in (
            (b'{"messages": [%b' % text, 400, "not valid JSON"),
            (b"[%b]" % text, 400, "JSON object"),
            (b'{"messages": %b}' % text, 400, "messages"),
            (
                b'{"messages": [%b]}' % b",".join([b'{"role": "user"}'] * 60_000),
                413,
                f"{MAX_PROMPT_VALUES} JSON values",
            ),
        ):
            response = self.post(COMPLETIONS, body).response
            self.assertEqual(response.status, status)
            self.assertIn(words, response.json["error"]["message"])
        self.assertEqual(self.service.ledger.prompts.used, 0)

    def test_F16_image(self) -> None:
        """F16: a message with an image of 1,300,000 bytes is answered."""
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_300_000}}
        content = [{"type": "text", "text": "What is this?"}, image]
        wire = self.stream(messages=[{"role": "user", "content": content}])
        self.write("An A.")
        self.end()
        self.assertEqual(self.text(wire.response), "An A.")
        self.assertEqual(self.source.run.prompt.messages[0]["content"], content)

    def test_F124_usage(self) -> None:
        """F124: each chunk has the member `usage` if the usage was requested, and none otherwise."""
        for options, usages in ((None, {"missing"}), ({"include_usage": True}, {None, 4})):
            wire = self.stream(stream_options=options)
            self.write("One ", "two")
            self.end()
            chunks = [json.loads(event.data) for event in wire.response.events[:-1]]
            found = [chunk.get("usage", "missing") for chunk in chunks]
            self.assertEqual({usage["total_tokens"] if isinstance(usage, dict) else usage for usage in found}, usages)

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
        Nothing is written before the first token, for at most one heartbeat interval; then
        heartbeats follow.
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
        # Without speedups the last bytes leave in a later turn of the reactor.
        self.reactor.run(0.1)
        self.assertEqual(self.service.viewers.count, 0)

    def test_failsAtFirst(self) -> None:
        """
        If the run fails before its first token, the response has the status of the error.
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
        # Without speedups the last bytes leave in a later turn of the reactor.
        self.reactor.run(0.1)
        self.assertEqual(self.service.viewers.count, 0)

    def test_failsLater(self) -> None:
        """
        After the head or the first token, a failure is an event of the stream, without `[DONE]`.
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
        If the run is cancelled before its first token, the response has a status that clients do
        not retry.
        """
        wire = self.stream()
        (name,) = self.service.runs.names
        self.ask(f"/streams/{name}/cancel", method="POST", body=b"")
        self.assertEqual((wire.response.status, wire.response.error["code"]), (410, "cancelled"))

    def test_leaves(self) -> None:
        """
        The linger begins when the client disconnects, before the first token or after it.
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
        Without a linger the run is cancelled when its client disconnects, but not while the head is
        written.
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
        The usage is reported if the request asks for it: in a chunk without choices, before the
        end.
        """
        for options, usage in (
            ({"include_usage": True}, {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}),
            (None, None),
        ):
            wire = self.stream(stream_options=options)
            self.write("a", "b", "c")
            self.end()
            chunks = [json.loads(event.data) for event in wire.response.events[:-1]]
            told = [(chunk["choices"], chunk["usage"]) for chunk in chunks if chunk.get("usage")]
            self.assertEqual(told, [([], usage)] if usage else [])

    def test_chunks(self) -> None:
        """
        The chunks of an upstream are passed on unchanged, and report the usage themselves.
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
        If an upstream reports no usage, there is none.
        """
        wire = self.complete()
        self.source.run.sink.writeChunk(b'{"choices":[{"delta":{"content":"a"}}]}', "a")
        self.end()
        self.assertNotIn("usage", wire.response.json)

    def test_retry(self) -> None:
        """
        A retry with the same key gets the answer from its start, before and after its end; another
        body with that key is refused.
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

    def test_F62_endpoints(self) -> None:
        """F62: the same key at another endpoint is another key: neither is the run joined, nor the key refused."""
        chat = {"id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": "x"}]}]}
        for path, body in ((COMPLETIONS, {**HELLO, "stream": True}), ("/streams", HELLO), ("/api/chat", chat)):
            before = len(self.source.runs)
            for _ in range(2):
                self.post(path, body, Idempotency_Key="k")
                self.assertEqual(len(self.source.runs), before + 1, path)

    def test_leavesWhileItStarts(self) -> None:
        """
        A client that disconnects before its stream is made is never a viewer of it.
        """
        for members in ({"stream": True}, {}):
            made: Deferred[Any] = Deferred()
            streamLog = self.successResultOf(self.service.startRun())
            patched = self.patch(self.service, "startRun", lambda *arguments, made=made, **keywords: made)
            wire = self.post(COMPLETIONS, {**HELLO, **members})
            wire.close()
            made.callback(streamLog)
            self.assertEqual((self.service.viewers.count, streamLog.viewers, wire.received), (0, 0, b""))
            patched.restore()

    def test_full(self) -> None:
        """
        The last place for a viewer may be taken, even by a held head; the next client is refused.
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
        A server that stops answers clients that wait for the first token with 503 at the end of the drain.
        """
        self.serve(self.source, Settings(drain=0))
        wires = [self.stream(), self.complete()]
        stopped = self.service.stopService()
        self.reactor.run(1)
        self.successResultOf(stopped)
        for wire in wires:
            self.assertEqual((wire.response.status, wire.response.error["code"]), (503, "shutdown"))
            self.assertEqual(wire.response.headers["retry-after"], "3")

    def test_mounted(self) -> None:
        """
        The URL of the stream is right at every mount point, and for a request with a trailing
        slash.
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


class BadRequestTests(ChatTestCase):
    """Refused requests."""

    def test_bodies(self) -> None:
        """
        A malformed body is refused, and starts no run.
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
        ):
            for path in (COMPLETIONS, "/streams") if body and b"model" not in body else (COMPLETIONS,):
                response = self.post(path, body).response
                self.assertEqual(response.status, status, (path, body[:60]))
                self.assertEqual(response.error["type"], "invalid_request_error")
                self.assertEqual(response.error.get("param"), param)
        self.assertEqual(self.source.runs, [])

    def test_methods(self) -> None:
        """
        Other methods get 405, and the list of those allowed.
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
        Other URLs of OpenAI's API do not exist.
        """
        for path in ("/v1", "/v1/", "/v1/embeddings", "/v1/chat", "/v1/chat/completions/x", "/api", "/api/x"):
            for method in ("GET", "POST"):
                response = self.ask(path, method=method, body=b"{}")
                self.assertEqual((response.status, response.error["code"]), (404, "not_found"), path)
        self.assertEqual(self.ask("/api/chat/a").status, 404)
        self.assertEqual(self.ask("/api/chat/a/stream/x").status, 404)
