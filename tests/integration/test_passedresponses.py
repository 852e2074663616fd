"""
OpenAI's client for Python in front of an upstream that speaks Responses, with one or two servers between them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
from twisted.internet import reactor

from sseserver.sources.upstream import UpstreamLimits, UpstreamSource
from tests.integration.modelapis import ModelAPITestCase
from tests.integration.serverprocess import ServerProcess
from tests.integration.servers import freePort
from tests.protocols.responses.judge import readEvents
from tests.protocols.responses.passedevents import OUTPUT, encode, makeEvents, makeWhole, replaceIDs
from tests.redisservers import RedisServer, findMissing
from tests.upstreams import ScriptedUpstream
from tests.upstreamscripts import Step, answer, event, whole

#: Text of the answer.
TEXT = "Hello 🌍"

ERROR = {"code": "rate_limit_exceeded", "message": "Too much."}


def script(events: list[dict[str, Any]]) -> tuple[Step, ...]:
    """Return the script of an upstream that sends events."""
    return whole(*(b"event: %b\n%b" % (each["type"].encode(), event(encode(each))) for each in events))


def read(url: str) -> bytes:
    """Return the events of a response as they come, without the reconnection time."""
    with httpx.Client(trust_env=False, timeout=60) as client:
        return re.sub(rb"\Aretry: [0-9]+\n", b"", client.get(url).content)


class PassedTests(ModelAPITestCase):
    """An upstream that is scripted, and servers in front of it."""

    def play(self, *scripts: tuple[Step, ...]) -> str:
        """Start an upstream, and return its URL."""
        self.upstream = ScriptedUpstream(reactor, *scripts)
        port = reactor.listenTCP(0, self.upstream, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}/v1"

    async def serveBefore(self, url: str, api: str = "responses") -> str:
        """Start a server in front of an upstream, and return its URL."""
        source = UpstreamSource(reactor, url, limits=UpstreamLimits(api=api))
        # Its connections are kept longer than the clients have time to close theirs.
        self.addCleanup(source.close)
        served = await self.serve(source)
        self.addCleanup(source.close)
        return f"{served}/v1"

    async def use(self, url: str, act: Callable[[openai.OpenAI], Any]) -> Any:
        """Let the client act in a thread."""

        def inThread() -> Any:
            http = httpx.Client(trust_env=False, timeout=60)
            with openai.OpenAI(api_key="-", base_url=url, max_retries=0, http_client=http) as client:
                return act(client)

        return await self.inThread(inThread)

    async def test_events(self) -> None:
        """The client gets the events of the upstream through two servers, and goes on after each of them."""
        url = await self.serveBefore(await self.serveBefore(self.play(script(makeEvents()))))

        def ask(client: openai.OpenAI) -> None:
            stream = client.responses.create(
                input="Hi", tools=[{"type": "web_search"}], tool_choice={"type": "web_search_preview"}, stream=True
            )
            told = [each.model_dump(exclude_unset=True) for each in stream]
            name = told[0]["response"]["id"]
            self.assertNotIn(name, {"resp_theirs", None})
            expected = [replaceIDs(each, number, name) for number, each in enumerate(makeEvents())]
            self.assertEqual(told, expected)
            path = f"{url}/responses/{name}?stream=true"
            data = read(path)
            self.assertEqual(readEvents(data), expected)
            blocks = data.split(b"\n\n")
            for number in range(len(expected) - 1):
                self.assertEqual(read(f"{path}&starting_after={number}"), b"\n\n".join(blocks[number + 1 :]))
            retrieved = client.responses.retrieve(name).model_dump(exclude_unset=True)
            self.assertEqual(retrieved, {**makeWhole(), "id": name})

        await self.use(url, ask)
        [asked] = self.upstream.asked
        self.assertEqual((asked.json["tools"], asked.json["store"]), ([{"type": "web_search"}], False))

    async def test_others(self) -> None:
        """Answers in one piece, in the background and of other APIs have what the upstream has sent."""
        url = await self.serveBefore(self.play(script(makeEvents())), "auto")
        self.upstream.scripts = [(answer("404 Not Found", "{}"),), script(makeEvents())]

        def ask(client: openai.OpenAI) -> None:
            chat = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
            assert chat.choices[0].message.tool_calls is not None
            self.assertEqual(chat.choices[0].message.content, TEXT)
            self.assertEqual(chat.choices[0].message.tool_calls[0].function.name, "f")  # type: ignore[union-attr]
            given = client.responses.create(input="Hi", metadata={"a": "b"})
            self.assertEqual((given.output_text, given.status), (TEXT, "completed"))
            self.assertEqual([item.id for item in given.output], [item["id"] for item in OUTPUT])
            assert given.usage is not None
            self.assertEqual(given.usage.total_tokens, 7)
            begun = client.responses.create(input="Hi", background=True)
            rest = list(client.responses.retrieve(begun.id, stream=True))
            self.assertEqual([each.sequence_number for each in rest], list(range(len(rest))))
            self.assertEqual(client.responses.retrieve(begun.id).output_text, TEXT)
            self.assertEqual(len(list(client.responses.input_items.list(begun.id))), 1)
            further = client.responses.create(input="Go on", previous_response_id=given.id)
            self.assertEqual(further.previous_response_id, given.id)

        await self.use(url, ask)
        last = self.upstream.asked[-1].json
        self.assertEqual((last["store"], last["stream"], "previous_response_id" in last), (False, True, False))
        self.assertIn(TEXT, json.dumps(last["input"], ensure_ascii=False))

    async def test_ends(self) -> None:
        """An upstream's end passes; if there is none, the response has failed."""
        failed = {"type": "response.failed", "response": makeWhole("failed", error=ERROR)}
        incomplete = {"type": "response.incomplete", "response": makeWhole("incomplete")}
        scripts = [script(makeEvents(last)) for last in (failed, incomplete)]
        url = await self.serveBefore(self.play(*scripts, script(makeEvents()[:20])))

        def ask(client: openai.OpenAI) -> None:
            for last, status in ((failed, "failed"), (incomplete, "incomplete"), (None, "failed")):
                *_, end = client.responses.create(input="Hi", stream=True)
                told: Any = end.model_dump(exclude_unset=True)
                if last is not None:
                    name = told["response"]["id"]
                    self.assertEqual(told, replaceIDs(makeEvents(last)[-1], end.sequence_number, name))
                else:
                    self.assertEqual((end.type, end.sequence_number), ("response.failed", 20))
                retrieved = client.responses.retrieve(told["response"]["id"])
                self.assertEqual(retrieved.status, status)

        await self.use(url, ask)

    async def test_refused(self) -> None:
        """A response that fails at once is an error for other clients, and passes to one that reads events."""
        begun = makeEvents()[:2]
        failed = {"type": "response.failed", "response": makeWhole("failed", error=ERROR, output=[])}
        url = await self.serveBefore(self.play(script([*begun, {**failed, "sequence_number": 2}])))

        def ask(client: openai.OpenAI) -> None:
            events = list(client.responses.create(input="Hi", stream=True))
            self.assertEqual([each.type for each in events], [*(each["type"] for each in begun), "response.failed"])
            with self.assertRaises(openai.RateLimitError):
                client.responses.create(input="Hi")
            for stream in (False, True):
                with self.assertRaises(openai.RateLimitError):
                    client.chat.completions.create(
                        model="m", messages=[{"role": "user", "content": "Hi"}], stream=stream
                    )

        await self.use(url, ask)

    async def goOn(self, first: str, second: Callable[[], Any]) -> None:
        """Ask at one server, and go on after each event at another one, or at the same after it was started again."""

        def begin(client: openai.OpenAI) -> bytes:
            [name] = {
                each.response.id
                for each in client.responses.create(input="Hi", stream=True)
                if each.type == "response.created"
            }
            return name.encode()

        name = (await self.use(first, begin)).decode()
        path = f"/responses/{name}?stream=true"
        data = await self.inThread(lambda: read(first + path))
        self.assertEqual(readEvents(data), [replaceIDs(each, number, name) for number, each in enumerate(makeEvents())])
        blocks, url = data.split(b"\n\n"), await second()

        def readRests() -> None:
            for number in range(len(blocks) - 3):
                self.assertEqual(read(f"{url}{path}&starting_after={number}"), b"\n\n".join(blocks[number + 1 :]))

        await self.inThread(readRests)

    def makeServer(self, store: str, url: str) -> ServerProcess:
        """Make a server in front of an upstream, as a process that is not started yet."""
        folder = self.mktemp()
        Path(folder).mkdir()
        server = ServerProcess(freePort(), folder, ["--store", store, "--upstream", url, "--upstream-api", "responses"])
        self.addCleanup(server.kill)
        return server

    async def test_kill(self) -> None:
        """After `kill -9` and a restart every event is continued with the same bytes."""
        server = self.makeServer("sqlite:store", self.play(script(makeEvents())))
        await server.start()
        url = f"http://127.0.0.1:{server.port}/v1"

        async def restart() -> str:
            await server.kill()
            await server.start()
            return url

        await self.goOn(url, restart)

    async def test_processes(self) -> None:
        """With a Redis another process continues every event with the same bytes."""
        missing = findMissing()
        if missing:
            self.skipTest(missing)
        redis = RedisServer().start()
        self.addCleanup(redis.remove)
        self.addCleanup(redis.kill)
        upstream = self.play(script(makeEvents()))
        servers = [self.makeServer(redis.url, upstream) for _ in range(2)]
        for server in servers:
            await server.start()
        here, there = (f"http://127.0.0.1:{server.port}/v1" for server in servers)

        async def change() -> str:
            return there

        await self.goOn(here, change)
