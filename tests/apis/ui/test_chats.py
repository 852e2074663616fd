"""
Tests for `sseserver.apis.ui.chats` and `sseserver.apis.ui.numbered`.
"""

from __future__ import annotations

import json

from twisted.web.resource import Resource

from sseserver.errors import SourceError
from sseserver.service.service import Settings
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.terminal import packRestart
from sseserver.values import Prompt
from sseserver.web import viewing
from tests.apis.chat.cases import ChatTestCase
from tests.wires import Wire

CHAT = {"id": "chat-1", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}]}

TAIL = "x-workflow-stream-tail-index"


class UITests(ChatTestCase):
    """Requests of the Vercel AI SDK."""

    settings = Settings(linger=10)

    def chat(self, chat: str = "chat-1", **headers: str) -> Wire:
        """Send a message as the SDK's transport does."""
        message = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}
        body = {"id": chat, "messages": [message], "trigger": "submit-message", "messageId": None}
        return self.post("/api/chat", body, **headers)

    def resume(self, chat: str = "chat-1") -> Wire:
        """Ask for the rest of a chat's answer."""
        return self.view(f"/api/chat/{chat}/stream")

    def parts(self, wire: Wire) -> list[str]:
        """Return the types of the parts of a message."""
        return [
            "[DONE]" if event.data == "[DONE]" else json.loads(event.data)["type"] for event in wire.response.events
        ]

    def test_answer(self) -> None:
        """
        The answer is a UI message stream, and a stream like every other.
        """
        wire = self.chat()
        self.assertEqual(wire.response.headers["x-vercel-ai-ui-message-stream"], "v1")
        place = wire.response.headers["content-location"].replace("streams", "durable")
        self.assertEqual(wire.response.headers["location"], place)
        self.write("a", "b")
        self.assertEqual(self.ask(wire.response.headers["content-location"], "text/plain").body, b"ab")
        self.end()
        self.assertEqual(self.parts(wire)[:3], ["start", "start-step", "text-start"])
        self.assertEqual(self.parts(wire)[-4:], ["text-end", "finish-step", "finish", "[DONE]"])
        self.assertTrue(wire.response.complete)
        prompt = Prompt("Hello", [{"role": "user", "content": "Hello"}])
        self.assertEqual(self.source.run.prompt, prompt)

    def test_failure(self) -> None:
        """
        A failure is an error part of the stream, which the SDK shows.
        """
        wire = self.chat()
        self.breakDown(SourceError("Too many.", "upstream", 429))
        self.assertEqual(wire.response.status, 200)
        self.assertEqual(json.loads(wire.response.events[-2].data)["errorText"], "Too many.")

    def test_resumes(self) -> None:
        """
        A reloaded page gets an open answer from its start; otherwise, and for other chats, 204.
        """
        self.assertEqual(self.resume().response.status, 204)
        wire = self.chat()
        self.write("a")
        wire.close()
        resumed = self.resume()
        self.write("b")
        self.assertEqual(resumed.response.headers["x-vercel-ai-ui-message-stream"], "v1")
        self.assertEqual(resumed.response.headers["content-location"], wire.response.headers["content-location"])
        self.assertEqual(self.ask("/api/chat/chat-1/stream", method="HEAD").status, 200)
        self.assertEqual(self.service.viewers.count, 1)
        self.assertEqual(self.resume("chat-2").response.status, 204)
        self.end()
        text = "".join(json.loads(event.data).get("delta", "") for event in resumed.response.events[:-1])
        self.assertEqual(text, "ab")
        self.assertEqual(self.resume().response.status, 204)

    def test_newest(self) -> None:
        """
        The chat's newest answer is resumed.
        """
        self.chat()
        self.chat()
        self.write("new")
        self.assertIn(b"new", self.resume().response.body)

    def test_forgets(self) -> None:
        """
        A chat is forgotten with its stream.
        """
        wire = self.chat()
        self.write("a")
        self.end()
        self.reactor.run(self.settings.keep + 1, 10)
        self.assertEqual(self.ask(wire.response.headers["content-location"], "application/json").status, 404)
        wire.close()
        del self.source.runs[:]
        self.assertEqual(self.resume().response.status, 204)

    def test_run(self) -> None:
        """
        The header names the run: with the ID of the run and a number a cut answer goes on, also after its end.
        """
        wire = self.chat()
        run = wire.response.headers["x-workflow-run-id"]
        self.write("a", "b")
        told = wire.response.events
        wire.close()
        live = self.view(f"/api/chat/{run}/stream?startIndex={len(told)}")
        self.write("c")
        self.end()
        whole = self.view(f"/api/chat/{run}/stream?startIndex=0").response
        self.assertEqual(whole.headers["x-workflow-run-id"], run)
        self.assertEqual(whole.headers["location"], f"/durable/{run}")
        self.assertEqual([*told, *live.response.events], whole.events)
        for number in range(len(whole.events) - 1):
            for name in (run, "chat-1"):
                rest = self.view(f"/api/chat/{name}/stream?startIndex={number}").response
                self.assertEqual(rest.events, whole.events[number:])
        self.assertEqual(self.view(f"/api/chat/{run}/stream?startIndex={len(whole.events) - 1}").response.status, 204)
        self.assertEqual(len(self.source.runs), 1)

    def test_tail(self) -> None:
        """
        A negative number counts from the end, which a header tells.
        """
        wire = self.chat()
        self.assertEqual(self.view("/api/chat/chat-1/stream?startIndex=-3").response.headers[TAIL], "-1")
        self.write("a", "b")
        for number, parts in ((-1, 1), (-3, 3), (-5, 5), (-50, 5), (0, 5)):
            rest = self.view(f"/api/chat/chat-1/stream?startIndex={number}").response
            self.assertEqual((rest.headers[TAIL], len(rest.events)), ("4", parts))
        asked = self.ask("/api/chat/chat-1/stream?startIndex=-3", method="HEAD")
        self.assertEqual((asked.status, asked.headers[TAIL]), (200, "4"))
        wire.close()

    def test_manyParts(self) -> None:
        """
        The parts of a long answer are counted in several turns of the reactor.
        """
        turns = self.watchTurns(viewing)
        # Its viewer would count them.
        self.chat().close()
        for number in range(95):
            # All of them look different.
            chunk = json.dumps({"id": number, "choices": [{"delta": {"content": f"{number}"}}]}).encode()
            self.source.run.sink.writeChunk(chunk, f"{number}")
        self.reactor.advance(FLUSH_TICK)
        resumed = self.view("/api/chat/chat-1/stream?startIndex=-2").response
        self.assertEqual([json.loads(event.data)["delta"] for event in resumed.events], ["93", "94"])
        self.assertGreater(len(turns), 5)

    def test_badNumbers(self) -> None:
        """
        A number beyond the end and other values are refused, and so is an ID that nobody has.
        """
        run = self.chat().response.headers["x-workflow-run-id"]
        self.write("a")
        for odd in ("5", "x", "1.0", "+1", "01", "-0x", "9" * 30):
            self.assertEqual(self.view(f"/api/chat/{run}/stream?startIndex={odd}").response.status, 400, odd)
        self.assertEqual(self.view("/api/chat/none/stream?startIndex=0").response.status, 404)
        self.ask("/streams/news", method="PUT")
        self.assertEqual(self.view("/api/chat/news/stream?startIndex=0").response.status, 404)

    def test_restarted(self) -> None:
        """
        Parts before a restart of the run are void.
        """
        run = self.chat().response.headers["x-workflow-run-id"]
        self.write("a")
        self.successResultOf(self.service.find(run)).append(*packRestart(1))
        self.write("b")
        answer = self.view(f"/api/chat/{run}/stream?startIndex=2").response
        self.assertEqual(answer.status, 400)
        self.assertIn("begun anew", answer.error["message"])
        self.assertIn(b'"b"', self.view(f"/api/chat/{run}/stream?startIndex=0").response.body)

    def test_plainBody(self) -> None:
        """
        `WorkflowChatTransport` sends its JSON as text, and without the ID of the chat.
        """
        wire = self.connect(self.factory)
        body = b'{"messages": [{"role": "user", "parts": [{"type": "text", "text": "Hello"}]}]}'
        told = {"Content-Type": "text/plain;charset=UTF-8"}
        wire.begin("/api/chat", "*/*", "POST", body, headers=told)
        self.assertEqual(wire.response.status, 200)
        self.assertEqual(self.source.run.prompt.text, "Hello")

    def test_durable(self) -> None:
        """A reader of Durable Streams that asks for it gets nothing but the URL at which it reads, below any path."""
        root = Resource()
        root.putChild(b"llm", self.resource)
        self.factory = self.site(root)
        for prefer in ("respond-async", "wait=1, Respond-Async; a=1"):
            started = self.post("/llm/api/chat", CHAT, Prefer=prefer).response
            place = f"/llm/durable/{started.headers['x-workflow-run-id']}"
            self.assertEqual((started.status, started.headers["location"]), (202, place))
            self.assertEqual(started.json, {"streamUrl": place})
            resumed = self.ask("/llm/api/chat/chat-1/stream", headers={"Prefer": prefer})
            self.assertEqual((resumed.status, resumed.headers["location"], resumed.json), (202, place, started.json))
            self.assertEqual(self.ask(place).body, b"[]")
        self.assertEqual(self.service.viewers.count, 0)
        self.end()
        self.assertEqual(self.ask("/llm/api/chat/chat-1/stream", headers={"Prefer": "respond-async"}).status, 204)
        self.assertEqual(self.post("/llm/api/chat", CHAT, Prefer="handling=lenient").response.status, 200)

    def test_ids(self) -> None:
        """
        A malformed ID is refused.
        """
        self.assertEqual(self.chat("a/b").response.error["param"], "id")
        for chat in ("a%20b", "%E4", "x" * 129):
            self.assertEqual(self.resume(chat).response.status, 400)

    def test_retry(self) -> None:
        """
        A retry with the same key joins the answer.
        """
        self.chat(Idempotency_Key="k")
        self.chat(Idempotency_Key="k")
        self.assertEqual(len(self.source.runs), 1)
