"""
Tests for `sseserver.protocols.responses.outputwriter`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.chatcompletions import CallArguments, CallStart
from sseserver.protocols.responses.output import COMPLETED, INCOMPLETE, REFUSAL, SUMMARY, TEXT, Output
from sseserver.protocols.responses.outputwriter import OutputWriter
from tests.protocols.responses.judge import readEvents


class OutputWriterTests(SynchronousTestCase):
    """The events about an output."""

    def setUp(self) -> None:
        self.writer = OutputWriter(Output("name"), 5)
        self.events: list[bytes] = []

    def types(self) -> list[str]:
        """Return the types of the events, after checking their numbers, and forget them."""
        members = readEvents(b"".join(self.events))
        first = self.writer.number - len(members)
        self.assertEqual([each["sequence_number"] for each in members], [*range(first, self.writer.number)])
        self.events.clear()
        return [each["type"].removeprefix("response.") for each in members]

    def test_number(self) -> None:
        """The first event has the given number."""
        self.events.append(self.writer.write("response.created", {}))
        self.assertEqual(self.types(), ["created"])
        self.assertEqual(self.writer.number, 6)

    def test_parts(self) -> None:
        """A text of another type closes the part, and the item if it is one of another type; the same type does not."""
        opened = ["output_item.added", "content_part.added", "output_text.delta"]
        self.writer.addText(TEXT, b"a", self.events)
        self.assertEqual(self.types(), opened)
        self.writer.addText(TEXT, b"b", self.events)
        self.assertEqual(self.types(), ["output_text.delta"])
        self.writer.addText(REFUSAL, b"c", self.events)
        closed = ["output_text.done", "content_part.done"]
        self.assertEqual(self.types(), [*closed, "content_part.added", "refusal.delta"])
        self.writer.addText(SUMMARY, b"d", self.events)
        closed = ["refusal.done", "content_part.done", "output_item.done"]
        opened = ["output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"]
        self.assertEqual(self.types(), closed + opened)
        self.writer.close(INCOMPLETE, self.events)
        closed = ["reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"]
        self.assertEqual(self.types(), closed)
        message, _ = self.writer.describe()
        self.assertEqual((message["status"], message["content"][0]["text"]), (COMPLETED, "ab"))

    def test_calls(self) -> None:
        """Calls are closed at the end, with the arguments that came mixed and the status of the end."""
        for number, id in enumerate("ab"):
            self.writer.startCall(CallStart(number, id, "f"), self.events)
        for number, piece in ((0, "{"), (1, "{}"), (0, "}")):
            self.writer.addArguments(CallArguments(number, piece), self.events)
        self.assertEqual(self.types(), 2 * ["output_item.added"] + 3 * ["function_call_arguments.delta"])
        self.writer.close(INCOMPLETE, self.events)
        self.assertEqual(self.types(), 2 * ["function_call_arguments.done", "output_item.done"])
        calls = [(call["arguments"], call["status"]) for call in self.writer.describe()]
        self.assertEqual(calls, 2 * [("{}", INCOMPLETE)])

    def test_skip(self) -> None:
        """Texts are skipped, or written together, only while a text grows."""
        self.assertFalse(self.writer.skip(b"xy", 2))
        self.assertEqual(self.writer.writeTexts([b"x"]), [])
        self.writer.addText(TEXT, b"a", self.events)
        number = self.writer.number
        self.assertTrue(self.writer.skip(b"bc", 2))
        self.assertEqual(self.writer.number, number + 2)
        self.events[:] = self.writer.writeTexts([b"d%", b"e"])
        self.assertEqual(self.types(), 2 * ["output_text.delta"])
        (message,) = self.writer.describe()
        self.assertEqual(message["content"][0]["text"], "abcd%e")

    def test_fork(self) -> None:
        """A fork goes on by itself, within the part that grows."""
        self.writer.addText(TEXT, b"a", self.events)
        other = self.writer.fork()
        self.assertTrue(other.skip(b"b", 1))
        texts = [writer.describe()[0]["content"][0]["text"] for writer in (self.writer, other)]
        self.assertEqual(texts, ["a", "ab"])
        self.assertEqual(other.number, self.writer.number + 1)
