"""
Anthropic's clients for Python and Node, unchanged, in front of every kind of token source.
"""

from __future__ import annotations

import json
from typing import Any

import anthropic
from twisted.internet.defer import ensureDeferred

from sseserver.interfaces import ITokenSource
from sseserver.web.access.apikeys import ApiKeys, makeKey, readKeyFile, writeLine
from sseserver.web.access.credentials import Credentials, Secrets
from tests.integration.modelapis import (
    TEXT,
    TOOLS,
    ModelAPITestCase,
    follow,
    makeGenerator,
    makeProgram,
    makeText,
)
from tests.integration.node import nodeFolder

PACKAGE = "@anthropic-ai/sdk@1.14.0"

#: Asks for a message as a stream, by the helper for streams, and in one piece.
SCRIPT = """
import Anthropic from "@anthropic-ai/sdk";

const [baseURL, model, content] = process.argv.slice(2);
const client = new Anthropic({apiKey: "-", baseURL, maxRetries: 0});
const asked = {model, max_tokens: 100, messages: [{role: "user", content}]};
const seen = {types: []};
try {
    for await (const event of await client.messages.create({...asked, stream: true})) seen.types.push(event.type);
    const stream = client.messages.stream(asked);
    seen.text = "";
    stream.on("text", text => { seen.text += text; });
    seen.streamed = await stream.finalMessage();
    seen.whole = await client.messages.create(asked);
    seen.tokens = await client.messages.countTokens({model, messages: asked.messages});
} catch (error) {
    seen.error = [error.status ?? null, error.constructor.name, error.message];
}
process.stdout.write(JSON.stringify(seen));
"""

TOOL: Any = {"name": "weather", "description": "W", "input_schema": {"type": "object", "properties": {}}}


def join(events: list[Any]) -> str:
    """Return the text of events in the format `messages`."""
    deltas = [json.loads(event.data).get("delta", {}) for event in events if event.type == "content_block_delta"]
    return "".join(delta.get("text", "") for delta in deltas)


class AnthropicTests(ModelAPITestCase):
    """The clients in other processes and threads, the server in the reactor."""

    async def use(self, url: str, act: Any, key: str = "-") -> Any:
        """Let the Python client act in a thread."""

        def inThread() -> Any:
            with anthropic.Anthropic(api_key=key, base_url=url, max_retries=0, timeout=60) as client:
                return act(client)

        return await self.inThread(inThread)

    async def check(self, source: ITokenSource, model: str) -> None:
        """Ask a source with both clients, streamed and whole, and resume at each event with an ID."""
        url = await self.serve(source)
        asked: Any = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Say hello."}]}

        def read(client: anthropic.Anthropic) -> None:
            whole = client.messages.create(**asked)
            self.assertEqual((whole.content[0].type, whole.stop_reason), ("text", "end_turn"))
            self.assertEqual((whole.content[0].text, whole.model, whole.role), (TEXT, model, "assistant"))
            self.assertGreater(whole.usage.output_tokens, 0)
            with client.messages.stream(**asked) as stream:
                self.assertEqual("".join(stream.text_stream), TEXT)
                final = stream.get_final_message()
            self.assertEqual((final.content[0].text, final.stop_reason), (TEXT, "end_turn"))
            self.assertEqual(final.usage.output_tokens, whole.usage.output_tokens)
            raw = client.messages.with_raw_response.create(**asked, stream=True)
            types = [event.type for event in raw.parse()]
            self.assertEqual((types[0], types[-2:]), ("message_start", ["message_delta", "message_stop"]))
            stream = f"{url}{raw.headers['content-location']}?format=messages"
            events = follow(stream)
            self.assertEqual([event.type for event in events if event.type != "ping"], types)
            for place, event in enumerate(events[:-1]):
                if event.id and event.id != events[place + 1].id:
                    self.assertEqual(join(events[: place + 1]) + join(follow(stream, event.id)), TEXT)

        await self.use(url, read)
        seen = await self.runNode(nodeFolder(SCRIPT, PACKAGE), url, model, "Say hello.")
        self.assertNotIn("error", seen)
        self.assertEqual((seen["text"], seen["streamed"]["content"][0]["text"]), (TEXT, TEXT))
        self.assertEqual((seen["whole"]["content"][0]["text"], seen["types"][-1]), (TEXT, "message_stop"))
        self.assertGreater(seen["tokens"]["input_tokens"], 0)

    async def test_generator(self) -> None:
        """A generator."""
        await self.check(makeGenerator(), "words")

    async def test_text(self) -> None:
        """A text."""
        await self.check(makeText(), "text")

    async def test_program(self) -> None:
        """A program."""
        await self.check(makeProgram(), "program")

    async def test_upstream(self) -> None:
        """The reasoning and the tool calls of an upstream are blocks; it gets a chat completion."""
        url = await self.serve(self.makeUpstream(*TOOLS))
        messages: Any = [
            {"role": "user", "content": "What is the weather?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "rain"}]},
        ]
        asked: Any = {"model": "m", "max_tokens": 9, "system": "Be brief.", "messages": messages, "tools": [TOOL]}

        def read(client: anthropic.Anthropic) -> None:
            with client.messages.stream(**asked) as stream:
                streamed = stream.get_final_message()
            whole = client.messages.create(**asked)
            for message in (streamed, whole):
                thinking, text, *calls = message.content
                self.assertEqual((thinking.thinking, text.text), ("Let me see.", "I call"))
                told = [(call.id, call.name, call.input) for call in calls]
                self.assertEqual(told, [("call-a", "weather", {"city": "Oslo"}), ("call-b", "clock", {})])
                self.assertEqual((message.stop_reason, message.model), ("tool_use", "scripted"))
                self.assertEqual((message.usage.input_tokens, message.usage.output_tokens), (9, 4))

        await self.use(url, read)
        body = json.loads(self.upstream.asked[0].body)
        self.assertEqual([message["role"] for message in body["messages"]], ["system", "user", "assistant", "tool"])
        self.assertEqual(body["tools"][0]["function"]["name"], "weather")
        self.assertEqual(body["max_tokens"], 9)
        seen = await self.runNode(nodeFolder(SCRIPT, PACKAGE), url, "m", "Hello")
        types = [block["type"] for block in seen["streamed"]["content"]]
        self.assertEqual(types, ["thinking", "text", "tool_use", "tool_use"])
        self.assertEqual(seen["streamed"]["content"], seen["whole"]["content"])

    async def test_errors(self) -> None:
        """Failures are the errors of the clients, before the first token and after it."""
        url = await self.serve(makeGenerator())

        def ask(client: anthropic.Anthropic, content: str, model: str = "words", **more: Any) -> Any:
            message: Any = {"role": "user", "content": content}
            with client.messages.stream(model=model, max_tokens=9, messages=[message], **more) as stream:
                return stream.get_final_message()

        def read(client: anthropic.Anthropic) -> None:
            with self.assertRaises(anthropic.RateLimitError) as caught:
                ask(client, "busy")
            self.assertEqual(caught.exception.body["error"]["message"], "Too many requests.")  # type: ignore[index,call-overload]
            self.assertRegex(caught.exception.request_id or "", "^req_")
            with self.assertRaises(anthropic.APIStatusError) as broken:
                ask(client, "breaks")
            self.assertIn("The upstream closed in the middle.", str(broken.exception))
            with self.assertRaises(anthropic.NotFoundError):
                ask(client, "Hello", "other")
            with self.assertRaises(anthropic.BadRequestError):
                ask(client, "Hello", stop_sequences=[1])
            self.assertGreater(
                client.messages.count_tokens(model="words", messages=[{"role": "user", "content": "a"}]).input_tokens, 0
            )

        await self.use(url, read)
        seen = await self.runNode(nodeFolder(SCRIPT, PACKAGE), url, "words", "busy")
        self.assertEqual(seen["error"][:2], [429, "RateLimitError"])

    async def test_key(self) -> None:
        """The key of the client is the credential; a wrong one is an error of the client."""
        key = makeKey()
        keys = readKeyFile(writeLine("app", key, ["run,read:*"]))
        url = await self.serve(makeGenerator(), Credentials(Secrets(ApiKeys(keys)), b"s" * 32))
        message: Any = {"model": "words", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}

        def read(client: anthropic.Anthropic) -> str:
            return str(client.messages.create(**message).content[0].text)  # type: ignore[union-attr]

        self.assertEqual(await self.use(url, read, key), TEXT)
        await self.assertFailure(ensureDeferred(self.use(url, read, "wrong")), anthropic.AuthenticationError)
