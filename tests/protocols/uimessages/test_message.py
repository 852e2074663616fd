"""
Tests for `sseserver.protocols.uimessages.message` and its base `sseserver.protocols.answerparts`.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.answerparts import AnswerParts
from sseserver.protocols.chatcompletions import (
    CallArguments,
    CallStart,
    Citation,
    Delta,
    Finish,
    Picture,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Usage,
)
from sseserver.protocols.uimessages import MessageWriter

BEGIN = [{"type": "start", "messageId": "msg-1"}, {"type": "start-step"}]


def readParts(events: list[bytes]) -> list[dict[str, Any]]:
    """Return the parts of some events, each of which has one line of data; `[DONE]` follows the last part."""
    parts = []
    for event in events:
        data, _, done = event.removeprefix(b"data: ").partition(b"\n\n")
        assert done in {b"", b"data: [DONE]\n\n"}, event
        parts.append(json.loads(data))
    return parts


class MessageTests(SynchronousTestCase):
    """The parts of a message."""

    def setUp(self) -> None:
        self.writer = AnswerParts(MessageWriter("msg-1"))

    def write(self, *deltas: Delta, text: str = "") -> list[dict[str, Any]]:
        """Write the deltas of one chunk."""
        return readParts(self.writer.writeDeltas(deltas, text))

    def end(self, **members: Any) -> list[dict[str, Any]]:
        """Write the end."""
        return readParts(self.writer.writeDone({"reason": "stop", **members}))

    def test_text(self) -> None:
        """A token is one part once the text is open."""
        first = readParts(self.writer.writeText("a"))
        self.assertEqual(
            first[2:], [{"type": "text-start", "id": "0"}, {"type": "text-delta", "id": "0", "delta": "a"}]
        )
        self.assertEqual(self.writer.writeText('"\n'), [b'data: {"type":"text-delta","id":"0","delta":"\\"\\n"}\n\n'])
        self.assertEqual(self.end()[0], {"type": "text-end", "id": "0"})

    def test_reasoning(self) -> None:
        """Reasoning and text are parts of their own, in the order in which they came; a refusal is text."""
        told = self.write(ReasoningDelta("r"), TextDelta("x"), text="x")
        self.assertEqual(
            told,
            [
                *BEGIN,
                {"type": "reasoning-start", "id": "0"},
                {"type": "reasoning-delta", "id": "0", "delta": "r"},
                {"type": "reasoning-end", "id": "0"},
                {"type": "text-start", "id": "1"},
                {"type": "text-delta", "id": "1", "delta": "x"},
            ],
        )
        self.assertEqual(self.write(RefusalDelta("no")), [{"type": "text-delta", "id": "1", "delta": "no"}])
        self.assertEqual(
            [part["type"] for part in self.write(ReasoningDelta("s"))][:2], ["text-end", "reasoning-start"]
        )

    def test_textOfChunk(self) -> None:
        """The text of a chunk is what its reader made of it: all of it in one piece, half a character not yet."""
        self.assertEqual(self.write(TextDelta("\ufffd")), BEGIN)
        told = self.write(TextDelta("a"), TextDelta("b"), text="\U0001f600ab")
        self.assertEqual([part.get("delta") for part in told], [None, "\U0001f600ab"])

    def test_calls(self) -> None:
        """A tool call is told as it grows; at the end all input is there, as the model has written it."""
        self.writer.writeText("a")
        told = self.write(CallStart(1, "c1", "f"), CallArguments(1, '{"a":'), CallStart(0, "c0", "g"))
        self.assertEqual(
            told,
            [
                {"type": "text-end", "id": "0"},
                {"type": "tool-input-start", "toolCallId": "c1", "toolName": "f"},
                {"type": "tool-input-delta", "toolCallId": "c1", "inputTextDelta": '{"a":'},
                {"type": "tool-input-start", "toolCallId": "c0", "toolName": "g"},
            ],
        )
        self.write(CallArguments(1, "\n[1]}"), CallArguments(0, " "))
        *available, _, finish = self.end(reason="tool_calls")
        called = {"type": "tool-input-available", "toolCallId": "c1", "toolName": "f", "input": {"a": [1]}}
        self.assertEqual(available, [called, {**called, "toolCallId": "c0", "toolName": "g", "input": {}}])
        self.assertEqual(finish["messageMetadata"], {"finishReason": "tool-calls"})

    def test_brokenCall(self) -> None:
        """An input that is not JSON is an error of the call."""
        for given in ('{"a":', "NaN", "[" * 100_000, '{"a": 1} x'):
            self.writer = AnswerParts(MessageWriter("msg-1"))
            self.write(CallStart(0, "c", "f"), CallArguments(0, given))
            [told] = [part for part in self.end() if part["type"].startswith("tool")]
            self.assertEqual((told["type"], told["input"]), ("tool-input-error", given))
            self.assertIn("not JSON", told["errorText"])

    def test_sources(self) -> None:
        """Citations are sources, pictures are files; the text stays open."""
        self.writer.writeText("a")
        told = self.write(Citation("https://e.org", "E"), Citation("https://f.org", ""), Picture("data:x", "image/png"))
        self.assertEqual(
            told,
            [
                {"type": "source-url", "sourceId": "source-0", "url": "https://e.org", "title": "E"},
                {"type": "source-url", "sourceId": "source-1", "url": "https://f.org"},
                {"type": "file", "url": "data:x", "mediaType": "image/png"},
            ],
        )
        self.assertEqual([part["type"] for part in readParts(self.writer.writeText("b"))], ["text-delta"])

    def test_usage(self) -> None:
        """The usage is metadata: that of the chunks, or that of the entry `done`."""
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        counted = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "reasoningTokens": 0, "cachedInputTokens": 0}
        self.assertEqual(self.end(usage=usage)[-1], {"type": "finish", "messageMetadata": {"usage": counted}})
        self.writer = AnswerParts(MessageWriter("msg-1"))
        self.write(Finish("stop"), Usage(5, 7, 3, 4))
        told = self.end(usage=usage)[-1]["messageMetadata"]["usage"]
        self.assertEqual((told["inputTokens"], told["cachedInputTokens"], told["reasoningTokens"]), (5, 3, 4))

    def test_ends(self) -> None:
        """Without metadata to tell the end has none; a failure tells why, an abort does not."""
        self.assertEqual(self.end(), [*BEGIN, {"type": "finish-step"}, {"type": "finish"}])
        self.assertEqual(
            readParts(self.writer.writeFailed("It broke.", "x")), [{"type": "error", "errorText": "It broke."}]
        )
        self.assertEqual(readParts(self.writer.writeCancelled("Asked.")), [{"type": "abort"}])

    def test_skip(self) -> None:
        """Tokens can be skipped while the text is open: each is one part."""
        self.assertFalse(self.writer.skipText(3))
        self.writer.writeText("a")
        self.assertTrue(self.writer.skipText(3))

    def test_fork(self) -> None:
        """A fork writes on for itself."""
        self.write(TextDelta("a"), CallStart(0, "c", "f"), Citation("u", ""), Usage(1, 1, 0, 0), text="a")
        other = self.writer.fork()
        self.write(CallArguments(0, "1"), Citation("v", ""), TextDelta("b"), Usage(2, 2, 0, 0), text="b")
        written = other.writeDeltas([CallArguments(0, "2"), Citation("w", ""), TextDelta("c")], "c")
        told = readParts([*written, *other.writeDone({})])
        types = ["tool-input-delta", "source-url", "text-start", "text-delta", "text-end", "tool-input-available"]
        self.assertEqual([part["type"] for part in told], [*types, "finish-step", "finish"])
        self.assertEqual((told[1]["sourceId"], told[2]["id"], told[5]["input"]), ("source-1", "1", 2))
        self.assertEqual(told[-1]["messageMetadata"]["usage"]["inputTokens"], 1)
