"""
Tests for `sseserver.apis.native.prompts`.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.apis.native.prompts import readPrompt
from sseserver.errors import InvalidMember
from sseserver.values import Prompt
from tests.apis.chat.cases import HELLO, ChatTestCase
from tests.served import ScriptedSource

ASKED: dict[str, Any] = {"role": "user", "content": "Hello"}


class PromptTests(SynchronousTestCase):
    """Bodies of `POST /streams`."""

    def test_run(self) -> None:
        """
        A run is started with a prompt, with messages, or with neither, but
        not with both.
        """
        source = ScriptedSource()
        self.assertIsNone(readPrompt({}, source))
        self.assertIsNone(readPrompt({"prompt": None, "messages": None}, source))
        self.assertEqual(readPrompt({"prompt": "a"}, source), Prompt("a"))
        body = {"messages": [ASKED], "temperature": 1}
        self.assertEqual(readPrompt(body, source), Prompt("Hello", [ASKED], {"temperature": 1}))
        for bad in ({"prompt": "a", "messages": [ASKED]}, {"prompt": 1}, {"messages": 1}, {"messages": []}):
            self.assertRaises(InvalidMember, readPrompt, bad, source)


class RunTests(ChatTestCase):
    """`POST /streams` with messages."""

    takesPrompt = True

    def test_messages(self) -> None:
        """
        A run can be started with a conversation; its text is the user's last message.
        """
        response = self.post("/streams", {**HELLO, "temperature": 0}).response
        self.assertEqual(response.status, 201)
        self.assertEqual(self.source.run.prompt, Prompt("Hello there", HELLO["messages"], {"temperature": 0}))
        self.post("/streams", {"prompt": "Hi"})
        self.assertEqual(self.source.run.prompt, Prompt("Hi"))

    def question(self) -> object:
        """Return the question in the state of the newest stream."""
        [newest] = self.successResultOf(self.service.store.list(1))
        return self.state(f"/streams/{newest.name}")["question"]

    def test_F99_question(self) -> None:
        """
        F99: the state of a stream shows the question, whichever API started it; that of a stream without one, `null`.
        """
        path = self.post("/streams", {"prompt": "Why?"}).response.headers["location"]
        self.assertEqual(self.state(path)["question"], "Why?")
        path = self.post("/streams", HELLO).response.headers["location"]
        self.assertEqual(self.state(path)["question"], "Hello there")
        self.stream()
        self.assertEqual(self.question(), "Hello there")
        chat = {"id": "c", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}]}
        self.reactor.advance(1)
        self.post("/api/chat", chat)
        self.assertEqual(self.question(), "Hi")
        self.assertIsNone(self.ask("/streams/a", method="PUT").json["question"])

    def test_needsPrompt(self) -> None:
        """
        Either is needed, not both.
        """
        for body in ({}, {"prompt": None}, {"prompt": "a", **HELLO}, {"messages": []}):
            self.assertEqual(self.post("/streams", body).response.status, 400)
        self.assertEqual(self.source.runs, [])

    def test_otherMember(self) -> None:
        """A body with another member than `prompt` is refused with a message that names it."""
        response = self.post("/streams", {"question": "Why?"}).response
        self.assertEqual(response.status, 400)
        self.assertIn("Members that are not read: `question`.", response.error["message"])
