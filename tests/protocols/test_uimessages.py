"""
Tests for `sseserver.protocols.uimessages`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.protocols.uimessages import checkChatID, readChat
from sseserver.values import Prompt
from tests.served import ScriptedSource


class ChatTests(SynchronousTestCase):
    """Requests of the Vercel AI SDK."""

    def test_messages(self) -> None:
        """
        The text of each message is taken; a message without text is left out.
        """
        parts = [{"type": "step-start"}, {"type": "text", "text": "Hi, "}, {"type": "text", "text": "there"}]
        body = {
            "id": "chat-1",
            "trigger": "submit-message",
            "messageId": None,
            "webSearch": True,
            "messages": [
                {"id": "1", "role": "system", "parts": [{"type": "text", "text": "Be brief."}]},
                {"id": "2", "role": "user", "parts": [{"type": "file", "url": "data:,"}]},
                {"id": "3", "role": "assistant", "parts": []},
                {"id": "4", "role": "user", "parts": parts, "metadata": {}},
            ],
        }
        prompt, chat = readChat(body, ScriptedSource())
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi, there"}]
        self.assertEqual((prompt, chat), (Prompt("Hi, there", messages, {}), "chat-1"))

    def test_model(self) -> None:
        """
        The page may ask for a model.
        """
        message = {"role": "user", "parts": [{"type": "text", "text": "x"}]}
        body = {"id": "a", "messages": [message], "model": "script"}
        self.assertEqual(readChat(body, ScriptedSource())[0].options, {"model": "script"})
        self.assertRaises(ModelNotFound, readChat, {**body, "model": "other"}, ScriptedSource())

    def test_bad(self) -> None:
        """
        A member with a wrong value is refused, and named.
        """
        message = {"role": "user", "parts": [{"type": "text", "text": "x"}]}
        for body, param in (
            ({"messages": [message]}, "id"),
            ({"id": "a"}, "messages"),
            ({"id": "a", "messages": []}, "messages"),
            ({"id": "a", "messages": [{"role": "user", "parts": []}]}, "messages"),
            ({"id": "a", "messages": [{"role": "root", "parts": []}]}, "messages[0].role"),
            ({"id": "a", "messages": [{"role": "user", "content": "x"}]}, "messages[0].parts"),
            ({"id": "a", "messages": [{"role": "user", "parts": [{"type": "text"}]}]}, "messages[0].parts[0].text"),
            ({"id": "a/b", "messages": [message]}, "id"),
        ):
            with self.assertRaises(InvalidMember) as caught:
                readChat(body, ScriptedSource())
            self.assertEqual(caught.exception.param, param)

    def test_ids(self) -> None:
        """
        A chat's ID is a segment of a URL that needs no quoting, of at most 128 characters.
        """
        for chat in ("a", "aB3-_.~", "x" * 128, "..."):
            self.assertEqual(checkChatID(chat), chat)
        for chat in ("", ".", "..", "a b", "a/b", "a\n", "ä", "x" * 129):
            self.assertRaises(InvalidMember, checkChatID, chat)
