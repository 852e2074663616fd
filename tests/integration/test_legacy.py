"""
Legacy completions of OpenAI's clients for Python and Node, unchanged, in front of every kind of token source.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import openai
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sseserver.apis.root import StreamResource
from sseserver.interfaces import ITokenSource
from sseserver.service.service import Settings, StreamService
from sseserver.sources.iterables import tokensFrom
from sseserver.sources.process import ProcessSource
from sseserver.sources.text import TextSource
from sseserver.sources.upstream import UpstreamSource
from sseserver.values import Prompt
from sseserver.web.site import StreamSite
from sseserver.wire import Decoder, Event
from tests.integration.modelapis import closeUpstream
from tests.integration.node import nodeFolder
from tests.integration.test_openai import sync
from tests.upstreams import ScriptedUpstream
from tests.upstreamscripts import EVENTS, whole

#: Asks for a completion in chunks, and for one in one piece.
SCRIPT = """
import OpenAI from "openai";

const client = new OpenAI({apiKey: "-", baseURL: process.argv[2], maxRetries: 0});
const asked = {model: process.argv[3], prompt: "Say hello."};
const {data, response} = await client.completions.create({...asked, stream: true}).withResponse();
let text = "", reason = null;
for await (const chunk of data) {
    text += chunk.choices[0]?.text ?? "";
    reason = chunk.choices[0]?.finish_reason ?? reason;
}
const whole = await client.completions.create(asked);
const stream = response.headers.get("content-location");
process.stdout.write(JSON.stringify([text, reason, whole.choices[0].text, whole.object, stream]));
"""

WORDS = ("One ", "two ", "\u00e9\n", "three")
TEXT = "".join(WORDS)


def produce(prompt: Prompt | None) -> Any:
    """Yield the words."""
    assert prompt is not None
    assert prompt.text == "Say hello."
    yield from WORDS


def follow(url: str, lastEventID: str | None = None) -> list[Event]:
    """Return the events of a stream that has ended, after one of them."""
    headers = {"Accept": "text/event-stream", **({} if lastEventID is None else {"Last-Event-ID": lastEventID})}
    with httpx.Client(trust_env=False, timeout=60) as client:
        return list(Decoder(1 << 20).feed(client.get(url, headers=headers).content))


def join(events: list[Event]) -> str:
    """Return the text of events in the format `completions`."""
    chunks = [json.loads(event.data) for event in events if event.data != "[DONE]"]
    return "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])


class LegacyTests(TestCase):
    """The clients in other processes and threads, the server in the reactor."""

    timeout = 300

    async def serve(self, source: ITokenSource) -> str:
        """Serve a source, and return the base URL of its API."""
        service = StreamService(reactor, source, Settings(drain=0))
        service.startService()
        port = reactor.listenTCP(0, StreamSite(StreamResource(service)), interface="127.0.0.1")
        self.addCleanup(service.stopService)
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}/v1"

    async def check(self, source: ITokenSource, text: str, model: str) -> None:
        """Ask a source with both clients, streamed and whole, and resume at each chunk."""
        url = await self.serve(source)
        asked = {"model": model, "prompt": "Say hello."}

        def read(client: openai.OpenAI) -> None:
            whole = client.completions.create(**asked)
            self.assertEqual((whole.choices[0].text, whole.object), (text, "text_completion"))
            streamed = client.completions.with_raw_response.create(**asked, stream=True)
            chunks = list(streamed.parse())
            choices = [choice for chunk in chunks for choice in chunk.choices]
            self.assertEqual(("".join(choice.text for choice in choices), choices[-1].finish_reason), (text, "stop"))
            stream = f"{url[:-3]}{streamed.headers['content-location']}?format=completions"
            events = follow(stream)
            self.assertEqual((join(events), events[-1].data), (text, "[DONE]"))
            for place, event in enumerate(events[:-1]):
                self.assertEqual(join(events[: place + 1]) + join(follow(stream, event.id)), text)

        await sync(url, read)
        folder = nodeFolder(SCRIPT, "openai@7.59.0")
        command = ["node", "main.js", url, model]
        done = await deferToThread(subprocess.run, command, cwd=folder, capture_output=True, timeout=200, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        *read, stream = json.loads(done.stdout)
        self.assertEqual(read, [text, "stop", text, "text_completion"])
        self.assertTrue(stream.startswith("/streams/"))

    async def test_generator(self) -> None:
        """A generator."""
        await self.check(tokensFrom(reactor, produce, takesPrompt=True, model="words"), TEXT, "words")

    async def test_text(self) -> None:
        """A text."""
        await self.check(TextSource(reactor, TEXT, 0.001, "text"), TEXT, "text")

    async def test_program(self) -> None:
        """A program."""
        command = [sys.executable, "-c", f"print({TEXT!r}, end='')"]
        await self.check(ProcessSource(reactor, command, model="program"), TEXT, "program")

    async def test_upstream(self) -> None:
        """An upstream, whose chunks are converted."""
        upstream = ScriptedUpstream(reactor, whole(*EVENTS))
        port = reactor.listenTCP(0, upstream, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        source = UpstreamSource(reactor, f"http://127.0.0.1:{port.getHost().port}/v1")
        self.addCleanup(closeUpstream, source, port)
        await self.check(source, "Hello world", "scripted")
