"""
Several upstreams over loopback, and upstreams that speak Responses, as OpenAI's client for Python sees them.
"""

from __future__ import annotations

import json
import re
import urllib.request
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import openai
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sseserver.apis.root import StreamResource
from sseserver.interfaces import ITokenSource
from sseserver.options import KEY_VARIABLE
from sseserver.service.service import Settings, StreamService
from sseserver.sources import upstreammodels
from sseserver.sources.iterables import tokensFrom
from sseserver.sources.upstream import UpstreamLimits, UpstreamSource
from sseserver.sources.upstreamlists import WAIT_SECONDS
from sseserver.sources.upstreams import NamedUpstream, UpstreamGroup
from sseserver.values import Prompt
from sseserver.web.site import StreamSite
from tests.integration.servers import ENVIRONMENT, freePort, serving, twistd
from tests.integration.test_openai import sync
from tests.integration.test_upstream import until
from tests.upstreams import ScriptedUpstream
from tests.upstreamscripts import EVENTS, HEAD, HELLO, KEY, ROLE, Act, Step, answer, event, framed, refusal, whole

#: Seconds. Short enough for a test, long enough for a busy machine.
LIMITS = UpstreamLimits(firstTokenTimeout=2.0, tokenTimeout=60.0)

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Say hello."}]}

MODELS = answer("200 OK", json.dumps({"data": [{"id": "m"}]}))
BROKEN = answer("500 Internal Server Error", refusal("It broke.", "server_error"))

USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


class ListingUpstream(ScriptedUpstream):
    """A scripted upstream that also lists its models."""

    models: bytes = MODELS

    def next(self) -> tuple[Step, ...]:
        """Return the script for the next request."""
        return (self.models,) if self.asked[-1].line.startswith("GET ") else super().next()

    @property
    def posts(self) -> list[str]:
        """The paths of the requests for answers."""
        return [asked.line.split(" ")[1] for asked in self.asked if asked.line.startswith("POST ")]


class UpstreamsTestCase(TestCase):
    """A server in the reactor, with upstreams in the reactor, and a client in a thread."""

    timeout = 120

    def setUp(self) -> None:
        """Note the upstreams and the sources."""
        self.upstreams: list[ListingUpstream] = []
        self.sources: list[Any] = []

    def listen(self, *scripts: tuple[Step, ...]) -> tuple[ListingUpstream, str]:
        """Let an upstream listen, and return it with its base URL."""
        upstream = ListingUpstream(reactor, *scripts)
        self.upstreams.append(upstream)
        port = reactor.listenTCP(0, upstream, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return upstream, f"http://127.0.0.1:{port.getHost().port}/v1"

    def serve(self, source: Any) -> None:
        """Serve a source."""
        self.sources.append(source)
        self.addCleanup(until, self.isClosed, "the connections to the upstreams are closed")
        service = StreamService(reactor, ITokenSource(source), Settings(drain=0))
        service.startService()
        port = reactor.listenTCP(0, StreamSite(StreamResource(service)), interface="127.0.0.1")
        self.addCleanup(service.stopService)
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}/v1"

    def isClosed(self) -> bool:
        """Close the idle connections, and return whether there are no others: an answer ends before its response."""
        for source in self.sources:
            getattr(source, "close", lambda: None)()
        return not any(upstream.open for upstream in self.upstreams)

    def group(self, *urls: str) -> None:
        """Serve a group of upstreams, which are named `one`, `two` and so on."""
        names = ("one", "two", "three")
        sources = [UpstreamSource(reactor, url, limits=LIMITS) for url in urls]
        self.serve(UpstreamGroup(reactor, list(map(NamedUpstream, names, sources))))

    def stream(self, **members: Any) -> Deferred[tuple[str, Any]]:
        """Return the text of a streamed answer, and its headers."""

        def read(client: openai.OpenAI) -> tuple[str, Any]:
            response = client.chat.completions.with_raw_response.create(**{**ASKED, **members}, stream=True)
            chunks = [choice for chunk in response.parse() for choice in chunk.choices]
            return "".join(choice.delta.content or "" for choice in chunks), response.headers

        return sync(self.url, read)


class FallbackTests(UpstreamsTestCase):
    """The next upstream, when one fails before its first token."""

    async def check(self, url: str, reason: str) -> None:
        """Check that the answer is that of the second upstream, streamed and whole."""
        other, otherURL = self.listen(whole(*EVENTS))
        self.group(url, otherURL)
        text, headers = await self.stream()
        self.assertEqual((text, headers["x-upstream"]), ("Hello world", "two"))
        self.assertEqual(headers.get("x-upstream-failed", ""), reason and f"one={reason}")
        response: Any = await sync(self.url, lambda client: client.chat.completions.with_raw_response.create(**ASKED))
        self.assertEqual(response.parse().choices[0].message.content, "Hello world")
        self.assertEqual(response.headers["x-upstream"], "two")
        self.assertEqual(len(other.posts), 2)

    async def test_down(self) -> None:
        """Nobody listens at the first one: its list shows it before a request is lost."""
        await self.check(f"http://127.0.0.1:{freePort()}/v1", "")

    async def test_500(self) -> None:
        """The first one answers with an error."""
        upstream, url = self.listen((BROKEN,))
        await self.check(url, "refused")
        self.assertEqual(len(upstream.posts), 2)

    async def test_hanging(self) -> None:
        """The first one accepts the request, and says nothing until the time limit."""
        upstream, url = self.listen(())
        await self.check(url, "timeout")
        # The second request knows.
        self.assertEqual(len(upstream.posts), 1)

    async def test_role(self) -> None:
        """The first one sends the role, and is cut."""
        await self.check(self.listen((HEAD, framed(event(ROLE)), Act.RESET))[1], "truncated")

    async def test_cut(self) -> None:
        """The first one is cut behind its first token: the client gets the error, and nobody else is asked."""
        _, url = self.listen((HEAD, framed(event(ROLE), event(HELLO)), Act.RESET))
        other, otherURL = self.listen(whole(*EVENTS))
        self.group(url, otherURL)
        failure = await self.assertFailure(self.stream(), openai.APIError)
        self.assertEqual(failure.code, "truncated")
        self.assertEqual(other.posts, [])

    async def test_models(self) -> None:
        """The client lists the models of all; one that fails, and one that hangs, hide none of the others."""
        self.patch(upstreammodels, "LIST_SECONDS", WAIT_SECONDS + 1)
        upstreams = [self.listen(whole(*EVENTS)) for _ in range(3)]
        upstreams[0][0].models, upstreams[1][0].models = BROKEN, b""
        self.group(*(url for _, url in upstreams))
        models: Any = await sync(self.url, lambda client: client.models.list().data)
        self.assertEqual([(model.id, model.upstream) for model in models], [("m", "three")])
        text, headers = await self.stream(model="two/anything")
        self.assertEqual((text, headers["x-upstream"]), ("Hello world", "two"))
        for name in ("two/anything", "three/m", "m"):
            model = await sync(self.url, partial(retrieve, name))
            self.assertEqual((model.id, model.object), (name, "model"))
        await self.assertFailure(sync(self.url, partial(retrieve, "three/anything")), openai.NotFoundError)


def retrieve(name: str, client: openai.OpenAI) -> Any:
    """Ask for one model."""
    return client.models.retrieve(name)


def told(kind: str, **members: Any) -> bytes:
    """Return an event of a response."""
    return b"event: %b\n%b" % (kind.encode(), event(json.dumps({"type": kind, **members}).encode()))


CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": ""}
RESPONSE = (
    told("response.created", response={"id": "resp_1", "model": "m", "created_at": 1_730_000_000}),
    told("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="Hm."),
    told("response.output_text.delta", output_index=1, content_index=0, delta="Hello"),
    told("response.output_text.delta", output_index=1, content_index=0, delta=" world"),
    told("response.output_item.added", output_index=2, item=CALL),
    told("response.function_call_arguments.delta", output_index=2, delta='{"a":1}'),
)
COMPLETED = told("response.completed", response={"id": "resp_1", "status": "completed", "usage": USAGE})


class ResponsesTests(UpstreamsTestCase):
    """An upstream that speaks Responses."""

    async def test_client(self) -> None:
        """The client gets text, reasoning, calls and usage, streamed and whole; the protocol is found out once."""
        missing = (answer("404 Not Found", '{"detail": "Not Found"}'),)
        upstream, url = self.listen(missing, whole(*RESPONSE, COMPLETED))
        self.serve(UpstreamSource(reactor, url, key=KEY))
        text, _ = await self.stream()
        self.assertEqual(text, "Hello world")
        completion: Any = await sync(self.url, lambda client: client.chat.completions.create(**ASKED))
        message = completion.choices[0].message
        self.assertEqual((message.content, message.reasoning_content), ("Hello world", "Hm."))
        self.assertEqual(message.tool_calls[0].function.arguments, '{"a":1}')
        self.assertEqual((completion.choices[0].finish_reason, completion.usage.total_tokens), ("tool_calls", 7))
        legacy: Any = await sync(self.url, lambda client: client.completions.create(model="m", prompt="Say hello."))
        self.assertEqual((legacy.choices[0].text, legacy.choices[0].finish_reason), ("Hello world", "stop"))
        self.assertEqual(upstream.posts, ["/v1/chat/completions", *["/v1/responses"] * 3])
        self.assertEqual(upstream.asked[-1].headers["authorization"], f"Bearer {KEY}")

    async def test_unfinished(self) -> None:
        """A response without its last event has failed, and so has one that says so."""
        failed = told("response.failed", response={"error": {"code": "server_error", "message": "It broke."}})
        for events, code in ((RESPONSE, "truncated"), ((*RESPONSE, failed), "server_error")):
            _, url = self.listen(whole(*events))
            self.serve(UpstreamSource(reactor, url, limits=UpstreamLimits(api="responses")))
            failure = await self.assertFailure(self.stream(), openai.APIError)
            self.assertEqual(failure.code, code)

    async def test_chain(self) -> None:
        """A server of our own is such an upstream: chat completions, responses and legacy completions pass through."""

        def produce(prompt: Prompt | None) -> Any:
            assert prompt is not None
            yield from ("Hello", " ", prompt.text)

        self.serve(tokensFrom(reactor, produce, takesPrompt=True, model="m"))
        self.serve(UpstreamSource(reactor, self.url, limits=UpstreamLimits(api="responses")))
        text, _ = await self.stream()
        self.assertEqual(text, "Hello Say hello.")
        completion: Any = await sync(self.url, lambda client: client.chat.completions.create(**ASKED))
        self.assertEqual((completion.choices[0].finish_reason, completion.usage.completion_tokens), ("stop", 3))
        response: Any = await sync(self.url, lambda client: client.responses.create(model="m", input="Say hello."))
        self.assertEqual((response.output_text, response.status), ("Hello Say hello.", "completed"))
        legacy: Any = await sync(self.url, lambda client: client.completions.create(model="m", prompt="Say hello."))
        self.assertEqual(legacy.choices[0].text, "Hello Say hello.")

    async def test_fallback(self) -> None:
        """One upstream speaks chat completions, the next one Responses."""
        _, url = self.listen((BROKEN,))
        _, otherURL = self.listen((answer("405 Method Not Allowed", ""),), whole(*RESPONSE, COMPLETED))
        self.group(url, otherURL)
        text, headers = await self.stream()
        self.assertEqual((text, headers["x-upstream-failed"]), ("Hello world", "one=refused"))


class ProcessTests(UpstreamsTestCase):
    """A server process with two upstreams, which are named on its command line."""

    def run(self, result: Any = None) -> Any:
        """Run the test with the files of the keys."""
        with ExitStack() as files:
            self.keys = [Path(files.enter_context(NamedTemporaryFile("w")).name) for _ in range(2)]
            for number, path in enumerate(self.keys):
                path.write_text(f"secret-{number}\n", "ascii")
            return super().run(result)

    def ask(self, port: int, path: str) -> str:
        """Return the body of an answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
            return str(response.read().decode())

    async def test_process(self) -> None:
        """Each upstream gets its own key; the log, `/readyz` and the metrics tell which one has failed."""
        one, oneURL = self.listen((BROKEN,))
        two, twoURL = self.listen(whole(*EVENTS))
        port = freePort()
        named = [f"--upstream=one={oneURL}", f"--upstream=two={twoURL}", "--upstream-api=chat", "--metrics"]
        keys = [f"--upstream-key-file={name}={path}" for name, path in zip(("one", "two"), self.keys, strict=True)]
        command = twistd("sseserver", f"--listen=tcp:{port}:interface=127.0.0.1", *named, *keys)
        environment = {name: value for name, value in ENVIRONMENT.items() if name != KEY_VARIABLE}
        self.url = f"http://127.0.0.1:{port}/v1"

        def play() -> tuple[str, str, str]:
            with NamedTemporaryFile("w+b") as output:
                with serving(command, port, output, env=environment):
                    with openai.OpenAI(api_key="-", base_url=self.url, max_retries=0) as client:
                        text = client.chat.completions.create(**ASKED).choices[0].message.content
                        assert text == "Hello world", text
                    told = self.ask(port, "/readyz"), self.ask(port, "/metrics")
                output.seek(0)
                return *told, output.read().decode()

        ready, metrics, log = await deferToThread(play)
        self.assertEqual(json.loads(ready), {"ready": True, "problems": {}, "upstreams": {"one": None, "two": None}})
        self.assertRegex(metrics, r'sseserver_upstream_failures_total\{upstream="one"\} 1')
        self.assertRegex(metrics, r'sseserver_upstream_requests_total\{upstream="two"\} 1')
        self.assertIn("The upstream one failed before its first token: The upstream answered 500.", log)
        self.assertEqual(re.findall("secret-[01]", log), [])
        keys = [{asked.headers["authorization"] for asked in upstream.asked} for upstream in (one, two)]
        self.assertEqual(keys, [{"Bearer secret-0"}, {"Bearer secret-1"}])
