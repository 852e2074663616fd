"""
The Vercel AI SDK of three generations against a real server: whole answers of every source, cut at every part.
"""

from __future__ import annotations

import json
from typing import Any

from tests.integration.cutanswers import CHUNKS, CUT, TEXT, CutAnswersTestCase
from tests.integration.node import nodeFolder

#: The first release that reads this protocol strictly, and the newest of each generation. `ai-7` and the workflow
#: package ask for Node 22, and run on 20.
VERSIONS = ["ai-first", "ai-5", "ai-6", "ai-7"]
PACKAGES = [
    "ai-first@npm:ai@5.0.0",
    "ai-5@npm:ai@5.0.277",
    "ai-6@npm:ai@6.0.326",
    "ai-7@npm:ai@7.0.173",
    "@ai-sdk/workflow@2.0.43",
    "zod@4.4.2",
    # The peers of the workflow package are ten times as much, and nothing of them is used here.
    "--legacy-peer-deps",
    "--ignore-scripts",
]

SCRIPT = (
    CUT
    + """
import {WorkflowChatTransport} from "@ai-sdk/workflow/client";
console.error = () => {};
const [base, what, names] = process.argv.slice(2), api = base + "/api/chat";
const versions = await Promise.all(JSON.parse(names).map(name => import(name)));
let chats = 0;
const ask = (chatId, body) => ({chatId, body, trigger: "submit-message", messageId: undefined, messages: [
    {id: "1", role: "user", parts: [{type: "text", text: chatId}]}
]});
const collect = async (version, stream) => {
    let last;
    for await (const message of version.readUIMessageStream({stream})) last = message;
    return {parts: last.parts, metadata: last.metadata};
};
const list = async stream => {
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return chunks;
};

const workflow = async () => {
    const id = `chat-${++chats}`, plain = new WorkflowChatTransport({api});
    const whole = await list(await plain.sendMessages(ask(id, {id})));
    const told = {chunks: whole, cuts: 0, wrong: [], messages: []};
    const check = (name, messages) => {
        told.cuts++;
        const expected = JSON.stringify(messages[0]);
        if (messages.some(message => JSON.stringify(message) !== expected)) told.wrong.push(name);
        told.messages.push(messages[0]);
    };
    for (const version of versions) {
        const send = async (limit, isBroken) => {
            const fetch = cut(limit, isBroken), transport = new WorkflowChatTransport({api, fetch});
            return await collect(version, await transport.sendMessages(ask("unused")));
        };
        const messages = [];
        for (let at = 0; at < whole.length; at++) {
            messages.push(await send(number => number ? undefined : at, true));
            messages.push(await send(number => number ? undefined : at, false));
        }
        messages.push(await send(() => 1, false));
        check("cut", messages);
    }
    // From the end: all parts, which are cut again and again; the last one alone; and the header that counts them.
    const seen = [], fetch = cut(() => 2, false, seen), again = new WorkflowChatTransport({api, fetch});
    const tail = await list(await again.reconnectToStream({chatId: id, startIndex: -whole.length}));
    told.tail = JSON.stringify(tail) === JSON.stringify(whole);
    told.indexes = seen.map(({url}) => Number(new URL(url).searchParams.get("startIndex")));
    told.counted = seen[0].headers.get("x-workflow-stream-tail-index");
    told.last = await list(await plain.reconnectToStream({chatId: id, startIndex: -1}));
    return told;
};

const held = async () => {
    const told = [];
    for (const version of versions) {
        const messages = [];
        for (let at = 0, count = 1; at < count; at++) {
            const chatId = `held-${++chats}`;
            const broken = new version.DefaultChatTransport({api, fetch: cut(() => at, true)});
            await collect(version, await broken.sendMessages(ask(chatId))).catch(() => {});
            const resumed = await new version.DefaultChatTransport({api}).reconnectToStream({chatId});
            const [first, second] = resumed.tee();
            const both = Promise.all([collect(version, first), list(second)]);
            await fetch(`${base}/streams/${chatId}`, {method: "PUT"});
            const [message, chunks] = await both;
            messages.push(JSON.stringify(message));
            // The parts of the end come after the cut.
            count = chunks.findLastIndex(chunk => chunk.type === "tool-input-delta") + 1;
        }
        told.push({cuts: messages.length, different: new Set(messages).size, message: JSON.parse(messages[0])});
    }
    return told;
};

process.stdout.write(JSON.stringify(await {workflow, held}[what]()));
"""
)

#: The answer of the upstream as the SDK keeps it, but for what differs between its versions.
PARTS = [
    {"type": "step-start"},
    {"type": "reasoning", "text": "Let me see.", "state": "done"},
    {"type": "text", "text": "It is twelve.", "state": "done"},
    {"type": "source-url", "sourceId": "source-0", "url": "https://example.org/", "title": "Example"},
    {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AA=="},
    {"type": "tool-look", "toolCallId": "call_a", "state": "input-available", "input": {"a": 1}},
    {"type": "tool-find", "toolCallId": "call_b", "state": "input-available", "input": {}},
]


def plain(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a message, without members that only some versions have."""
    kept = {"type", "text", "state", "sourceId", "url", "title", "mediaType", "toolCallId", "input"}
    return [{name: value for name, value in part.items() if name in kept} for part in message["parts"]]


class ResumeTests(CutAnswersTestCase):
    """Transports of the SDK whose connections are cut."""

    def setUp(self) -> None:
        self.folder = nodeFolder(SCRIPT, *PACKAGES)

    async def checkWorkflow(self, name: str) -> dict[str, Any]:
        """Check that `WorkflowChatTransport` gets the whole answer of a source, wherever it is cut."""
        await self.serve(self.makeSources()[name]())
        told: dict[str, Any] = await self.runScript("workflow", json.dumps(VERSIONS))
        self.assertEqual((told["wrong"], told["cuts"], told["tail"]), ([], len(VERSIONS), True))
        count = len(told["chunks"])
        self.assertEqual(told["counted"], str(count - 1))
        self.assertEqual(told["indexes"], [-count, *range(2, count, 2)])
        self.assertEqual([chunk["type"] for chunk in told["last"]], ["finish"])
        return told

    async def checkText(self, name: str) -> None:
        """Check the answer of a source that has nothing but text."""
        told = await self.checkWorkflow(name)
        for message in told["messages"]:
            self.assertEqual(plain(message), [{"type": "step-start"}, {"type": "text", "text": TEXT, "state": "done"}])

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
        """An upstream: reasoning, text, a source, a file, two tool calls and the usage."""
        told = await self.checkWorkflow("upstream")
        for message in told["messages"]:
            self.assertEqual(plain(message), PARTS)
            self.assertEqual(message["metadata"]["finishReason"], "tool-calls")
            self.assertEqual(message["metadata"]["usage"]["totalTokens"], 12)
        self.assertTrue(self.upstream.asked[0].json["stream_options"]["include_usage"])

    async def test_default(self) -> None:
        """`DefaultChatTransport` resumes an answer that goes on from its start, wherever it was cut."""
        await self.serve(self.makeHeld())
        told = await self.runScript("held", json.dumps(VERSIONS))
        for seen in told:
            self.assertEqual(plain(seen["message"]), PARTS)
            self.assertEqual(seen["different"], 1)
            self.assertGreater(seen["cuts"], len(CHUNKS))
