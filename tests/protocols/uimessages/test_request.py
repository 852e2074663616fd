"""
Tests for `sseserver.protocols.uimessages.request`.
"""

from __future__ import annotations

from time import process_time

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.protocols.uimessages import checkChatID, readChat
from sseserver.values import Prompt
from tests.served import ScriptedSource


class ChatTests(SynchronousTestCase):
    """Requests of the Vercel AI SDK."""

    def test_messages(self) -> None:
        """
        The content of each message is taken; a message without content is left out.
        """
        parts = [{"type": "step-start"}, {"type": "text", "text": "Hi, "}, {"type": "text", "text": "there"}]
        body = {
            "id": "chat-1",
            "trigger": "submit-message",
            "messageId": None,
            "webSearch": True,
            "messages": [
                {"id": "1", "role": "system", "parts": [{"type": "text", "text": "Be brief."}]},
                {"id": "2", "role": "user", "parts": [{"type": "data-x", "data": 1}]},
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
            ({"messages": [message], "id": 1}, "id"),
            ({"id": "a"}, "messages"),
            ({"id": "a", "messages": []}, "messages"),
            ({"id": "a", "messages": [{"role": "user", "parts": []}]}, "messages"),
            ({"id": "a", "messages": [{"role": "root", "parts": []}]}, "messages[0].role"),
            ({"id": "a", "messages": [{"role": "user"}]}, "messages[0].parts"),
            ({"id": "a", "messages": ["x"]}, "messages[0]"),
            ({"id": "a", "messages": [{"role": "user", "parts": [{"type": "text"}]}]}, "messages[0].parts[0].text"),
            ({"id": "a/b", "messages": [message]}, "id"),
            (
                {"messages": [{"role": "user", "parts": [{"type": "file", "url": "x"}]}]},
                "messages[0].parts[0].mediaType",
            ),
            ({"messages": [{"role": "user", "parts": [{"type": "tool-f"}]}]}, "messages[0].parts[0].toolCallId"),
            ({"messages": [message], "tools": "f"}, "tools"),
        ):
            with self.assertRaises(InvalidMember) as caught:
                readChat(body, ScriptedSource())
            self.assertEqual(caught.exception.param, param)

    def test_foreign(self) -> None:
        """
        The messages of another API are refused with the places of such APIs: Ollama's clients use the same path.
        """
        with self.assertRaisesRegex(InvalidMember, "below /ollama") as caught:
            readChat({"model": "a", "messages": [{"role": "user", "content": "x"}]}, ScriptedSource())
        self.assertEqual(caught.exception.param, "messages[0].parts")

    def test_noChat(self) -> None:
        """
        A request without the ID of a chat is one of `WorkflowChatTransport`.
        """
        body = {"messages": [{"role": "user", "parts": [{"type": "text", "text": "x"}]}]}
        self.assertIsNone(readChat(body, ScriptedSource()).chat)

    def test_files(self) -> None:
        """
        A picture and another file are parts of the content.
        """
        parts = [
            {"type": "text", "text": "See"},
            {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AA=="},
            {
                "type": "file",
                "mediaType": "application/pdf",
                "url": "data:application/pdf;base64,AA==",
                "filename": "a.pdf",
            },
        ]
        prompt = readChat({"messages": [{"role": "user", "parts": parts}]}, ScriptedSource()).prompt
        self.assertEqual(prompt.text, "See")
        text, picture, file = prompt.messages[0]["content"]
        self.assertEqual(text, parts[0])
        self.assertEqual(picture, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}})
        self.assertEqual(file["file"], {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="})

    def test_tools(self) -> None:
        """
        The calls of an answer and their outputs are messages, step by step; a call without an output is left out.
        """
        call = {"toolCallId": "c", "state": "output-available", "input": {"a": 1}, "output": {"b": 2}}
        parts = [
            {"type": "step-start"},
            {"type": "reasoning", "text": "Hm"},
            {"type": "text", "text": "Wait."},
            {"type": "tool-f", **call},
            {"type": "dynamic-tool", "toolName": "g", "toolCallId": "d", "state": "output-error", "errorText": "No."},
            {"type": "tool-h", "toolCallId": "e", "state": "input-available", "input": {}},
            {"type": "step-start"},
            {"type": "text", "text": "Done."},
        ]
        asked = {"role": "user", "parts": [{"type": "text", "text": "x"}]}
        body = {"messages": [asked, {"role": "assistant", "parts": parts}], "tools": [{"type": "function"}]}
        prompt = readChat(body, ScriptedSource()).prompt
        f, g = {"name": "f", "arguments": '{"a":1}'}, {"name": "g", "arguments": "{}"}
        calls = [{"id": "c", "type": "function", "function": f}, {"id": "d", "type": "function", "function": g}]
        told = [
            {"role": "assistant", "content": "Wait.", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c", "content": '{"b":2}'},
            {"role": "tool", "tool_call_id": "d", "content": "No."},
            {"role": "assistant", "content": "Done."},
        ]
        self.assertEqual(prompt.messages[1:], told)
        self.assertEqual(prompt.options, {"tools": [{"type": "function"}]})

    def test_manyTexts(self) -> None:
        """
        The texts of an answer are joined once. (One by one they take as long as 150 joins here, and minutes in a large
        body; the test allows 30.)
        """
        texts = ["x" * 100_000] * 300
        body = {"messages": [{"role": "assistant", "parts": [{"type": "text", "text": text} for text in texts]}]}
        begun = process_time()
        for _ in range(30):
            joined = "".join(texts)
        limit = process_time() - begun
        begun = process_time()
        prompt = readChat(body, ScriptedSource()).prompt
        self.assertLess(process_time() - begun, limit)
        self.assertEqual(prompt.messages, [{"role": "assistant", "content": joined}])

    def test_ids(self) -> None:
        """
        A chat's ID is a segment of a URL that needs no quoting, of at most 128 characters.
        """
        for chat in ("a", "aB3-_.~", "x" * 128, "..."):
            self.assertEqual(checkChatID(chat), chat)
        for chat in ("", ".", "..", "a b", "a/b", "a\n", "ä", "x" * 129):
            self.assertRaises(InvalidMember, checkChatID, chat)
