"""
OpenAI's clients for Python and Node, unchanged, ask for responses in front of every kind of token source.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import ITokenSource
from tests.integration.guides import Follower
from tests.integration.modelapis import (
    TEXT,
    TOOLS,
    ModelAPITestCase,
    makeGenerator,
    makeProgram,
    makeText,
)
from tests.integration.node import nodeFolder
from tests.integration.serverprocess import ServerProcess
from tests.integration.servers import freePort
from tests.protocols.responses.judge import judgeEvents, judgeResponse
from tests.redisservers import RedisServer, findMissing

PACKAGE = "openai@7.59.0"

#: Asks for a response in every way, and reads its events again after each of them.
SCRIPT = """
import OpenAI from "openai";

const [baseURL, input] = process.argv.slice(2);
const client = new OpenAI({apiKey: "-", baseURL, maxRetries: 0});
const seen = {places: []};
try {
    const events = [];
    for await (const event of await client.responses.create({input, stream: true})) events.push(event);
    seen.types = events.map(event => event.type);
    const id = events[0].response.id;
    seen.retrieved = await client.responses.retrieve(id);
    for (const {sequence_number} of events) {
        const rest = [];
        const asked = {stream: true, starting_after: sequence_number};
        for await (const event of await client.responses.retrieve(id, asked)) rest.push(event);
        seen.places.push(JSON.stringify(rest) === JSON.stringify(events.slice(sequence_number + 1)));
    }
    seen.streamed = await client.responses.stream({input}).finalResponse();
    seen.continued = await client.responses.stream({response_id: id, starting_after: 0}).finalResponse();
    seen.whole = await client.responses.create({input, previous_response_id: id});
    seen.items = [];
    for await (const item of client.responses.inputItems.list(id)) seen.items.push(item);
    await client.responses.delete(id);
    seen.gone = await client.responses.retrieve(id).catch(error => error.status);
    seen.missing = await client.responses.retrieve("resp_x", {stream: true}).catch(error => error.status);
} catch (error) {
    seen.error = [error.status ?? null, error.constructor.name, error.message];
}
process.stdout.write(JSON.stringify(seen));
"""

TOOL: Any = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": True}


def read(url: str) -> bytes:
    """Return the events of a response as they come."""
    with httpx.Client(trust_env=False, timeout=60) as client:
        return client.get(url).content


def cut(url: str, events: int) -> list[dict[str, Any]]:
    """Read some events of a response, and cut the connection."""
    told: list[dict[str, Any]] = []
    with httpx.Client(trust_env=False, timeout=60) as client, client.stream("GET", url) as response:
        assert response.status_code == 200, response.read()
        for line in response.iter_lines():
            if line.startswith("data: {"):
                told.append(json.loads(line.removeprefix("data: ")))
            if len(told) == events:
                break
    return told


def poll(client: openai.OpenAI, response: str) -> Any:
    """Poll a background response until it has ended."""
    end = time.monotonic() + 60
    while (told := client.responses.retrieve(response)).status in {"queued", "in_progress"}:
        assert time.monotonic() < end, told
        time.sleep(0.02)
    return told


class ResponsesTests(ModelAPITestCase):
    """The clients in other processes and threads, the server in the reactor or in processes."""

    def makeFolder(self) -> str:
        """Make a folder for a process."""
        folder = self.mktemp()
        Path(folder).mkdir()
        return folder

    async def use(self, url: str, act: Callable[[openai.OpenAI], Any]) -> Any:
        """Let the Python client act in a thread."""

        def inThread() -> Any:
            http = httpx.Client(trust_env=False, timeout=60, verify=False)
            with openai.OpenAI(api_key="-", base_url=f"{url}/v1", max_retries=0, http_client=http) as client:
                return act(client)

        return await self.inThread(inThread)

    def readAll(self, url: str, client: openai.OpenAI) -> None:
        """Ask for a response in every way; go on after each event, and after a cut at each event."""
        raw = client.responses.with_raw_response.create(input="Say hello.", stream=True)
        events = [event.model_dump(exclude_unset=True) for event in raw.parse()]
        self.assertEqual([event["sequence_number"] for event in events], list(range(len(events))))
        self.assertEqual((events[0]["type"], events[-1]["type"]), ("response.created", "response.completed"))
        name = events[0]["response"]["id"]
        whole = client.responses.retrieve(name)
        self.assertEqual((whole.output_text, whole.status), (TEXT, "completed"))
        path = f"{url}/v1/responses/{name}"
        told = judgeEvents(read(f"{path}?stream=true"))
        self.assertEqual([event["type"] for event in told], [event["type"] for event in events])
        judgeResponse(json.loads(read(path)))
        for place in range(1, len(events)):
            before = cut(f"{path}?stream=true", place)
            after = client.responses.retrieve(name, stream=True, starting_after=before[-1]["sequence_number"])
            self.assertEqual([event.model_dump(exclude_unset=True) for event in after], events[place:])
        with client.responses.stream(response_id=name, starting_after=0) as stream:
            rest = [event.type for event in stream]
        self.assertEqual(rest[0], "response.in_progress")
        with client.responses.stream(input="Say hello.", model=whole.model) as stream:
            self.assertEqual(stream.get_final_response().output_text, TEXT)
        answer = client.responses.create(input="Say hello.", instructions="Be short.", metadata={"a": "b"})
        self.assertEqual((answer.output_text, answer.metadata), (TEXT, {"a": "b"}))
        assert answer.usage is not None
        self.assertGreater(answer.usage.output_tokens, 0)
        further = client.responses.create(input="Again.", previous_response_id=name)
        self.assertEqual(further.previous_response_id, name)
        items = list(client.responses.input_items.list(name))
        self.assertEqual([item.content[0].text for item in items], ["Say hello."])  # type: ignore[union-attr]
        background = client.responses.create(input="Say hello.", background=True)
        self.assertEqual(poll(client, background.id).output_text, TEXT)
        client.responses.delete(name)
        with self.assertRaises(openai.NotFoundError):
            client.responses.retrieve(name)
        with self.assertRaises(openai.BadRequestError):
            client.responses.retrieve(background.id, stream=True, starting_after=1000)

    async def check(self, source: ITokenSource) -> None:
        """Ask a source with both clients."""
        url = await self.serve(source)
        await self.use(url, lambda client: self.readAll(url, client))
        seen = await self.runNode(nodeFolder(SCRIPT, PACKAGE), f"{url}/v1", "Say hello.")
        self.assertNotIn("error", seen)
        self.assertEqual(set(seen["places"]), {True})
        for way in ("retrieved", "streamed", "continued", "whole"):
            self.assertEqual(seen[way]["output"][0]["content"][0]["text"], TEXT)
        self.assertEqual(len(seen["items"]), 1)
        self.assertEqual((seen["gone"], seen["missing"]), (404, 404))

    async def test_generator(self) -> None:
        """A generator."""
        await self.check(makeGenerator())

    async def test_text(self) -> None:
        """A text."""
        await self.check(makeText())

    async def test_program(self) -> None:
        """A program."""
        await self.check(makeProgram())

    async def test_upstream(self) -> None:
        """The reasoning and the tool calls of an upstream are items; it gets the conversation and the tools."""
        url = await self.serve(self.makeUpstream(*TOOLS))

        def ask(client: openai.OpenAI) -> None:
            with client.responses.stream(input="What is the weather?", model="m", tools=[TOOL]) as stream:
                streamed = stream.get_final_response()
            whole = client.responses.retrieve(streamed.id)
            for response in (streamed, whole):
                reasoning, message, *calls = response.output
                self.assertEqual(reasoning.summary[0].text, "Let me see.")  # type: ignore[union-attr]
                self.assertEqual(message.content[0].text, "I call")  # type: ignore[union-attr]
                told = [(call.call_id, call.name, json.loads(call.arguments)) for call in calls]  # type: ignore[union-attr]
                self.assertEqual(told, [("call-a", "weather", {"city": "Oslo"}), ("call-b", "clock", {})])
                assert response.usage is not None
                self.assertEqual((response.usage.input_tokens, response.usage.output_tokens), (9, 4))
            judgeEvents(read(f"{url}/v1/responses/{streamed.id}?stream=true"))
            output: Any = [{"type": "function_call_output", "call_id": "call-a", "output": "rain"}]
            client.responses.create(input=output, model="m", previous_response_id=streamed.id)

        await self.use(url, ask)
        first, second = (json.loads(asked.body) for asked in self.upstream.asked)
        self.assertEqual(first["tools"][0]["function"]["name"], "weather")
        self.assertEqual([message["role"] for message in second["messages"]], ["user", "assistant", "tool"])
        self.assertEqual(len(second["messages"][1]["tool_calls"]), 2)

    async def test_errors(self) -> None:
        """Failures are the errors of the client before the first token, and a failed response after it."""
        url = await self.serve(makeGenerator())

        def ask(client: openai.OpenAI) -> None:
            for stream in (False, True):
                with self.assertRaises(openai.RateLimitError):
                    client.responses.create(input="busy", stream=stream)
            failed = client.responses.create(input="breaks")
            assert failed.error is not None
            self.assertEqual((failed.status, failed.output_text), ("failed", TEXT))
            self.assertEqual(failed.error.message, "The upstream closed in the middle.")
            events = list(client.responses.create(input="breaks", stream=True))
            self.assertEqual(events[-1].type, "response.failed")

        await self.use(url, ask)

    async def test_kill(self) -> None:
        """
        After `kill -9` and a restart every event that a client had is continued, with the same numbers.
        """
        server = ServerProcess(freePort(), self.makeFolder(), ["--store", "sqlite:store"])
        url = f"http://127.0.0.1:{server.port}"
        await server.start(0.001)
        self.addCleanup(server.kill)

        def begin(client: openai.OpenAI) -> tuple[str, list[Any]]:
            events = list(client.responses.create(input="Hello", stream=True))
            return events[0].response.id, [event.model_dump(exclude_unset=True) for event in events]  # type: ignore[union-attr]

        name, events = await self.use(url, begin)
        await server.kill()
        await server.start(0.02)

        def goOn(client: openai.OpenAI) -> str:
            for place in range(0, len(events) - 1, 3):
                rest = client.responses.retrieve(name, stream=True, starting_after=place)
                self.assertEqual([event.model_dump(exclude_unset=True) for event in rest], events[place + 1 :])
            self.assertEqual(client.responses.retrieve(name).status, "completed")
            self.assertEqual(len(list(client.responses.input_items.list(name))), 1)
            further = client.responses.create(input="More", previous_response_id=name, background=True)
            told = cut(f"{url}/v1/responses/{further.id}?stream=true", 8)
            self.assertEqual(told[-1]["sequence_number"], 7)
            return further.id

        cutOff = await self.use(url, goOn)
        await server.kill()
        await server.start(0.02)

        def end(client: openai.OpenAI) -> None:
            rest = list(client.responses.retrieve(cutOff, stream=True, starting_after=7))
            self.assertEqual([event.sequence_number for event in rest], list(range(8, 8 + len(rest))))
            self.assertEqual(rest[-1].type, "response.failed")
            self.assertEqual(client.responses.retrieve(cutOff).status, "failed")

        await self.use(url, end)

    async def test_processes(self) -> None:
        """With a Redis any process continues, cancels and builds upon the responses of another one."""
        missing = findMissing()
        if missing:
            self.skipTest(missing)
        redis = RedisServer().start()
        self.addCleanup(redis.remove)
        self.addCleanup(redis.kill)
        servers = [ServerProcess(freePort(), self.makeFolder(), ["--store", redis.url]) for _ in range(2)]
        for server in servers:
            await server.start(0.02)
            self.addCleanup(server.kill)
        here, there = (f"http://127.0.0.1:{server.port}" for server in servers)
        begun = await self.use(here, lambda client: client.responses.create(input="Hello", background=True))

        def goOn(client: openai.OpenAI) -> None:
            told = cut(f"{there}/v1/responses/{begun.id}?stream=true", 6)
            rest = list(client.responses.retrieve(begun.id, stream=True, starting_after=5))
            numbers = [event["sequence_number"] for event in told] + [event.sequence_number for event in rest]
            self.assertEqual(numbers, list(range(len(numbers))))
            self.assertEqual(rest[-1].type, "response.completed")
            self.assertEqual(len(list(client.responses.input_items.list(begun.id))), 1)
            further = client.responses.create(input="More", previous_response_id=begun.id, background=True)
            self.assertEqual(client.responses.cancel(further.id).status, "cancelled")
            client.responses.delete(further.id)

        await self.use(there, goOn)


class GuideTests(SynchronousTestCase):
    """The guide docs/guides/responses.md."""

    def test_guide(self) -> None:
        """Each command succeeds; the last one continues a conversation."""
        reader = Follower("responses")
        self.addCleanup(reader.end)
        self.assertEqual(reader.follow("responses").strip(), '"status": "completed"')
        self.assertNotIn("Traceback", reader.readLogs())
