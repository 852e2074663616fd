"""Tests for `sseserver.sources.upstreamdialect`, and for a source in front of an upstream that speaks Responses."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from sseserver.client import StatusError
from sseserver.sources.upstream import UpstreamLimits
from sseserver.sources.upstreamanswer import DRAIN_SECONDS
from sseserver.sources.upstreamdialect import isMissing
from sseserver.testing import RecordingSink
from sseserver.values import LargePrompt, Prompt
from tests.sources.upstreamcases import PROMPT, UpstreamTestCase, makeSource
from tests.upstreamscripts import EVENTS, KEY, Act, Step, answer, event, refusal, whole

NO_PATH = answer("404 Not Found", '{"detail": "Not Found"}')
NO_METHOD = answer("405 Method Not Allowed", "", type="text/plain")
NO_MODEL = answer("404 Not Found", refusal("The model `m` does not exist."))


def told(kind: str, **members: Any) -> bytes:
    """Return an event of a response."""
    data = json.dumps({"type": kind, **members}).encode()
    return b"event: %b\n%b" % (kind.encode(), event(data))


BEGUN = (
    told("response.created", response={"id": "resp_1", "model": "m", "created_at": 1_730_000_000}),
    told("response.output_text.delta", output_index=0, content_index=0, delta="Hello"),
    told("response.output_text.delta", output_index=0, content_index=0, delta=" world"),
)
RESPONSE = whole(*BEGUN, told("response.completed", response={"id": "resp_1", "status": "completed"}))


class MissingTests(SynchronousTestCase):
    """Paths that an upstream does not have."""

    def test_isMissing(self) -> None:
        """A 404 or 405 is about the path, unless it names a model."""
        for status, body, expected in (
            (405, b"", True),
            (404, b"<h1>Not Found</h1>", True),
            (404, b'{"detail": "Not Found"}', True),
            (404, b'{"error": {"message": "Invalid URL (POST /v1/chat/completions)"}}', True),
            (404, refusal("The model `x` does not exist.").encode(), False),
            (404, b'{"error": {"message": "No.", "code": "model_not_found"}}', False),
            (404, b'{"error": {"message": "No.", "param": "model"}}', False),
            (400, b"", False),
            (500, b"", False),
        ):
            self.assertEqual(isMissing(StatusError("", status, Headers(), body)), expected, body)
        self.assertFalse(isMissing(KeyError()))


class DialectTests(UpstreamTestCase):
    """A source in front of an upstream that speaks Responses."""

    def play(self, *scripts: tuple[Step, ...], api: str = "auto", prompt: Prompt = PROMPT) -> Any:
        """Play scripts to a run of a source, and return its sink."""
        self.upstream.scripts = list(scripts)
        if api != self.api:
            self.source, self.api = makeSource(self.upstream, limits=UpstreamLimits(api=api)), api
        return self.start(prompt)

    def setUp(self) -> None:
        """Note the protocol of the source."""
        super().setUp()
        self.api = "auto"

    @property
    def paths(self) -> list[str]:
        """Paths of the requests so far, which are forgotten."""
        asked, self.upstream.asked = self.upstream.asked, []
        return [each.line.split(" ")[1] for each in asked]

    def test_pausedAtTheEnd(self) -> None:
        """A sink that pauses while it takes the last event of an answer, which is several chunks, gets the end."""

        class PausingSink(RecordingSink):
            """Pauses at each chunk."""

            def writeChunk(self, chunk: bytes, text: str) -> None:
                """See `ITokenSink.writeChunk`."""
                super().writeChunk(chunk, text)
                self.pause()

        self.upstream.scripts = [RESPONSE]
        self.source = makeSource(self.upstream, limits=UpstreamLimits(api="responses"))
        sink = PausingSink()
        sink.start(self.source, PROMPT)
        for _ in range(100):
            sink.resume()
            self.turn(1)
        self.assertEqual(("".join(sink.tokens), sink.result), ("Hello world", "stop"))
        self.clock.advance(DRAIN_SECONDS)
        self.turn()

    def test_responses(self) -> None:
        """A request is one for a response, and its events become chunks."""
        options = {"model": "m", "max_tokens": 5, "stream_options": {"include_usage": True}}
        sink = self.play(RESPONSE, api="responses", prompt=Prompt("Say hello.", (), options))
        self.assertEqual(("".join(sink.tokens), sink.result), ("Hello world", "stop"))
        (asked,) = self.upstream.asked
        self.assertEqual(asked.line, "POST /v1/responses HTTP/1.1")
        self.assertEqual(
            asked.json,
            {
                "model": "m",
                "store": False,
                "max_output_tokens": 5,
                "input": [{"role": "user", "content": "Say hello."}],
                "stream": True,
            },
        )
        self.assertEqual(asked.headers["authorization"], f"Bearer {KEY}")

    def test_large(self) -> None:
        """A long conversation is converted and encoded in several turns."""
        messages = [{"role": "user", "content": f"{number} " * 1000} for number in range(100)]
        sink = self.play(RESPONSE, api="responses", prompt=LargePrompt("x", messages, {}))
        self.assertEqual(sink.result, "stop")
        self.assertEqual(self.upstream.asked[0].json["input"], messages)

    def test_found(self) -> None:
        """An upstream without the path of chat completions is asked for a response, and from then on for that alone."""
        for missing in (NO_PATH, NO_METHOD):
            self.api = ""
            sink = self.play((missing,), RESPONSE)
            self.assertEqual((sink.result, self.paths), ("stop", ["/v1/chat/completions", "/v1/responses"]))
            sink = self.play(RESPONSE)
            self.assertEqual((sink.result, self.paths), ("stop", ["/v1/responses"]))

    def test_chat(self) -> None:
        """An upstream with the path of chat completions is asked for these alone, also after a 404."""
        for script in ((NO_MODEL,), (answer("401 Unauthorized", ""),), whole(*EVENTS)):
            self.play(script)
            self.assertEqual(self.paths, ["/v1/chat/completions"])
        self.play((NO_PATH,))
        self.assertEqual(self.paths, ["/v1/chat/completions"])

    def test_forgotten(self) -> None:
        """When the path is gone, the next run finds out anew."""
        self.play(whole(*EVENTS))
        self.play((NO_PATH,))
        sink = self.play((NO_PATH,), RESPONSE)
        self.assertEqual(sink.result, "stop")
        self.assertEqual(self.paths[-1], "/v1/responses")

    def test_neither(self) -> None:
        """An upstream with neither path is refused, and nothing is remembered."""
        for _ in range(2):
            error = self.error(self.play((NO_PATH,), (NO_PATH,)))
            self.assertEqual(error.status, 404)
            self.assertEqual(self.paths, ["/v1/chat/completions", "/v1/responses"])

    def test_fixed(self) -> None:
        """With a protocol given, no other is tried."""
        self.play((NO_PATH,), api="chat")
        self.assertEqual(self.paths, ["/v1/chat/completions"])
        self.play((NO_PATH,), api="responses")
        self.assertEqual(self.paths, ["/v1/responses"])

    def test_unfinished(self) -> None:
        """A response that ends without its last event has failed, however it ends."""
        for script in (whole(*BEGUN), whole(*BEGUN, event(b"[DONE]")), (*whole(*BEGUN)[:-1], Act.RESET)):
            error = self.error(self.play(script, api="responses"))
            self.assertEqual(error.reason, "truncated")

    def test_failed(self) -> None:
        """A failed response, and one that is refused, tell why, without the key."""
        failed = told("response.failed", response={"error": {"code": "server_error", "message": f"{KEY} broke."}})
        error = self.error(self.play(whole(*BEGUN, failed), api="responses"))
        self.assertEqual((error.reason, str(error)), ("upstream", "*** broke."))
        error = self.error(self.play((answer("429 Too Many", refusal("Slow.")),), api="responses"))
        self.assertEqual((error.status, str(error)), (429, "Slow."))

    def test_unsupported(self) -> None:
        """A member that Responses lack is refused, whether the protocol is known or found."""
        prompt = Prompt("x", (), {"stop": ["a"]})
        self.assertEqual(self.error(self.play(RESPONSE, api="responses", prompt=prompt)).status, 400)
        self.assertEqual(self.error(self.play((NO_PATH,), RESPONSE, prompt=prompt)).status, 400)

    def test_document(self) -> None:
        """A response in one piece is an answer."""
        output = [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}]
        document = json.dumps({"object": "response", "status": "completed", "output": output})
        sink = self.play((answer("200 OK", document),), api="responses")
        self.assertEqual((sink.tokens, sink.result), (["Hello"], "stop"))
