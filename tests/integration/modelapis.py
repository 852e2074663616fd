"""
Servers in front of every kind of token source, for the tests with clients of foreign APIs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server as ServerTransport
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sseserver.apis.root import StreamResource
from sseserver.errors import SourceError
from sseserver.interfaces import IAuthenticator, ITokenSource
from sseserver.service.service import Settings, StreamService
from sseserver.sources.iterables import tokensFrom
from sseserver.sources.process import ProcessSource
from sseserver.sources.text import TextSource
from sseserver.sources.upstream import UpstreamSource
from sseserver.values import Prompt
from sseserver.web.site import StreamSite
from sseserver.wire import Decoder, Event
from tests.upstreams import ScriptedUpstream
from tests.upstreamscripts import DONE, callChunk, chunk, event, whole

WORDS = ("One ", "two\r", "\n\u2028 ", "\u00e9<\U0001f600>", " three")
TEXT = "".join(WORDS)

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}

#: Reasoning, text and two tool calls of an upstream, whose arguments come in turn.
TOOLS = (
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "Let me "}),
    chunk({"reasoning_content": "see."}),
    chunk({"content": "I call"}),
    callChunk(0, "weather", "", id="call-a", type="function"),
    callChunk(0, "", '{"city"'),
    callChunk(1, "clock", "{}", id="call-b", type="function"),
    callChunk(0, "", ': "Oslo"}'),
    chunk({}, "tool_calls"),
    json.dumps({"id": "c", "model": "scripted", "choices": [], "usage": USAGE}).encode(),
)


def produce(prompt: Prompt | None) -> Any:
    """Yield the words, or fail as the prompt says."""
    assert prompt is not None
    if prompt.text == "busy":
        raise SourceError("Too many requests.", "busy", 429)
    yield from WORDS
    if prompt.text == "breaks":
        raise SourceError("The upstream closed in the middle.", "truncated")


def makeGenerator() -> ITokenSource:
    """Make a source of Python code."""
    return tokensFrom(reactor, produce, takesPrompt=True, model="words")


def makeText() -> ITokenSource:
    """Make a source of a text."""
    return TextSource(reactor, TEXT, 0.001, "text")


def makeProgram() -> ITokenSource:
    """Make a source that is a program."""
    command = [sys.executable, "-c", f"import sys; sys.stdout.buffer.write({TEXT.encode()!r})"]
    return ProcessSource(reactor, command, model="program")


def follow(url: str, lastEventID: str | None = None) -> list[Event]:
    """Return the events of a stream that has ended, after one of them."""
    headers = {"Accept": "text/event-stream", **({} if lastEventID is None else {"Last-Event-ID": lastEventID})}
    with httpx.Client(trust_env=False, timeout=60) as client:
        return list(Decoder(1 << 20).feed(client.get(url, headers=headers).content))


async def closeUpstream(source: UpstreamSource, port: Any) -> None:
    """Close the connections of a source to a port, also those whose response ends after the answer made of it."""
    end = reactor.seconds() + 60
    while hasConnection(port):
        assert reactor.seconds() < end, "A source keeps its connection."
        await source.close()
        await deferLater(reactor, 0.005)


def hasConnection(port: Any) -> bool:
    """Return whether a client of a port has not closed its connection."""
    return any(isinstance(each, ServerTransport) and each.server is port for each in reactor.getReaders())


class ModelAPITestCase(TestCase):
    """The clients in other processes and threads, the server in the reactor."""

    timeout = 300

    async def serve(self, source: ITokenSource, access: IAuthenticator | None = None) -> str:
        """Serve a source, and return the URL of the server."""
        service = StreamService(reactor, source, Settings(drain=0, heartbeat=0.25, ollama=True))
        service.startService()
        port = reactor.listenTCP(0, StreamSite(StreamResource(service, None, access)), interface="127.0.0.1")
        self.addCleanup(service.stopService)
        self.addCleanup(port.stopListening)
        self.addCleanup(self.awaitClosed, port)
        return f"http://127.0.0.1:{port.getHost().port}"

    async def awaitClosed(self, port: Any) -> None:
        """Wait until the clients of a port have closed their connections; those of an upstream may stay open."""
        end = reactor.seconds() + 60
        while hasConnection(port):
            self.assertLess(reactor.seconds(), end, "A client keeps its connection.")
            await deferLater(reactor, 0.005)

    def makeUpstream(self, *chunks: bytes) -> UpstreamSource:
        """Make a source that asks a scripted upstream; `upstream` is it."""
        self.upstream = ScriptedUpstream(reactor, whole(*map(event, chunks), DONE))
        port = reactor.listenTCP(0, self.upstream, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        source = UpstreamSource(reactor, f"http://127.0.0.1:{port.getHost().port}/v1")
        self.addCleanup(closeUpstream, source, port)
        return source

    async def runNode(self, folder: Path, *arguments: str) -> Any:
        """Run `main.js` of a folder, and return the JSON that it prints."""
        command = ["node", "main.js", *arguments]
        done = await deferToThread(subprocess.run, command, cwd=folder, capture_output=True, timeout=200, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout)

    def inThread(self, use: Callable[[], Any]) -> Deferred[Any]:
        """Use a client in a thread."""
        return deferToThread(use)
