"""
Clients of AG-UI against a real server: `@ag-ui/client`, `@tanstack/ai-client`, and the validator `ag-ui-validate`.

Whole answers of every source, cut at every event.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.cutanswers import CUT, TEXT, CutAnswersTestCase
from tests.integration.guides import EXAMPLES, Follower, needModules
from tests.integration.node import installNode, missing, nodeFolder
from tests.integration.servers import ask

#: The newest releases.
PACKAGES = ["@ag-ui/client@1.0.0", "@tanstack/ai-client@0.33.2"]

SCRIPT = (
    CUT
    + (EXAMPLES / "agui" / "resume.js").read_text("ascii").replace("export function", "function")
    + """
import {HttpAgent} from "@ag-ui/client";
import {ChatClient, fetchServerSentEvents} from "@tanstack/ai-client";
console.warn = () => {};
const url = process.argv[2] + "/agui", messages = [{id: "1", role: "user", content: "Hello"}];
let runs = 0;

// The same for each run, but for the IDs that it has of its own.
const plain = (value, run) =>
    JSON.stringify(value).replaceAll(run, "run").replaceAll(/[A-Za-z0-9]{22}(?=[-."])/g, "epoch");

const told = {};
const compare = (name, all) => {
    told[name] = {cuts: all.length, different: new Set(all).size, first: JSON.parse(all[0])};
};

const tanstack = async (limit, isBroken) => {
    const runId = `tanstack-${++runs}`, chunks = [], seen = [];
    const connection = fetchServerSentEvents(url, {
        fetchClient: cut(limit, isBroken, seen), reconnect: {delayMs: 0, maxAttempts: 5},
    });
    const context = {threadId: "thread", runId};
    for await (const chunk of connection.connect(messages, {}, undefined, context)) chunks.push(chunk);
    if (seen.some(({status}) => status !== 200)) throw new Error("refused");
    return {runId, chunks, requests: seen.length};
};
const whole = await tanstack(() => undefined, false), count = whole.chunks.length;
const pages = [plain(whole.chunks, whole.runId)];
for (let at = 1; at < count; at++) {
    for (const isBroken of [true, false]) {
        const {runId, chunks} = await tanstack(number => number ? undefined : at, isBroken);
        pages.push(plain(chunks, runId));
    }
}
const dropping = await tanstack(() => 1, false);
pages.push(plain(dropping.chunks, dropping.runId));
compare("tanstack", pages);
told.requests = [dropping.requests, count];

// A second page joins the run, and loses its connection again and again.
const joined = [];
const second = fetchServerSentEvents(url, {fetchClient: cut(() => 2, false), reconnect: {delayMs: 0}});
for await (const chunk of second.joinRun(whole.runId)) joined.push(chunk);
told.joined = plain(joined, whole.runId) === pages[0];

// What a page shows.
const chats = [];
for (let at = 1; at < count; at++) {
    const fetchClient = cut(number => number ? undefined : at, true);
    const client = new ChatClient({connection: fetchServerSentEvents(url, {fetchClient, reconnect: {delayMs: 0}})});
    await client.sendMessage("Hello");
    chats.push(plain(client.getMessages().at(-1).parts, "none"));
}
compare("chats", chats);

const agents = [];
const send = async fetch => {
    const agent = new HttpAgent({url, threadId: "thread", initialMessages: messages, fetch}), runId = `agent-${++runs}`;
    const events = [];
    await agent.runAgent({runId}, {onEvent: ({event}) => { events.push(event); }});
    agents.push(plain({events, messages: agent.messages.slice(1)}, runId));
};
await send(undefined);
for (let at = 0; at < count; at++) {
    for (const isBroken of [true, false]) {
        await send(resumingFetch(cut(number => number ? undefined : at, isBroken), 0));
    }
}
compare("agents", agents);
process.stdout.write(JSON.stringify(told));
"""
)


class AGUITests(CutAnswersTestCase):
    """Clients whose connections are cut."""

    def setUp(self) -> None:
        self.folder = nodeFolder(SCRIPT, *PACKAGES)

    async def check(self, name: str) -> dict[str, Any]:
        """Check that the clients get the whole answer of a source, wherever they are cut."""
        await self.serve(self.makeSources()[name]())
        told: dict[str, Any] = await self.runScript()
        for client in ("tanstack", "chats", "agents"):
            self.assertEqual((client, told[client]["different"]), (client, 1))
            self.assertGreater(told[client]["cuts"], 3)
        self.assertTrue(told["joined"])
        requests, count = told["requests"]
        # The last response has the end of the run alone.
        self.assertEqual(requests, count)
        await self.validate()
        return told

    async def validate(self) -> None:
        """Check the events of a new run with the validator and the models of AG-UI."""
        needModules("ag_ui_validate", "ag_ui")
        from ag_ui.core import Event
        from ag_ui_validate.pytest_plugin import assert_valid_agui
        from pydantic import TypeAdapter

        body = {"threadId": "t", "runId": "valid", "messages": [{"id": "1", "role": "user", "content": "Hello"}]}
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        answer = await deferToThread(ask, self.port, "POST", "/agui", headers, json.dumps(body).encode())
        events = [json.loads(line[6:]) for line in answer[2].decode().split("\n") if line.startswith("data: ")]
        assert_valid_agui(events, max_warnings=0)
        for event in events:
            TypeAdapter(Event).validate_python(event)

    async def checkText(self, name: str) -> None:
        """Check the answer of a source that has nothing but text."""
        told = await self.check(name)
        [message] = told["agents"]["first"]["messages"]
        self.assertEqual((message["role"], message["content"]), ("assistant", TEXT))
        [part] = told["chats"]["first"]
        self.assertEqual((part["type"], part["content"]), ("text", TEXT))

    async def test_text(self) -> None:
        """The built-in text."""
        await self.checkText("text")

    async def test_program(self) -> None:
        """A program."""
        await self.checkText("program")

    async def test_generator(self) -> None:
        """A generator."""
        await self.checkText("generator")

    async def test_upstream(self) -> None:
        """An upstream: reasoning, text, a citation, a picture, two tool calls and the usage."""
        told = await self.check("upstream")
        reasoning, answer = told["agents"]["first"]["messages"]
        self.assertEqual((reasoning["role"], reasoning["content"]), ("reasoning", "Let me see."))
        self.assertEqual((answer["role"], answer["content"]), ("assistant", "It is twelve."))
        calls = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in answer["toolCalls"]]
        self.assertEqual(calls, [("call_a", "look", '{"a":1}'), ("call_b", "find", "")])
        events = told["agents"]["first"]["events"]
        self.assertEqual([event["name"] for event in events if event["type"] == "CUSTOM"], ["citation", "image"])
        self.assertEqual(events[-1]["usage"][0]["totalTokens"], 12)


class GuideTests(SynchronousTestCase):
    """The guides for AG-UI and for the Vercel AI SDK, docs/guides/agui.md and docs/guides/aisdk.md."""

    def check(self, page: str, *packages: str) -> None:
        """Follow a guide; its last command succeeds. More packages, or options of npm, may be needed."""
        reader = Follower(page)
        self.addCleanup(reader.end)
        problem = installNode(reader.folder, *packages)
        if problem is not None:
            raise missing(problem)
        reader.follow(page)
        self.assertNotIn("Traceback", reader.readLogs())

    def test_agui(self) -> None:
        """AG-UI."""
        self.check("agui")

    def test_aisdk(self) -> None:
        """The Vercel AI SDK."""
        # See the packages of tests/integration/test_ai_resume.py.
        self.check("aisdk", "zod@4.4.2", "--legacy-peer-deps", "--ignore-scripts")
