"""
Pages of other origins in a browser: a page of a Vite dev server, with the clients that such pages use, and the page of
an attacker who points his host name to our server.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from tests.integration.browser import REBOUND, BrowserTestCase
from tests.integration.node import nodeFolder
from tests.integration.serverprocess import ServerProcess
from tests.integration.servers import PATIENCE, freePort

#: With fixed versions: a new release must not fail our tests.
PACKAGES = ["vite@6.4.6", "openai@6.9.0", "ai@6.0.0"]

TEXT = "One two three."

#: The page. It uses the server that its fragment names, and keeps what each client has got of it.
SCRIPT = """
import OpenAI from "openai";
import {DefaultChatTransport, readUIMessageStream} from "ai";

const server = decodeURIComponent(location.hash.slice(1));
const json = {"Content-Type": "application/json"};
const messages = [{role: "user", content: "Hello"}];
const client = () => new OpenAI({
    baseURL: `${server}/v1`, apiKey: "none", dangerouslyAllowBrowser: true, maxRetries: 0, organization: "org",
});

const clients = {
    fetch: async () => {
        const made = await fetch(`${server}/streams`, {method: "POST", headers: {...json, "Idempotency-Key": "k"}});
        const url = new URL(made.headers.get("location"), server);
        const read = async headers => (await fetch(url, {headers, cache: "no-store"})).text();
        const events = await read({Accept: "text/event-stream", "Last-Event-ID": "x-1"});
        const missing = await fetch(`${server}/streams/missing`, {headers: {Accept: "application/json"}});
        return [made.status, events.includes("event: gap"), await read({Accept: "text/plain"}),
            (await missing.json()).error.code];
    },
    publish: async () => {
        const url = `${server}/streams/news`;
        const change = async (method, rest) => (await fetch(url, {method, ...rest})).status;
        return [await change("PUT"), await change("POST", {headers: json, body: '{"token": "Hello"}'}),
            (await fetch(`${url}/cancel`, {method: "POST"})).status, await change("DELETE")];
    },
    events: () => read(new EventSource(`${server}/`)),
    credentials: () => read(new EventSource(`${server}/`, {withCredentials: true})),
    openai: async () => {
        const models = await client().models.list();
        const {data, response} = await client().chat.completions.create({model: "sseserver", messages, stream: true})
            .withResponse();
        let text = "";
        for await (const chunk of data) text += chunk.choices[0]?.delta?.content ?? "";
        return [models.data.length, response.headers.has("x-request-id"), text];
    },
    refused: async () => {
        const asked = client().chat.completions.create({model: "another", messages});
        return [await asked.catch(error => error.status)];
    },
    ai: async () => {
        const stream = await new DefaultChatTransport({api: `${server}/api/chat`}).sendMessages({
            chatId: "chat-1", trigger: "submit-message", messageId: undefined,
            messages: [{id: "1", role: "user", parts: [{type: "text", text: "Hello"}]}],
        });
        let last;
        for await (const message of readUIMessageStream({stream})) last = message;
        return [last.parts.filter(part => part.type === "text").map(part => part.text).join("")];
    },
};

const read = source => new Promise((resolve, reject) => {
    let text = "";
    source.onmessage = event => { text = event.data; };
    source.addEventListener("done", () => { source.close(); resolve([text]); });
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) reject(new Error("closed")); };
});

const got = {};
for (const [name, use] of Object.entries(clients)) {
    got[name] = await use().catch(error => `${error.name}`);
}
window.got = got;
"""

PAGE = '<!doctype html><meta charset="utf-8"><title>App</title><script type="module" src="/main.js"></script>'

#: The results of all clients if the server lists the origin of the page.
EVERYTHING = {
    "fetch": [201, True, TEXT, "stream_not_found"],
    "publish": [201, 200, 200, 204],
    "events": [TEXT],
    "credentials": [TEXT],
    "openai": [1, True, TEXT],
    "refused": [404],
    "ai": [TEXT],
}


class ViteServer(ProcessProtocol):
    """
    The dev server of Vite, in a folder with a page.

    Attributes:
        url: Its URL; `None` until it listens.
        ended: Fires when it has ended.
    """

    def __init__(self, folder: Path) -> None:
        self.url: str | None = None
        self.ended: Deferred[None] = Deferred()
        self.output = ""
        # The next port is taken if another program has this one.
        arguments = ["node", "node_modules/vite/bin/vite.js", "--port", "5173", "--host", "localhost"]
        self.process = reactor.spawnProcess(self, "/usr/bin/env", ["env", *arguments], None, str(folder))

    async def begin(self) -> str:
        """Wait until it listens, and return its URL."""
        deadline = reactor.seconds() + PATIENCE
        while self.url is None:
            assert reactor.seconds() < deadline, self.output
            await deferLater(reactor, 0.05)
        return self.url

    async def stop(self) -> None:
        """Stop it."""
        self.process.signalProcess("KILL")
        await self.ended

    def outReceived(self, data: bytes) -> None:
        self.output += re.sub(r"\x1b\[[0-9;]*m", "", data.decode())
        found = re.search(r"(http://localhost:\d+)/", self.output)
        self.url = found[1] if found else None

    errReceived = outReceived

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(None)


class ServerTestCase(BrowserTestCase):
    """A browser, and servers in processes of their own."""

    async def startServer(self, *options: str, port: int | None = None) -> str:
        """Start a server with these options, and return its origin."""
        server = ServerProcess(port or freePort(), self.folder, list(options))
        self.addCleanup(lambda: Deferred.fromCoroutine(server.kill()))
        await server.start(0)
        return f"http://localhost:{server.port}"


class PageTests(ServerTestCase):
    """A page of a Vite dev server."""

    async def setUp(self) -> None:
        folder = nodeFolder(SCRIPT, *PACKAGES)
        await super().setUp()
        (folder / "index.html").write_text(PAGE, "ascii")
        self.text = Path(self.folder, "text.txt")
        self.text.write_text(TEXT, "ascii")
        vite = ViteServer(folder)
        self.addCleanup(lambda: Deferred.fromCoroutine(vite.stop()))
        self.app = await vite.begin()

    async def use(self, server: str) -> dict[str, Any]:
        """Let the page use a server; return what its clients have got."""
        await self.openWindow(f"{self.app}/#{server}")
        await self.until("window.got", PATIENCE)
        got: dict[str, Any] = json.loads(await self.script("return JSON.stringify(window.got)"))
        return got

    async def test_F86_page(self) -> None:
        """
        F86: with one option every client works in a page of another origin: fetch, EventSource, OpenAI's and Vercel's.
        Without it none does, and nothing has happened.
        """
        text = ("--text", str(self.text))
        self.assertEqual(await self.use(await self.startServer(*text, "--cors-origin", self.app)), EVERYTHING)
        refusing = await self.startServer(*text)
        got = await self.use(refusing)
        self.assertEqual(got.keys(), EVERYTHING.keys())
        for name, result in got.items():
            self.assertIn(result, ["TypeError", "Error", [None]], name)
        await self.open(f"{refusing}/streams")
        self.assertEqual(json.loads(await self.script("return document.body.innerText"))["streams"], [])

    async def test_F68_simple(self) -> None:
        """F67 to F72: requests that a browser sends without asking the server before are refused as well."""
        server = await self.startServer("--text", str(self.text))
        await self.open(f"{self.app}/#{server}")
        await self.script(
            f"""
            const server = "{server}", sent = {{method: "POST", mode: "no-cors"}};
            window.sent = Promise.allSettled([
                fetch(`${{server}}/streams`, sent), fetch(`${{server}}/api/chat`, {{...sent, body: "{{}}"}}),
                fetch(`${{server}}/streams`, {{...sent, body: new URLSearchParams("prompt=x")}}),
                new Promise(done => {{
                    const image = document.createElement("img");
                    image.onerror = image.onload = done;
                    image.src = `${{server}}/?format=text`;
                    document.body.append(image);
                }}),
            ]).then(() => {{ window.over = true; }});
            """
        )
        await self.until("window.over")
        await self.open(f"{server}/streams")
        self.assertEqual(json.loads(await self.script("return document.body.innerText"))["streams"], [])


class Prize(Resource):
    """The page of an attacker."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """Answer with the page."""
        return b"<!doctype html><p>Win a prize!"


class RebindingTests(ServerTestCase):
    """An attacker's host name that points to his server first, and to ours when his page is open."""

    async def attack(self, *options: str) -> int:
        """Let the page of the attacker open a stream on a server with these options; return the status that it sees."""
        port = freePort()
        listening = reactor.listenTCP(port, Site(Prize()))
        await self.openWindow(f"http://{REBOUND}:{port}/")
        # The connection that the browser keeps would go on to be the attacker's.
        for reader in reactor.getReaders():
            if getattr(reader, "factory", None) is None and hasattr(reader, "abortConnection"):
                reader.abortConnection()
        await listening.stopListening()
        await self.startServer(*options, port=port)
        await self.script(
            "fetch('/streams/mine', {method: 'PUT'}).then(answer => { window.status = `${answer.status}`; })"
        )
        await self.until("/^[0-9]/.test(window.status)")
        return int(await self.script("return window.status"))

    async def test_F73_rebinding(self) -> None:
        """F73: for the browser the page has the origin of our server, which does not answer to its host."""
        self.assertEqual(await self.attack(), 421)
        self.assertEqual(await self.attack("--host", "*"), 201)
