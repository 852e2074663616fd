"""
Readers of Durable Streams against a real server: the transport for the Vercel AI SDK and the client library, unchanged.
"""

from __future__ import annotations

import json
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from sseserver.apis.root import StreamResource
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.function import FunctionSource
from sseserver.sources.text import TextSource
from sseserver.stores.sqlite import SQLiteStore
from sseserver.streams.followed import FLUSH_TICK
from sseserver.values import Kind, NewEntry, Prompt
from sseserver.web.site import StreamSite
from tests.integration.cutanswers import CHUNKS, CUT, CutAnswersTestCase
from tests.integration.node import nodeFolder
from tests.integration.test_ai_resume import PARTS, plain

#: The transport is made for the second of these generations of the SDK, and reads with a client of its own version.
PACKAGES = [
    "@durable-streams/aisdk-transport@0.0.7",
    "client@npm:@durable-streams/client@0.2.7",
    "ai-5@npm:ai@5.0.277",
    "ai-6@npm:ai@6.0.326",
    "ai-7@npm:ai@7.0.173",
    "zod@4.4.2",
    "--legacy-peer-deps",
    "--ignore-scripts",
]

SCRIPT = (
    "const plainFetch = fetch;"
    + CUT.replace("await fetch(", "await plainFetch(")
    + """
import {createDurableChatTransport} from "@durable-streams/aisdk-transport";
import {DurableStream, stream as read} from "client";
console.error = console.warn = () => {};
// The client library rejects a promise that its own transport does not look at.
process.on("unhandledRejection", () => {});
const [base, what, given] = process.argv.slice(2), api = base + "/api/chat";
const versions = await Promise.all(["ai-5", "ai-6", "ai-7"].map(name => import(name)));
const headers = {Prefer: "respond-async"};
let chats = 0;
const ask = chatId => ({chatId, trigger: "submit-message", messageId: undefined, messages: [
    {id: "1", role: "user", parts: [{type: "text", text: chatId}]}
]});
const list = async stream => {
    const chunks = [];
    for await (const chunk of stream) chunks.push({...chunk, messageId: undefined});
    return JSON.parse(JSON.stringify(chunks));
};
const collect = async (version, chunks) => {
    let last;
    const stream = new ReadableStream({start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk);
        controller.close();
    }});
    for await (const message of version.readUIMessageStream({stream})) last = message;
    return {parts: last.parts, metadata: last.metadata};
};
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// Ends the first event streams after so many batches each, as a proxy with a time limit does.
const endAfter = (counts, seen) => async (...asked) => {
    const response = await plainFetch(...asked);
    if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return response;
    let left = counts[seen.length] ?? Infinity, text = "";
    seen.push(String(asked[0]));
    const decoder = new TextDecoder(), encoder = new TextEncoder();
    const cutter = new TransformStream({transform(data, controller) {
        text += decoder.decode(data, {stream: true});
        for (let end; left > 0 && (end = text.indexOf("\\n\\n")) >= 0;) {
            const event = text.slice(0, end + 2);
            text = text.slice(end + 2);
            if (/^event: control/m.test(event)) left--;
            controller.enqueue(encoder.encode(event));
        }
        if (left <= 0) controller.terminate();
    }});
    return new Response(response.body.pipeThrough(cutter), {status: response.status, headers: response.headers});
};

const answer = async () => {
    const told = {messages: [], same: true, nothing: [], usual: []};
    let first;
    for (const more of [{}, headers]) {
        const transport = createDurableChatTransport({api, headers: more}), chatId = `chat-${++chats}`;
        const chunks = await list(await transport.sendMessages(ask(chatId)));
        first ??= chunks;
        told.same &&= isSame(chunks, first);
        told.nothing.push(await transport.reconnectToStream({chatId}));
    }
    for (const version of versions) {
        told.messages.push(await collect(version, first));
        const transport = new version.DefaultChatTransport({api});
        told.usual.push(isSame(await list(await transport.sendMessages(ask(`chat-${++chats}`))), first));
    }
    return told;
};

const cuts = async () => {
    const told = {ended: [], broken: 0, resumed: 0, wrong: []};
    const send = chatId => createDurableChatTransport({api, headers}).sendMessages(ask(chatId));
    const first = await list(await send(`chat-${++chats}`));
    told.message = await collect(versions[1], first);
    // At the third connection in a row that lasts less than a second, the client library gives up.
    for (let count = 1, isCut = true; isCut; count++) {
        const seen = [];
        globalThis.fetch = endAfter([count, 1], seen);
        if (!isSame(await list(await send(`chat-${++chats}`)), first)) told.wrong.push(`ended ${count}`);
        globalThis.fetch = plainFetch;
        isCut = seen.length > 1;
        told.ended.push(new Set(seen).size);
    }
    for (let at = 0, isCut = true; isCut; at++) {
        const chatId = `chat-${++chats}`, got = [];
        // The POST, the first page, the events.
        globalThis.fetch = cut(number => number === 2 ? at : undefined, true);
        const reading = send(chatId).then(async stream => { for await (const chunk of stream) got.push(chunk); });
        isCut = await reading.then(() => false, () => true);
        globalThis.fetch = plainFetch;
        const again = await createDurableChatTransport({api, headers}).reconnectToStream({chatId});
        if (again !== null) {
            told.resumed++;
            if (!isSame(await list(again), first)) told.wrong.push(`resumed ${at}`);
        }
        if (!isSame(await list(got), first.slice(0, got.length))) told.wrong.push(`broken ${at}`);
        if (isCut) told.broken++;
        else if (got.length !== first.length) told.wrong.push("not whole");
    }
    return told;
};

// Follows an answer from its start, and returns the places that the events tell of.
const findPlaces = async () => {
    const body = JSON.stringify({id: "chat", messages: ask("Hello").messages});
    const more = {...headers, "Content-Type": "application/json"};
    const started = await plainFetch(api, {method: "POST", body, headers: more});
    const url = base + (await started.json()).streamUrl, offsets = [];
    let count = 0;
    for (const event of (await (await plainFetch(`${url}?offset=-1&live=sse`)).text()).split("\\n\\n")) {
        const [type, data] = event.split("\\n").slice(-2);
        if (type === "event: data") count = JSON.parse(data.slice(6)).length;
        else if (type === "event: control") {
            offsets.push({offset: JSON.parse(data.slice(6)).streamNextOffset, count});
            count = 0;
        }
    }
    return {path: new URL(url).pathname, offsets};
};

const modes = async () => {
    const places = given ? JSON.parse(given) : await findPlaces(), url = base + places.path, wrong = [];
    const follow = async (live, offset) => {
        const items = [];
        const found = await read({url, live, offset, json: true});
        for await (const item of found.jsonStream()) items.push(item);
        return items;
    };
    const whole = await (await read({url, live: false})).json();
    let before = 0;
    for (const {offset, count} of [{offset: "-1", count: 0}, ...places.offsets]) {
        before += count;
        for (const live of [false, true, "long-poll", "sse"]) {
            if (!isSame(await follow(live, offset), whole.slice(before))) wrong.push(`${live} after ${offset}`);
        }
    }
    const {offset, contentType, streamClosed} = await new DurableStream({url}).head();
    const status = await read({url: url + "x", live: false}).catch(error => error.status);
    return {wrong, whole, places, head: {offset, contentType, closed: streamClosed}, status};
};

const live = async () => {
    const items = [];
    const found = await read({url: `${base}/durable/${given}`, live: "sse", json: true});
    for await (const item of found.jsonStream()) items.push(item);
    return items;
};

// The answer to a POST that nobody reads would hold its connection, and the process.
process.stdout.write(JSON.stringify(await {answer, cuts, modes, live}[what]()), () => process.exit());
"""
)


class DurableTests(CutAnswersTestCase):
    """The clients of Durable Streams."""

    def setUp(self) -> None:
        self.folder = nodeFolder(SCRIPT, *PACKAGES)

    def makePaced(self) -> ITokenSource:
        """Make a source that writes `CHUNKS`, each in a flush tick of its own."""

        async def write(sink: ITokenSink, prompt: Prompt | None) -> str:
            for one in CHUNKS:
                await deferLater(reactor, 1.5 * FLUSH_TICK)
                choices = json.loads(one)["choices"]
                sink.writeChunk(one, (choices and choices[0]["delta"].get("content")) or "")
            await deferLater(reactor, 4 * FLUSH_TICK)
            return "tool_calls"

        return FunctionSource(write, takesPrompt=True, model="paced")

    async def test_answer(self) -> None:
        """The transport gets whole answers, with `Prefer` and without; those of the SDK do, too."""
        await self.serve(self.makePaced())
        told = await self.runScript("answer")
        self.assertEqual((told["same"], told["nothing"], told["usual"]), (True, [None, None], [True, True, True]))
        for message in told["messages"]:
            self.assertEqual(plain(message), PARTS)
            self.assertEqual(message["metadata"]["usage"]["totalTokens"], 12)

    async def test_cuts(self) -> None:
        """
        Wherever a connection ends, the transport goes on over others, with nothing lost or doubled.

        Wherever one breaks, the page resumes the chat.
        """
        await self.serve(self.makePaced())
        told = await self.runScript("cuts")
        self.assertEqual(told["wrong"], [])
        self.assertEqual(plain(told["message"]), PARTS)
        self.assertEqual((told["ended"][0], told["ended"][-1]), (3, 1))
        self.assertGreater(len(told["ended"]), len(CHUNKS) // 2)
        self.assertGreater(told["broken"], len(CHUNKS))
        self.assertGreater(told["resumed"], len(CHUNKS))

    async def test_modes(self) -> None:
        """The client library reads a stream from each of its offsets, in each mode, before and after a restart."""
        self.start(self.makePaced())
        places: str | None = None
        for _ in range(2):
            told = await self.runScript("modes", *([] if places is None else [places]))
            self.assertEqual((told["wrong"], told["status"]), ([], 404))
            self.assertEqual([each["type"] for each in told["whole"][-2:]], ["finish-step", "finish"])
            self.assertGreater(len(told["places"]["offsets"]), len(CHUNKS) // 2)
            last = told["places"]["offsets"][-1]["offset"]
            self.assertEqual(told["head"], {"offset": last, "contentType": "application/json", "closed": True})
            places = json.dumps(told["places"])
            await self.restart()

    async def test_live(self) -> None:
        """A reader goes on by itself after a restart of the server."""
        self.start(TextSource(reactor, "unused"))
        await self.service.open("news")
        await self.publish("One ")
        reading = Deferred.fromCoroutine(self.runScript("live", "news"))
        await self.until(lambda: self.service.viewers.count or reading.called)
        await self.publish("two ")
        await self.restart()
        await self.until(lambda: self.service.viewers.count or reading.called)
        await self.publish("three.", close=True)
        items = await reading
        self.assertEqual([item["delta"] for item in items if "delta" in item], ["One ", "two ", "three."])
        self.assertEqual((items[0]["type"], items[-1]["type"]), ("start", "finish"))

    async def publish(self, text: str, close: bool = False) -> None:
        """Publish a token into the stream `news`."""
        await self.service.publish("news", [NewEntry(Kind.TOKEN, text.encode())], close)

    def start(self, source: ITokenSource, port: int = 0) -> None:
        """Start a server that keeps its streams in a file. The test stops it at its end."""
        if not port:
            self.path = str(Path(self.mktemp()).resolve())
            self.addCleanup(self.stop)
        settings = Settings(heartbeat=0.25, drain=0)
        store = SQLiteStore(reactor, self.path, settings.window)
        self.source, self.service = source, StreamService(reactor, source, settings, store)
        self.service.startService()
        self.listening = reactor.listenTCP(port, StreamSite(StreamResource(self.service)), interface="127.0.0.1")
        self.port = self.listening.getHost().port

    async def stop(self) -> None:
        """Stop it. A client that returns would find its connection open."""
        await self.listening.stopListening()
        await self.service.stopService()
        for each in self.connections():
            each.loseConnection()
        await self.until(lambda: not self.connections())

    async def restart(self) -> None:
        """Stop it, and start another one with the same file at the same port."""
        await self.stop()
        self.start(self.source, self.port)
