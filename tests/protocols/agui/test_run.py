"""
Tests for `sseserver.protocols.agui.run`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.agui import IDs, RunNames, RunWriter, packNames, writeProblem
from sseserver.protocols.answerparts import AnswerParts
from sseserver.protocols.chatcompletions import (
    CallArguments,
    CallStart,
    Citation,
    Delta,
    Picture,
    ReasoningDelta,
    TextDelta,
    Usage,
)

EPOCH = "0123456789abcdefghijAZ"

#: An event: its ID directly before its one line of data.
_EVENT = re.compile(rb"id: ([A-Za-z0-9]{22})\.([0-9]+)\ndata: ([^\n]*)\n\n")


class RunTests(SynchronousTestCase):
    """The events of a run."""

    def setUp(self) -> None:
        self.ids = IDs(EPOCH)
        self.writer = AnswerParts(RunWriter(self.ids, "1"))
        self.number = 0

    def read(self, events: list[bytes]) -> list[dict[str, Any]]:
        """Return the members of some events, which have the next numbers."""
        told = []
        for event in events:
            match = _EVENT.fullmatch(event)
            assert match is not None, event
            self.number += 1
            self.assertEqual((match[1], match[2]), (self.ids.epoch, b"%d" % self.number))
            told.append(json.loads(match[3]))
        return told

    def write(self, *deltas: Delta, text: str = "") -> list[dict[str, Any]]:
        """Write the deltas of one chunk."""
        return self.read(self.writer.writeDeltas(deltas, text))

    def end(self, **members: Any) -> list[dict[str, Any]]:
        """Write the end."""
        return self.read(self.writer.writeDone({"reason": "stop", **members}))

    def test_text(self) -> None:
        """A run has a start, its text is a message, and it has an end."""
        self.assertEqual(
            self.read([*self.writer.writeText("a"), *self.writer.writeText('"\n')]) + self.end(),
            [
                {"type": "RUN_STARTED", "threadId": "1", "runId": "1"},
                {"type": "TEXT_MESSAGE_START", "messageId": "msg-1-0", "role": "assistant"},
                {"type": "TEXT_MESSAGE_CONTENT", "messageId": "msg-1-0", "delta": "a"},
                {"type": "TEXT_MESSAGE_CONTENT", "messageId": "msg-1-0", "delta": '"\n'},
                {"type": "TEXT_MESSAGE_END", "messageId": "msg-1-0"},
                {"type": "RUN_FINISHED", "threadId": "1", "runId": "1"},
            ],
        )

    def test_names(self) -> None:
        """A run that was asked for by AG-UI starts at once, with the names of its client; so does a fork."""
        self.assertEqual(self.writer.writeInput({"api": "responses"}), [])
        members, rest = packNames(RunNames("t", "r")).split(b"\n")
        self.assertEqual(rest, b"[]")
        told = self.read(self.writer.writeInput(json.loads(members)))
        self.assertEqual(told, [{"type": "RUN_STARTED", "threadId": "t", "runId": "r"}])
        self.writer = self.writer.fork()
        self.assertEqual(self.end(), [{"type": "RUN_FINISHED", "threadId": "t", "runId": "r"}])

    def test_reasoning(self) -> None:
        """Reasoning is a span with one message; text after it is another message."""
        told = self.write(ReasoningDelta("r"), ReasoningDelta("s"), TextDelta("x"), text="x")
        types = ["REASONING_START", "REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_CONTENT"]
        more = ["REASONING_MESSAGE_END", "REASONING_END", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"]
        self.assertEqual([event["type"] for event in told[1:]], [*types, *more])
        self.assertEqual({event["messageId"] for event in told[1:7]}, {"reasoning-1-0"})
        self.assertEqual({event["messageId"] for event in told[7:]}, {"msg-1-1"})

    def test_calls(self) -> None:
        """A tool call belongs to the message before it, and ends with the run."""
        self.read(self.writer.writeText("a"))
        told = self.write(CallStart(0, "c", "f"), CallArguments(0, "{}"), CallStart(1, "d", "g"))
        start = {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "f", "parentMessageId": "msg-1-0"}
        self.assertEqual(
            told,
            [
                {"type": "TEXT_MESSAGE_END", "messageId": "msg-1-0"},
                start,
                {"type": "TOOL_CALL_ARGS", "toolCallId": "c", "delta": "{}"},
                {**start, "toolCallId": "d", "toolCallName": "g"},
            ],
        )
        ends = [{"type": "TOOL_CALL_END", "toolCallId": name} for name in ("c", "d")]
        self.assertEqual(self.end(reason="tool_calls")[:2], ends)

    def test_callWithoutText(self) -> None:
        """The calls of an answer without text belong to one message."""
        told = self.write(CallStart(0, "c", "f"), CallStart(1, "d", "f"))
        self.assertEqual([event["parentMessageId"] for event in told[1:]], ["msg-1", "msg-1"])

    def test_sources(self) -> None:
        """Citations and pictures, for which AG-UI has no events, are custom events."""
        told = self.write(Citation("https://e.org", "E"), Picture("data:x", "image/png"))
        self.assertEqual(
            told[1:],
            [
                {"type": "CUSTOM", "name": "citation", "value": {"url": "https://e.org", "title": "E"}},
                {"type": "CUSTOM", "name": "image", "value": {"url": "data:x", "mimeType": "image/png"}},
            ],
        )

    def test_usage(self) -> None:
        """The usage is told at the end."""
        self.write(Usage(5, 7, 3, 4))
        counted = {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12, "reasoningTokens": 4, "cachedInputTokens": 3}
        self.assertEqual(self.end()[-1]["usage"], [counted])

    def test_errors(self) -> None:
        """A failed run ends with an error, and so does one that was cancelled: success must be shown."""
        told = self.read([*self.writer.writeFailed("It broke.", "x"), *self.writer.writeCancelled("Asked.")])
        self.assertEqual(
            told[1:],
            [
                {"type": "RUN_ERROR", "message": "It broke.", "code": "x"},
                {"type": "RUN_ERROR", "message": "Asked.", "code": "cancelled"},
            ],
        )
        self.assertEqual(writeProblem("No.", "y"), b'data: {"type":"RUN_ERROR","message":"No.","code":"y"}\n\n')

    def test_skip(self) -> None:
        """Tokens that are skipped have numbers."""
        self.assertFalse(self.writer.skipText(3))
        self.read(self.writer.writeText("a"))
        self.assertTrue(self.writer.skipText(3))
        self.number += 3
        self.read(self.writer.writeText("b"))

    def test_fork(self) -> None:
        """A fork goes on with the next number, for itself; both follow a new epoch."""
        self.write(TextDelta("a"), CallStart(0, "c", "f"), text="a")
        other = self.writer.fork()
        before = self.number
        self.write(CallStart(1, "d", "f"))
        self.number = before
        self.ids.set(EPOCH[::-1])
        told = self.read(other.writeDone({}))
        self.assertEqual([event["type"] for event in told], ["TOOL_CALL_END", "RUN_FINISHED"])
        self.writer = AnswerParts(RunWriter(self.ids, "1", number=9))
        self.number = 9
        self.end()
