"""
Servers with every kind of source, for tests in which foreign clients lose their connections in the middle of an answer.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server as ServerTransport
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sseserver.apis.root import StreamResource
from sseserver.errors import StreamNotFound
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.function import FunctionSource
from sseserver.sources.iterables import tokensFrom
from sseserver.sources.process import ProcessSource
from sseserver.sources.text import TextSource
from sseserver.sources.upstream import UpstreamSource
from sseserver.values import Prompt
from sseserver.web.site import StreamSite
from tests.integration.modelapis import closeUpstream
from tests.upstreams import ScriptedUpstream
from tests.upstreamscripts import DONE, callChunk, chunk, event, whole

#: The text of each source but the upstream.
WORDS = ("Zwölf ", "\U0001f600 ", "words\n", "of ", "a ", "text.")
TEXT = "".join(WORDS)

CITED = {"type": "url_citation", "url_citation": {"url": "https://example.org/", "title": "Example"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}

#: The answer of the upstream: everything that chunks can add.
CHUNKS = (
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "Let me "}),
    chunk({"reasoning_content": "see."}),
    chunk({"content": "It is"}),
    chunk({"content": " twelve.", "annotations": [CITED]}),
    chunk({"images": [PICTURE]}),
    callChunk(0, "look", '{"a":', id="call_a", type="function"),
    callChunk(1, "find", "", id="call_b", type="function"),
    callChunk(0, "", "1}"),
    chunk({}, "tool_calls"),
    chunk({}, choices=[], usage={"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}),
)

#: JavaScript: `cut` makes a `fetch` whose responses end after so many events, broken in the middle of the next one, or
#: as if they were complete.
CUT = """
const cut = (limit, isBroken, seen = []) => async (...asked) => {
    const response = await fetch(...asked);
    seen.push({url: String(asked[0]), status: response.status, headers: response.headers});
    const number = limit(seen.length - 1);
    if (!response.body || number === undefined) return response;
    const reader = response.body.getReader();
    let left = number, held = new Uint8Array();
    const findEnd = () => {
        for (let at = 1; at < held.length; at++) if (held[at] === 10 && held[at - 1] === 10) return at + 1;
        return -1;
    };
    const pull = async controller => {
        for (;;) {
            const end = findEnd();
            if (left > 0 && end > 0) {
                left--;
                controller.enqueue(held.slice(0, end));
                held = held.slice(end);
                return;
            }
            if (left === 0 && isBroken && held.length) {
                left = -1;
                controller.enqueue(held.slice(0, Math.min(held.length - 1, 12)));
                return;
            }
            if (left <= 0) {
                await reader.cancel();
                return isBroken ? controller.error(new TypeError("terminated")) : controller.close();
            }
            const {done, value} = await reader.read();
            if (done) {
                if (held.length) controller.enqueue(held);
                return controller.close();
            }
            const more = new Uint8Array(held.length + value.length);
            more.set(held);
            more.set(value, held.length);
            held = more;
        }
    };
    const {status, headers} = response;
    return new Response(new ReadableStream({pull}, {highWaterMark: 0}), {status, headers});
};
"""


class CutAnswersTestCase(TestCase):
    """
    A server in the reactor, and a script in Node.

    Attributes:
        folder: Folder of the script.
        port: Number of the server's port.
    """

    timeout = 900

    folder: Path

    async def serve(self, source: ITokenSource) -> None:
        """Start a server with a source. The test stops it at its end."""
        self.service = StreamService(reactor, source, Settings(heartbeat=0.25, drain=0))
        self.service.startService()
        listening = reactor.listenTCP(0, StreamSite(StreamResource(self.service)), interface="127.0.0.1")
        self.port = listening.getHost().port
        self.addCleanup(self.service.stopService)
        self.addCleanup(listening.stopListening)
        self.addCleanup(self.until, lambda: not self.connections())

    def makeSources(self) -> dict[str, Callable[[], ITokenSource]]:
        """Return what makes each kind of source, by its name."""
        return {
            "text": lambda: TextSource(reactor, TEXT, 0.001),
            "program": lambda: ProcessSource(reactor, ["printf", "%s", TEXT]),
            "generator": lambda: tokensFrom(reactor, lambda: iter(WORDS)),
            "upstream": self.makeUpstream,
        }

    def makeUpstream(self) -> UpstreamSource:
        """Make a source whose upstream answers with `CHUNKS`, and remember the requests."""
        self.upstream = ScriptedUpstream(reactor, whole(*map(event, CHUNKS), DONE))
        listening = reactor.listenTCP(0, self.upstream, interface="127.0.0.1")
        source = UpstreamSource(reactor, f"http://127.0.0.1:{listening.getHost().port}/v1")
        self.addCleanup(listening.stopListening)
        self.addCleanup(closeUpstream, source, listening)
        return source

    def makeHeld(self) -> ITokenSource:
        """Make a source whose runs do not end before there is a stream with the name in their prompts."""

        async def hold(sink: ITokenSink, prompt: Prompt | None) -> str:
            assert prompt is not None
            for one in CHUNKS:
                choices = json.loads(one)["choices"]
                sink.writeChunk(one, (choices and choices[0]["delta"].get("content")) or "")
            while not await self.exists(prompt.text):
                await deferLater(reactor, 0.002)
            return "tool_calls"

        return FunctionSource(hold, takesPrompt=True, model="held")

    async def exists(self, name: str) -> bool:
        """Return whether there is a stream of a name."""
        try:
            await self.service.find(name)
        except StreamNotFound:
            return False
        return True

    def connections(self) -> list[Any]:
        """Return the connections of the server."""
        return [each for each in reactor.getReaders() if isinstance(each, ServerTransport)]

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the reactor run until a condition holds."""
        end = reactor.seconds() + 120
        while not condition():
            self.assertLess(reactor.seconds(), end, "It does not come about.")
            await deferLater(reactor, 0.002)

    async def runScript(self, *arguments: str) -> Any:
        """Run the script with the URL of the server and more arguments, and return its JSON."""
        command = ["node", "main.js", f"http://127.0.0.1:{self.port}", *arguments]
        result = await deferToThread(
            subprocess.run, command, cwd=self.folder, capture_output=True, timeout=600, check=False
        )
        self.assertEqual(result.returncode, 0, result.stderr.decode()[-4000:])
        return json.loads(result.stdout)
