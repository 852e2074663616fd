"""
npm's package `ai`, the Vercel AI SDK, against a real server.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server as ServerTransport
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sseserver.apis.root import StreamResource
from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink
from sseserver.service.service import Settings, StreamService
from sseserver.sources.function import FunctionSource
from sseserver.values import Prompt
from sseserver.web.site import StreamSite
from tests.integration.node import nodeFolder

#: The first release that reads this protocol strictly, and a later one; both run on Node 18.
PACKAGES = ["first@npm:ai@5.0.0", "later@npm:ai@6.0.0"]

#: A page with a chat. It does as it is told, and prints the state that its user would see.
SCRIPT = """
const [api, names, texts] = process.argv.slice(2);
const page = async ({AbstractChat, DefaultChatTransport, readUIMessageStream}, text) => {

    // What a framework makes of a chat's state.
    class State {
        constructor() { this.messages = []; this.status = "ready"; this.error = undefined; }
        pushMessage = message => { this.messages = [...this.messages, message]; };
        popMessage = () => { this.messages = this.messages.slice(0, -1); };
        replaceMessage = (index, message) => {
            this.messages = this.messages.map((known, at) => at === index ? message : known);
            this.onReplace?.(message);
        };
        snapshot = value => structuredClone(value);
    }
    class Chat extends AbstractChat {}

    let url;
    const makeChat = (state, more = {}) => new Chat({
        id: "chat-1", state, ...more,
        transport: new DefaultChatTransport({api, fetch: async (...asked) => {
            const response = await fetch(...asked);
            url = response.headers.get("content-location") && new URL(response.headers.get("content-location"), api);
            return response;
        }}),
    });
    const textOf = message => message?.parts.filter(part => part.type === "text").map(part => part.text).join("");
    const first = (state, act) => { state.onReplace = message => {
        if (textOf(message)) { state.onReplace = undefined; act(); }
    }; };
    const cancel = () => fetch(`${url}/cancel`, {method: "POST"});
    const ended = {};
    const onFinish = ({isAbort, isError, isDisconnect}) => Object.assign(ended, {isAbort, isError, isDisconnect});
    const state = new State(), chat = makeChat(state, {onFinish});

    if (text === "resumes") {
        first(state, () => chat.stop());
        await chat.sendMessage({text: "forever"});
        const reloaded = new State(), second = makeChat(reloaded);
        first(reloaded, cancel);
        await second.resumeStream();
        const finished = new State();
        await makeChat(finished).resumeStream();
        ended.resumed = textOf(reloaded.messages.at(-1)).startsWith("and so on, and");
        ended.status = reloaded.status;
        ended.none = finished.messages.length;
    } else if (text === "transport") {
        const stream = await new DefaultChatTransport({api}).sendMessages({
            chatId: "chat-2", trigger: "submit-message", messageId: undefined,
            messages: [{id: "1", role: "user", parts: [{type: "text", text: "words"}]}],
        });
        let last;
        for await (const message of readUIMessageStream({stream})) last = message;
        const states = last.parts.map(part => part.state ?? part.type);
        Object.assign(ended, {text: textOf(last), id: last.id, states});
    } else {
        if (text === "forever") first(state, cancel);
        await chat.sendMessage({text});
        Object.assign(ended, {text: textOf(state.messages.at(-1)), error: state.error?.message, status: state.status,
            roles: state.messages.map(message => message.role)});
    }
    return ended;
};

const seen = [];
for (const text of JSON.parse(texts)) {
    const pages = [];
    for (const name of JSON.parse(names)) pages.push(await page(await import(name), text));
    seen.push(pages);
}
process.stdout.write(JSON.stringify(seen));
"""

WORDS = ["One ", "two\r", "\n", "\u2028drei", " \U0001f600"]


class AITests(TestCase):
    """Pages in Node, the server in the reactor."""

    timeout = 300

    def setUp(self) -> None:
        self.folder = nodeFolder(SCRIPT, *PACKAGES)
        self.prompts: list[Prompt] = []
        source = FunctionSource(self.answer, takesPrompt=True, model="answers")
        self.service = StreamService(reactor, source, Settings(heartbeat=0.25, drain=0))
        self.service.startService()
        self.port = reactor.listenTCP(0, StreamSite(StreamResource(self.service)), interface="127.0.0.1")

    async def tearDown(self) -> None:
        await self.until(lambda: not [each for each in reactor.getReaders() if isinstance(each, ServerTransport)])
        await self.port.stopListening()
        await self.service.stopService()

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the reactor run until a condition holds."""
        end = reactor.seconds() + 60
        while not condition():
            self.assertLess(reactor.seconds(), end, "It does not come about.")
            await deferLater(reactor, 0.005)

    async def answer(self, sink: ITokenSink, prompt: Prompt | None) -> None:
        """Answer as the prompt says."""
        assert prompt is not None
        self.prompts.append(prompt)
        # Longer than a heartbeat interval: heartbeats are no parts of a message.
        await deferLater(reactor, 0.4)
        if prompt.text == "busy":
            raise SourceError("Too many requests.", "busy", 429)
        for word in WORDS if prompt.text != "forever" else ():
            sink.write(word)
            await deferLater(reactor, 0.001)
        if prompt.text == "breaks":
            raise SourceError("The upstream closed in the middle.", "truncated")
        while prompt.text == "forever":
            sink.write("and so on, ")
            await deferLater(reactor, 0.005)

    async def pages(self, *texts: str) -> list[list[dict[str, Any]]]:
        """Let a page of each release send the texts, and return its state after each one."""
        api = f"http://127.0.0.1:{self.port.getHost().port}/api/chat"
        names = [package.partition("@")[0] for package in PACKAGES]
        # One process for all texts, since loading the packages takes far longer than using them.
        command = ["node", "main.js", api, json.dumps(names), json.dumps(texts)]
        result = await deferToThread(
            subprocess.run, command, cwd=self.folder, capture_output=True, timeout=200, check=False
        )
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return json.loads(result.stdout)

    async def test_text(self) -> None:
        """A message is answered without an error."""
        (pages,) = await self.pages("words")
        for seen in pages:
            self.assertEqual((seen["text"], seen["status"], seen.get("error")), ("".join(WORDS), "ready", None))
            self.assertEqual(seen["roles"], ["user", "assistant"])
        self.assertEqual(self.prompts[0].messages, [{"role": "user", "content": "words"}])

    async def test_transport(self) -> None:
        """The parts make up one message with an ID and finished text."""
        (pages,) = await self.pages("transport")
        for seen in pages:
            self.assertEqual((seen["text"], seen["states"]), ("".join(WORDS), ["step-start", "done"]))
            self.assertTrue(seen["id"].startswith("msg-"), seen)

    async def test_errors(self) -> None:
        """A failure is shown in the source's words, before the first word and in the middle; the text so far stays."""
        busy, breaks = await self.pages("busy", "breaks")
        for seen in busy:
            self.assertEqual((seen["error"], seen["status"]), ("Too many requests.", "error"))
        for seen in breaks:
            self.assertEqual((seen["error"], seen["status"]), ("The upstream closed in the middle.", "error"))
            self.assertEqual((seen["text"], seen["roles"]), ("".join(WORDS), ["user", "assistant"]))

    async def test_abort(self) -> None:
        """An answer that is cancelled on the server ends without an error; the text so far stays."""
        (pages,) = await self.pages("forever")
        for seen in pages:
            self.assertEqual((seen["status"], seen.get("error")), ("ready", None))
            self.assertTrue(seen["text"].startswith("and so on"), seen)

    async def test_resume(self) -> None:
        """
        A page that was stopped or reloaded gets the answer from its start and continues it. After the end there is
        nothing to resume.
        """
        (pages,) = await self.pages("resumes")
        for seen in pages:
            self.assertEqual((seen["resumed"], seen["status"], seen["none"]), (True, "ready", 0))
        self.assertEqual(len(self.prompts), len(PACKAGES))
