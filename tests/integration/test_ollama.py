"""
Ollama's clients for Python and Node, unchanged, in front of every kind of token source.
"""

from __future__ import annotations

import json
from typing import Any

import ollama

from sseserver.interfaces import ITokenSource
from tests.integration.modelapis import TEXT, TOOLS, ModelAPITestCase, makeGenerator, makeProgram, makeText
from tests.integration.node import nodeFolder

PACKAGE = "ollama@0.6.4"

#: Asks for answers of both endpoints, streamed and in one piece.
SCRIPT = """
import {Ollama} from "ollama";

const [host, model, content] = process.argv.slice(2);
const client = new Ollama({host});
const chat = {model, messages: [{role: "user", content}]};
const seen = {chat: "", generate: "", calls: []};
try {
    for await (const piece of await client.chat({...chat, stream: true})) {
        seen.chat += piece.message.content;
        seen.calls.push(...piece.message.tool_calls ?? []);
        seen.reason = piece.done_reason;
    }
    for await (const piece of await client.generate({model, prompt: content, stream: true})) {
        seen.generate += piece.response;
    }
    seen.whole = (await client.chat(chat)).message.content;
    seen.models = (await client.list()).models.map(model => model.name);
    seen.version = (await client.version()).version;
} catch (error) {
    seen.error = [error.status_code ?? null, error.message];
}
process.stdout.write(JSON.stringify(seen));
"""

ASKED: Any = [{"role": "user", "content": "Say hello."}]


def connect(host: str) -> ollama.Client:
    """Make a client, which is to be closed."""
    return ollama.Client(host=host, trust_env=False, timeout=60)


class OllamaTests(ModelAPITestCase):
    """The clients in other processes and threads, the server in the reactor."""

    async def check(self, source: ITokenSource, model: str) -> None:
        """Ask a source with both clients, streamed and whole."""
        host = f"{await self.serve(source)}/ollama"

        def read() -> None:
            with connect(host) as client:
                pieces = list(client.chat(model=model, messages=ASKED, stream=True))
                self.assertEqual("".join(piece.message.content or "" for piece in pieces), TEXT)
                self.assertEqual((pieces[-1].done, pieces[-1].done_reason, pieces[-1].model), (True, "stop", model))
                whole = client.chat(model=model, messages=ASKED)
                self.assertEqual((whole.message.content, whole.eval_count), (TEXT, pieces[-1].eval_count))
                for end in (pieces[-1], whole):
                    self.assertGreater(end.total_duration, 0)
                    self.assertEqual(end.total_duration, end.prompt_eval_duration + end.eval_duration)
                texts = [piece.response for piece in client.generate(model=model, prompt="Say hello.", stream=True)]
                self.assertEqual(
                    ("".join(texts), client.generate(model=model, prompt="Say hello.").response), (TEXT, TEXT)
                )
                self.assertEqual([each.model for each in client.list().models], [model])
                shown = client.show(model)
                self.assertEqual((shown.capabilities, shown.modelinfo["general.basename"]), (["completion"], model))
                for ask in (client.embed, client.embeddings):
                    with self.assertRaises(ollama.ResponseError) as caught:
                        ask(model, "Hello")
                    self.assertIn("makes no embeddings", caught.exception.error)

        await self.inThread(read)
        seen = await self.runNode(nodeFolder(SCRIPT, PACKAGE), host, model, "Say hello.")
        self.assertNotIn("error", seen)
        self.assertEqual((seen["chat"], seen["generate"], seen["whole"]), (TEXT, TEXT, TEXT))
        self.assertEqual((seen["models"], seen["reason"]), ([model], "stop"))

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
        """The reasoning and the tool calls of an upstream arrive; it gets a chat completion."""
        host = f"{await self.serve(self.makeUpstream(*TOOLS))}/ollama"
        called: Any = {"role": "assistant", "tool_calls": [{"function": {"name": "clock", "arguments": {}}}]}
        messages = [*ASKED, called, {"role": "tool", "content": "noon", "tool_name": "clock"}]

        def read() -> None:
            with connect(host) as client:
                pieces = list(client.chat(model="m", messages=messages, stream=True, options={"num_predict": 9}))
                whole = client.chat(model="m", messages=messages)
                self.assertEqual("".join(piece.message.thinking or "" for piece in pieces), "Let me see.")
                self.assertEqual((whole.message.thinking, whole.message.content), ("Let me see.", "I call"))
                streamed = [call for piece in pieces for call in piece.message.tool_calls or ()]
                for calls in (streamed, whole.message.tool_calls or ()):
                    told = [(call.function.name, dict(call.function.arguments)) for call in calls]
                    self.assertEqual(told, [("weather", {"city": "Oslo"}), ("clock", {})])
                self.assertEqual((pieces[-1].prompt_eval_count, whole.eval_count), (9, 4))

        await self.inThread(read)
        body = json.loads(self.upstream.asked[0].body)
        self.assertEqual([message["role"] for message in body["messages"]], ["user", "assistant", "tool"])
        self.assertEqual(body["messages"][2]["tool_call_id"], body["messages"][1]["tool_calls"][0]["id"])
        self.assertEqual(body["max_tokens"], 9)
        seen = await self.runNode(nodeFolder(SCRIPT, PACKAGE), host, "m", "Hello")
        self.assertEqual([call["function"]["name"] for call in seen["calls"]], ["weather", "clock"])

    async def test_errors(self) -> None:
        """Failures are the errors of the clients, before the first token and after it."""
        host = f"{await self.serve(makeGenerator())}/ollama"

        def ask(content: str, model: str = "words") -> str:
            with connect(host) as client:
                pieces = client.chat(model=model, messages=[{"role": "user", "content": content}], stream=True)
                return "".join(piece.message.content or "" for piece in pieces)

        def read() -> None:
            for content, model, status, message in (
                ("busy", "words", 429, "Too many requests."),
                ("breaks", "words", -1, "The upstream closed in the middle."),
                ("Hello", "other", 404, "There is no model 'other' here; the model is 'words'."),
            ):
                with self.assertRaises(ollama.ResponseError) as caught:
                    ask(content, model)
                self.assertEqual((caught.exception.status_code, caught.exception.error), (status, message))

        await self.inThread(read)
        seen = await self.runNode(nodeFolder(SCRIPT, PACKAGE), host, "words", "busy")
        self.assertEqual(seen["error"], [429, "Too many requests."])
