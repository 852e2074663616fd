"""
OpenAI's Python client against a real server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import httpx
import openai
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore, ensureDeferred
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server as ServerTransport
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sseserver.apis.root import StreamResource
from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink
from sseserver.service.service import Settings, StreamService
from sseserver.sources.function import FunctionSource
from sseserver.sources.upstream import UpstreamSource
from sseserver.values import Prompt
from sseserver.web.site import StreamSite
from tests.integration.test_upstream import Stage
from tests.upstreamscripts import (
    CODED,
    CONTENTS,
    DONE,
    FAULTS,
    HANGS,
    KEY,
    NO_ANSWERS,
    REFUSALS,
    WHOLE_ANSWERS,
    Case,
    answer,
    callChunk,
    event,
    whole,
)
from tests.upstreamscripts import chunk as chunkOf

T = TypeVar("T")

#: Seconds. Longest time for something that should happen at once.
SOON = 60.0

ASKED: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": "Say hello."}]}

WORDS = ["One ", "two\r", "\n", "\u2028drei", " \U0001f600", ""]


def chunk(delta: dict[str, Any], **choice: Any) -> dict[str, Any]:
    """Return a chunk of an upstream."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "upstream-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": None, **choice}],
    }


def call(index: int, **more: Any) -> dict[str, Any]:
    """Return a chunk with a piece of a tool call."""
    return chunk({"tool_calls": [{"index": index, **more}]})


USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}

TOOLS = [
    chunk({"role": "assistant", "content": None}),
    call(0, id="a", type="function", function={"name": "f", "arguments": ""}),
    call(0, function={"arguments": '{"x"'}),
    call(1, id="b", type="function", function={"name": "g", "arguments": "{}"}),
    call(0, function={"arguments": ":1}"}),
    chunk({}, finish_reason="tool_calls"),
    {**chunk({}), "choices": [], "usage": USAGE},
]

LOGPROBS = [
    chunk({"role": "assistant", "content": ""}),
    *(
        chunk({"content": word}, logprobs={"content": [{"token": word, "logprob": -0.5, "top_logprobs": []}]})
        for word in ("a", "b")
    ),
    chunk({}, finish_reason="stop"),
]


class Answers:
    """
    A source that answers as its prompt says.

    Attributes:
        cancelled: Number of cancelled answers.
    """

    def __init__(self) -> None:
        self.cancelled = 0

    async def produce(self, sink: ITokenSink, prompt: Prompt | None) -> None:
        """See `ITokenSource.produce`."""
        assert prompt is not None
        try:
            await deferLater(reactor, 0.001)
            await getattr(self, prompt.text)(sink)
        except CancelledError:
            self.cancelled += 1
            raise

    async def words(self, sink: ITokenSink) -> None:
        """Write tokens."""
        for word in WORDS:
            sink.write(word)
            await deferLater(reactor, 0.001)

    async def tools(self, sink: ITokenSink) -> None:
        """Write chunks with tool calls."""
        for each in TOOLS:
            sink.writeChunk(json.dumps(each).encode(), "")

    async def logprobs(self, sink: ITokenSink) -> None:
        """Write chunks with log probabilities."""
        for each in LOGPROBS:
            sink.writeChunk(json.dumps(each).encode(), each["choices"][0]["delta"].get("content", ""))

    async def busy(self, sink: ITokenSink) -> None:
        """Fail before the first token."""
        raise SourceError("Too many requests.", "busy", 429, 7)

    async def breaks(self, sink: ITokenSink) -> None:
        """Fail after the first token."""
        await self.words(sink)
        raise SourceError("The upstream closed in the middle.", "truncated")

    async def bug(self, sink: ITokenSink) -> None:
        """Fail unexpectedly after some chunks."""
        await self.logprobs(sink)
        raise KeyError("swordfish")

    async def forever(self, sink: ITokenSink) -> None:
        """Write until the run is cancelled."""
        while True:
            sink.write("and so on, ")
            await deferLater(reactor, 0.005)

    async def silence(self, sink: ITokenSink) -> None:
        """Write nothing for longer than a heartbeat interval, then a word."""
        await deferLater(reactor, 1.0)
        sink.write("Late")


def sync(url: str, use: Callable[[Any], T]) -> Deferred[T]:
    """Use the client in a thread."""

    def inThread() -> T:
        # No request uses TLS, so that no client needs to load certificates.
        http = httpx.Client(trust_env=False, timeout=SOON, verify=False)
        with openai.OpenAI(api_key="-", base_url=url, max_retries=0, http_client=http) as client:
            return use(client)

    return deferToThread(inThread)


class OpenAITests(TestCase):
    """The client in a thread, the server in the reactor."""

    timeout = 300

    def setUp(self) -> None:
        self.answers = Answers()
        source = FunctionSource(self.answers.produce, takesPrompt=True, model="answers")
        self.service = StreamService(reactor, source, Settings(heartbeat=0.25, linger=0, drain=0))
        self.service.startService()
        self.port = reactor.listenTCP(0, StreamSite(StreamResource(self.service)), interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{self.port.getHost().port}/v1"

    async def tearDown(self) -> None:
        await self.until(lambda: not [each for each in reactor.getReaders() if isinstance(each, ServerTransport)])
        await self.port.stopListening()
        await self.service.stopService()

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the reactor run until a condition holds."""
        end = reactor.seconds() + SOON
        while not condition():
            self.assertLess(reactor.seconds(), end, "It does not come about.")
            await deferLater(reactor, 0.005)

    def sync(self, use: Callable[[Any], T]) -> Deferred[T]:
        """Use the client in a thread."""
        return sync(self.url, use)

    def awaited(self, use: Callable[[Any], Awaitable[T]]) -> Deferred[T]:
        """Use the asynchronous client in a thread, with an event loop of its own."""

        async def inLoop() -> T:
            async with openai.AsyncOpenAI(
                api_key="-",
                base_url=self.url,
                max_retries=0,
                http_client=httpx.AsyncClient(trust_env=False, timeout=SOON),
            ) as client:
                return await use(client)

        return deferToThread(lambda: asyncio.run(inLoop()))

    def ask(self, text: str, **more: Any) -> dict[str, Any]:
        """Return the arguments of a completion."""
        return {"model": "answers", "messages": [{"role": "user", "content": text}], **more}

    async def test_streamed(self) -> None:
        """Both clients read the text and the finish reason."""

        def read(client: openai.OpenAI) -> list[Any]:
            return list(client.chat.completions.create(**self.ask("words", stream=True)))

        async def readAsync(client: openai.AsyncOpenAI) -> list[Any]:
            return [each async for each in await client.chat.completions.create(**self.ask("words", stream=True))]

        for chunks in (await self.sync(read), await self.awaited(readAsync)):
            choices = [each.choices[0] for each in chunks]
            self.assertEqual("".join(choice.delta.content or "" for choice in choices), "".join(WORDS))
            self.assertEqual((choices[0].delta.role, choices[-1].finish_reason), ("assistant", "stop"))
            self.assertEqual({(each.model, each.object) for each in chunks}, {("answers", "chat.completion.chunk")})

    async def test_whole(self) -> None:
        """Both clients read an answer in one piece, with its usage."""
        whole = [
            await self.sync(lambda client: client.chat.completions.create(**self.ask("words"))),
            await self.awaited(lambda client: client.chat.completions.create(**self.ask("words"))),
        ]
        for each in whole:
            self.assertEqual(each.choices[0].message.content, "".join(WORDS))
            self.assertEqual((each.choices[0].finish_reason, each.object), ("stop", "chat.completion"))
            self.assertEqual((each.usage.prompt_tokens, each.usage.completion_tokens), (1, 5))

    async def test_tools(self) -> None:
        """Tool calls in an upstream's chunks arrive, streamed and in one piece."""

        def read(client: openai.OpenAI) -> tuple[list[Any], Any]:
            chunks = list(client.chat.completions.create(**self.ask("tools", stream=True)))
            return chunks, client.chat.completions.create(**self.ask("tools"))

        chunks, whole = await self.sync(read)
        self.assertEqual([json.loads(each.to_json()) for each in chunks], TOOLS)
        called = [
            (each.id, each.function.name, each.function.arguments) for each in whole.choices[0].message.tool_calls
        ]
        self.assertEqual(called, [("a", "f", '{"x":1}'), ("b", "g", "{}")])
        self.assertEqual((whole.choices[0].finish_reason, whole.usage.total_tokens), ("tool_calls", 12))
        self.assertEqual(whole.model, "upstream-1")

    async def test_sameAsPutTogether(self) -> None:
        """An answer in one piece equals the one that the client puts together from the chunks."""

        def read(client: openai.OpenAI, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
            more = {"extra_headers": {"Idempotency-Key": text}, "stream_options": {"include_usage": True}}
            with client.chat.completions.stream(**self.ask(text, **more)) as stream:
                together = stream.get_final_completion()
            whole = client.chat.completions.create(**self.ask(text, **more))
            return together.model_dump(exclude_none=True), whole.model_dump(exclude_none=True)

        for text in ("words", "tools", "logprobs"):
            together, whole = await self.sync(lambda client, text=text: read(client, text))
            for choice in together["choices"]:
                choice["message"].pop("parsed", None)
                for each in choice["message"].get("tool_calls", ()):
                    each.pop("index", None)
                    each["function"].pop("parsed_arguments", None)
            for each in (together, whole):
                # In chunks of an upstream these members are the upstream's.
                self.assertTrue(each.pop("id").startswith("chatcmpl-"))
                del each["created"]
            self.assertEqual(whole, together)

    async def test_usage(self) -> None:
        """A stream has its usage if the request asks for it."""

        def read(client: openai.OpenAI) -> Iterator[Any]:
            for options in ({"include_usage": True}, {}):
                more = {"stream_options": options} if options else {}
                yield list(client.chat.completions.create(**self.ask("words", stream=True, **more)))

        with_, without = await self.sync(lambda client: list(read(client)))
        self.assertEqual([each.usage and each.usage.total_tokens for each in with_][-2:], [None, 6])
        self.assertEqual(with_[-1].choices, [])
        self.assertEqual({each.usage for each in without}, {None})

    async def test_break(self) -> None:
        """A client that disconnects early ends a run without linger, and its connection is served no longer."""

        def read(client: openai.OpenAI) -> None:
            for _ in client.chat.completions.create(**self.ask("forever", stream=True)):
                break

        async def readAsync(client: openai.AsyncOpenAI) -> None:
            async for _ in await client.chat.completions.create(**self.ask("forever", stream=True)):
                break

        await self.sync(read)
        await self.until(lambda: self.answers.cancelled == 1)
        await self.awaited(readAsync)
        await self.until(lambda: self.answers.cancelled == 2)
        self.assertEqual(self.service.viewers.count, 0)

    async def test_gaveUp(self) -> None:
        """A client that stops waiting for an answer in one piece ends the run."""

        def read(client: openai.OpenAI) -> None:
            client.with_options(timeout=httpx.Timeout(SOON, read=0.5)).chat.completions.create(**self.ask("forever"))

        await self.assertFailure(self.sync(read), openai.APITimeoutError)
        await self.until(lambda: self.answers.cancelled == 1)

    async def test_failsBefore(self) -> None:
        """A failure before the first token is an error with its status, streamed and in one piece."""
        for stream in (True, False):
            body = self.ask("busy", stream=stream)
            error = await self.assertFailure(
                self.sync(lambda client, body=body: client.chat.completions.create(**body)), openai.RateLimitError
            )
            self.assertEqual((error.status_code, error.code, error.type), (429, "busy", "rate_limit_error"))
            self.assertIn("Too many requests.", str(error))
            self.assertEqual(error.response.headers["retry-after"], "7")

    async def test_failsLater(self) -> None:
        """
        A failure in the middle raises for a stream, since the text is incomplete; in one piece it has the status of
        an early failure.
        """

        def read(client: openai.OpenAI, text: str) -> tuple[list[Any], Exception | None]:
            chunks = []
            try:
                for each in client.chat.completions.create(**self.ask(text, stream=True)):
                    chunks.append(each)  # noqa: PERF402 (what came before the error is looked at)
            except openai.APIError as error:
                return chunks, error
            return chunks, None

        for text, message in (("breaks", "closed in the middle"), ("bug", "broke down")):
            chunks, error = await self.sync(lambda client, text=text: read(client, text))
            self.assertGreater(len(chunks), 3)
            self.assertIn(message, str(error))
            body = self.ask(text)
            failed = await self.assertFailure(
                self.sync(lambda client, body=body: client.chat.completions.create(**body)), openai.InternalServerError
            )
            self.assertEqual(failed.status_code, 502)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    async def test_heartbeats(self) -> None:
        """Without tokens the client gets the head after the first heartbeat interval, and reads on."""

        def read(client: openai.OpenAI) -> str:
            raw = client.chat.completions.with_raw_response.create(**self.ask("silence", stream=True))
            return "".join(each.choices[0].delta.content or "" for each in raw.parse())

        self.assertEqual(await self.sync(read), "Late")

    async def test_headers(self) -> None:
        """
        The headers name the stream of the answer, which others can watch and cancel; the client sees the
        cancellation.
        """

        def read(client: openai.OpenAI) -> tuple[str, str]:
            raw = client.chat.completions.with_raw_response.create(**self.ask("forever", stream=True))
            url = self.url.removesuffix("/v1") + raw.headers["content-location"]
            with httpx.Client(trust_env=False, timeout=SOON) as http:
                # The run can end only now, since it has a viewer.
                state = http.get(url, headers={"Accept": "application/json"}).json()["state"]
                http.post(f"{url}/cancel")
                text = http.get(url, headers={"Accept": "text/plain"}).text
            with self.assertRaises(openai.APIError) as caught:
                list(raw.parse())
            self.assertIn("cancelled", str(caught.exception))
            return state, text

        state, text = await self.sync(read)
        self.assertEqual(state, "open")
        self.assertIn("and so on", text)

    async def test_models(self) -> None:
        """There is one model, and no other."""
        models = await self.sync(lambda client: [each.id for each in client.models.list()])
        self.assertEqual(models, ["answers"])
        self.assertEqual((await self.sync(lambda client: client.models.retrieve("answers"))).owned_by, "sseserver")
        error = await self.assertFailure(
            self.sync(lambda client: client.models.retrieve("gpt/9")), openai.NotFoundError
        )
        self.assertEqual((error.code, error.param), ("model_not_found", "model"))
        body = {**self.ask("words"), "model": "gpt-9"}
        error = await self.assertFailure(
            self.sync(lambda client: client.chat.completions.create(**body)), openai.NotFoundError
        )
        self.assertIn("'answers'", str(error))

    async def test_badRequest(self) -> None:
        """A malformed request raises an error that names the member."""
        body = self.ask("words", temperature="hot")
        error = await self.assertFailure(
            self.sync(lambda client: client.chat.completions.create(**body)), openai.BadRequestError
        )
        self.assertEqual((error.param, error.code), ("temperature", "invalid_value"))


def textOf(content: str) -> str:
    """Return a text that an upstream may have cut inside a character."""
    return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def textOfChoice(choice: Any) -> str:
    """Return the text of the first choice, as far as an odd chunk has any."""
    first = not getattr(choice, "index", None)
    content = getattr(getattr(choice, "delta", None), "content", None)
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    return content if first and isinstance(content, str) else ""


class UpstreamTests(TestCase):
    """The table of scripted upstreams, as the client sees it through the server."""

    timeout = 300

    async def play(self, *cases: Case) -> None:
        """Play scripts, each streamed and in one piece."""
        # Each takes one of the reactor's ten threads, and the look-up of the upstream's name another.
        turns = DeferredSemaphore(9)
        checks = [(check, case) for case in cases for check in (self.checkStreamed, self.checkWhole)]
        playing = [turns.run(lambda check, case: ensureDeferred(check(case)), *each) for each in checks]
        results = await DeferredList(playing, consumeErrors=True)
        for succeeded, result in results:
            if not succeeded:
                result.raiseException()

    async def checkStreamed(self, case: Case) -> None:
        """Ask for a stream, which is complete or raises."""

        def read(client: openai.OpenAI) -> tuple[str, int, openai.APIError | None]:
            text, status = "", 0
            try:
                raw = client.chat.completions.with_raw_response.create(**ASKED, stream=True)
                status = raw.http_response.status_code
                for each in raw.parse():
                    text += "".join(map(textOfChoice, each.choices if isinstance(each.choices, list) else ()))
            except openai.APIError as error:
                return textOf(text), status or getattr(error, "status_code", 0), error
            return textOf(text), status, None

        stage = await Stage(self, case.steps, limits=case.limits).open()
        text, status, error = await sync(f"{stage.url}/v1", read)
        self.assertEqual((status, text), (case.status, case.text), case.name)
        self.assertEqual(error is not None, case.state == "failed", case.name)
        if error is not None:
            self.checkError(case, error)

    async def checkWhole(self, case: Case) -> None:
        """Ask for an answer in one piece."""

        def read(client: openai.OpenAI) -> Any:
            try:
                return client.chat.completions.create(**ASKED)
            except openai.APIStatusError as error:
                return error

        stage = await Stage(self, case.steps, limits=case.limits).open()
        whole = await sync(f"{stage.url}/v1", read)
        if case.state == "failed":
            self.assertIsInstance(whole, openai.APIStatusError, case.name)
            late = 504 if case.reason == "timeout" else 502
            self.assertEqual(whole.status_code, late if case.status == 200 else case.status, case.name)
            self.checkError(case, whole)
        else:
            choice = whole.choices[0]
            self.assertEqual(choice.message.content or "", case.text, case.name)
            self.assertEqual(choice.finish_reason, case.reason, case.name)
        self.assertIs(stage.upstream.asked[0].json["stream"], True)
        self.assertEqual(stage.upstream.asked[0].json["stream_options"], {"include_usage": True})

    def checkError(self, case: Case, error: openai.APIError) -> None:
        """Check that the error tells the cause, and not the key."""
        self.assertIn(case.message, str(error), case.name)
        self.assertNotIn(KEY, str(error), case.name)
        self.assertEqual(error.code, case.code or case.reason, case.name)
        if isinstance(error, openai.APIStatusError):
            headers = error.response.headers
            isWorthwhile = error.status_code in {429, 503} and "x-should-retry" not in headers
            expected = case.retryAfter or (3 if isWorthwhile else None)
            self.assertEqual(headers.get("retry-after"), None if expected is None else str(expected), case.name)

    async def test_answers(self) -> None:
        """Whole answers are whole, however their bytes are cut."""
        await self.play(*WHOLE_ANSWERS, *CONTENTS)

    async def test_refusals(self) -> None:
        """An upstream that refuses, or sends no answer, is an error with its status."""
        await self.play(*REFUSALS, *NO_ANSWERS)

    async def test_faults(self) -> None:
        """An upstream that breaks off or hangs raises: an incomplete answer is never taken for a complete one."""
        await self.play(*FAULTS)
        # On their own, since their limits are short.
        await self.play(*HANGS)

    async def test_F37_F38_toolCalls(self) -> None:
        """F37, F38: parallel calls with one index stay apart, and empty strings replace nothing."""
        end = (event(chunkOf({}, "tool_calls")), DONE)
        parallel = [callChunk(index, "weather", city, id=city) for index in (None, 0) for city in ("A", "B")]
        pieces = callChunk(0, "lookup", "", id="call_7", type="function"), callChunk(0, "", "{}", id="")
        for chunks, calls in (
            (parallel[:2], [("A", "weather", "A"), ("B", "weather", "B")]),
            (parallel[2:], [("A", "weather", "A"), ("B", "weather", "B")]),
            (pieces, [("call_7", "lookup", "{}")]),
        ):
            stage = await Stage(self, whole(*map(event, chunks), *end)).open()
            answer = await sync(f"{stage.url}/v1", lambda client: client.chat.completions.create(**ASKED))
            message = answer.choices[0].message
            found = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls]
            self.assertEqual((found, message.content), (calls, None))

    async def test_F121_details(self) -> None:
        """F121: the client sees the upstream's type, param and code, also over two servers."""
        first = await Stage(self, (answer("400 Bad Request", CODED),)).open()
        source = UpstreamSource(reactor, f"{first.url}/v1")
        service = StreamService(reactor, source, Settings(drain=0))
        service.startService()
        port = reactor.listenTCP(0, StreamSite(StreamResource(service)), interface="127.0.0.1")
        for clean in (port.stopListening, service.stopService, source.close):
            self.addCleanup(clean)
        for url in (first.url, f"http://127.0.0.1:{port.getHost().port}"):
            error = await self.assertFailure(
                sync(f"{url}/v1", lambda client: client.chat.completions.create(**ASKED)), openai.BadRequestError
            )
            told = (error.type, error.param, error.code)
            self.assertEqual(told, ("invalid_request_error", "messages", "context_length_exceeded"))

    async def test_unchanged(self) -> None:
        """Chunks pass unchanged, byte for byte, and so does the request."""
        (case,) = [case for case in CONTENTS if case.name == "odd but JSON"]
        stage = await Stage(self, case.steps).open()
        body = {**ASKED, "stream": True, "x": {"y": [None, 1.5]}, "seed": 2**70}

        def read() -> list[str]:
            answer = httpx.post(f"{stage.url}/v1/chat/completions", json=body, timeout=SOON, trust_env=False)
            return [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: ")]

        assert case.chunks is not None
        self.assertEqual(await deferToThread(read), [*(each.decode() for each in case.chunks), "[DONE]"])
        self.assertEqual(stage.upstream.asked[0].json, body)

    async def test_models(self) -> None:
        """The models are the upstream's."""
        models = json.dumps({"object": "list", "data": [{"id": "small"}, {"id": "org/large"}]})
        stage = await Stage(self, (answer("200 OK", models),)).open()
        found = await sync(f"{stage.url}/v1", lambda client: [each.id for each in client.models.list()])
        self.assertEqual(found, ["small", "org/large"])
        large = await sync(f"{stage.url}/v1", lambda client: client.models.retrieve("org/large"))
        self.assertEqual(large.id, "org/large")
