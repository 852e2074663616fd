"""
Cross-site scripting: texts from publishers, from upstreams and from URLs, shown by Chromium.

Every document of the server is watched from its first moment: nothing in it may run `canary()`, and nothing may be left
to its content security policy to stop.
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any
from urllib.parse import quote

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from sseserver.apis.root import StreamResource
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.upstream import UpstreamSource
from sseserver.web.site import StreamSite
from tests.integration.browser import BrowserTestCase
from tests.integration.servers import ask
from tests.payloads import PAYLOADS

#: Script that runs in each document before everything else.
CANARY = """
window.ran = [];
window.canary = () => ran.push("canary");
window.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
    ran.push(`${violatedDirective} ${blockedURI}`);
});
"""

#: The marks of Markdown in the payloads, and white space, which it joins.
MARKS = re.compile(r"[`*_\\\s]+")

#: Payloads in one error message of the upstream, of which 500 characters are passed on, and in one part of a URL.
IN_ERROR, IN_URL = 7, 16

JSON = {"Content-Type": "application/json"}


def delta(**members: object) -> bytes:
    """Write a chunk of an upstream's answer."""
    chunk = {"id": PAYLOADS[0], "model": PAYLOADS[1], "choices": [{"index": 0, "delta": members}]}
    return b"data: %b\n\n" % json.dumps(chunk).encode("ascii")


class Upstream(Resource):
    """
    A model API that says what its client must not run.

    A prompt that is a number gets an error instead, with some of the payloads as its message.
    """

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """List the models."""
        models = [{"id": payload, "object": "model", "owned_by": payload} for payload in PAYLOADS]
        return json.dumps({"object": "list", "data": models}).encode("ascii")

    def render_POST(self, request: Request) -> bytes:
        """Answer a prompt."""
        prompt = json.load(request.content)["messages"][-1]["content"]
        if prompt.isdigit():
            return self._fail(request, int(prompt))
        request.setHeader(b"content-type", b"text/event-stream")
        written = []
        for number, payload in enumerate(PAYLOADS):
            function = {"name": payload, "arguments": payload}
            call = {"index": number, "id": payload, "type": "function", "function": function}
            written += [delta(reasoning_content=payload), delta(content=payload), delta(tool_calls=[call])]
        written.append(b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n')
        return b"".join(written)

    def _fail(self, request: Request, number: int) -> bytes:
        """Answer with an error: every other one by its status, the others in an answer that has begun."""
        group = PAYLOADS[number : number + IN_ERROR]
        error = {"error": {"message": " ".join(group), "type": group[0], "code": group[0], "param": group[0]}}
        encoded = json.dumps(error).encode("ascii")
        if number % 2:
            request.setResponseCode(400)
            request.setHeader(b"content-type", b"application/json")
            return encoded
        request.setHeader(b"content-type", b"text/event-stream")
        return delta(content="Well, ") + b"data: %b\n\n" % encoded


class ScriptingTests(BrowserTestCase):
    """A server in front of an upstream, and a window that is watched."""

    async def setUp(self) -> None:
        await super().setUp()
        upstream = reactor.listenTCP(0, Site(Upstream()), interface="127.0.0.1")
        self.addCleanup(upstream.stopListening)
        self.source = UpstreamSource(reactor, f"http://127.0.0.1:{upstream.getHost().port}/v1")
        self.addCleanup(self.source.close)
        service = StreamService(reactor, self.source, Settings(reconnectionTime=200, drain=0))
        service.startService()
        self.addCleanup(service.stopService)
        self.formats = list(service.formats)
        listening = reactor.listenTCP(0, StreamSite(StreamResource(service)), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        self.port = listening.getHost().port
        self.url = f"http://127.0.0.1:{self.port}"
        watch = {"source": CANARY}
        await deferToThread(self.browser.execute_cdp_cmd, "Page.addScriptToEvaluateOnNewDocument", watch)

    async def ask(self, method: str, path: str, value: object = None, status: int = 200) -> Any:
        """Send a request with JSON, and return the JSON of the answer."""
        body = None if value is None else json.dumps(value).encode("ascii")
        answered, _, content = await deferToThread(ask, self.port, method, path, JSON, body)
        self.assertEqual(answered, status, content)
        return json.loads(content)

    async def check(self) -> None:
        """Check that nothing has run in the document, and that its policy had nothing to stop."""
        self.assertEqual(await self.script("return window.ran"), [], await self.script("return location.href"))

    async def startRun(self, prompt: str) -> str:
        """Start a run, and return its path."""
        return (await self.ask("POST", "/streams", {"prompt": prompt}, 201))["url"]

    async def test_control(self) -> None:
        """The watch notices what runs, and what a policy stops."""
        page = Resource()
        page.isLeaf = True
        policy: list[bytes] = []

        def render(request: Request) -> bytes:
            for value in policy:
                request.setHeader(b"content-security-policy", value)
            return b"<!doctype html><title>x</title>" + PAYLOADS[10].encode("ascii")

        page.render = render
        listening = reactor.listenTCP(0, Site(page), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        url = f"http://127.0.0.1:{listening.getHost().port}/"
        await self.open(url)
        await self.until("window.ran.includes('canary')")
        policy.append(b"default-src 'none'")
        await self.open(url)
        await self.until("window.ran.length >= 2")
        self.assertNotIn("canary", await self.script("return window.ran"))

    async def test_published(self) -> None:
        """Tokens, data and types of published events are shown as they are."""
        await self.ask("PUT", "/streams/news", status=201)
        await self.ask("POST", "/streams/news", [{"token": payload} for payload in PAYLOADS])
        types = [payload for payload in PAYLOADS if "\t" not in payload]
        await self.ask("POST", "/streams/news", [{"event": each, "data": each} for each in types])
        await self.ask("POST", "/streams/news", [{"data": json.dumps({each: each})} for each in PAYLOADS])
        await self.open(f"{self.url}/streams/news")
        await self.until(f"document.querySelectorAll('#text .event').length === {len(types) + len(PAYLOADS)}")
        shown = await self.script("return [...document.querySelectorAll('#text .event')].map(p => p.textContent)")
        self.assertEqual(shown, [f"{each} {each}" for each in types] + [json.dumps({p: p}) for p in PAYLOADS])
        self.assertTrue((await self.text()).startswith("".join(PAYLOADS)))
        await self.check()

    async def test_answer(self) -> None:
        """Questions, answers, reasoning and tool calls are shown as they are, or not at all; in every format."""
        question = "\n".join(PAYLOADS)
        path = await self.startRun(question)
        await self.open(f"{self.url}{path}")
        await self.untilState("finished")
        asked = await self.script("return document.querySelector('#turns .question').textContent")
        self.assertEqual(asked, question)
        # As Markdown, whose marks are not shown, and whose entities are characters.
        shown, written = (MARKS.sub("", unescape(text)) for text in (await self.text(), "".join(PAYLOADS)))
        self.assertEqual(shown, written)
        await self.check()
        for form in self.formats:
            await self.open(f"{self.url}{path}?format={form}")
            await self.check()

    async def test_errors(self) -> None:
        """Messages of an upstream's errors are shown as they are, but for white space."""
        for number in range(0, len(PAYLOADS), IN_ERROR):
            path = await self.startRun(str(number))
            await self.open(f"{self.url}{path}")
            await self.untilState("failed")
            shown = await self.script("return document.getElementById('verdict').textContent")
            for payload in PAYLOADS[number : number + IN_ERROR]:
                self.assertIn(" ".join(payload.split()), shown)
            await self.check()

    async def test_models(self) -> None:
        """Names of models are in JSON only, which Chromium does not take for a page."""
        await self.open(f"{self.url}/v1/models")
        self.assertIn("canary", await self.script("return document.body.innerText"))
        await self.check()
        answer = await self.ask("POST", "/v1/chat/completions", {"model": PAYLOADS[0], "messages": []}, 400)
        self.assertIn("error", answer)

    async def test_URLs(self) -> None:
        """Nothing of a URL runs in the page of a stream, in the page of an error, or in JSON."""
        for number in range(0, len(PAYLOADS), IN_URL):
            part = quote(" ".join(PAYLOADS[number : number + IN_URL]), safe="")
            await self.open(f"{self.url}/streams/{part}?last_event_id={part}&{part}={part}#{part}")
            await self.untilState("lost")
            await self.check()
            await self.open(f"{self.url}/streams/{part}?format={part}")
            self.assertIn("Bad Request", await self.script("return document.body.innerText"))
            await self.check()
        for path in ("streams?limit={}", "streams?before={}", "{}", "v1/models/{}", "api/chat/{}/stream", "assets/{}"):
            await self.open(f"{self.url}/{path.format(quote(' '.join(PAYLOADS), safe=''))}")
            await self.check()
