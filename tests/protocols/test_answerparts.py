"""
Tests for `sseserver.protocols.answerparts`, by its simplest writer. Those of the protocols test the rest.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.answerparts import AnswerParts, PartWriter
from sseserver.protocols.chatcompletions import CallArguments, CallStart, ReasoningDelta, TextDelta
from sseserver.protocols.uimessages import MessageWriter


class PartTests(SynchronousTestCase):
    """The parts of an answer."""

    def test_begins(self) -> None:
        """The events before the first part are written once, with the first entry, whatever that is."""
        for write in (
            lambda writer: writer.writeText("a"),
            lambda writer: writer.writeDeltas([], ""),
            lambda writer: writer.writeDone({}),
            lambda writer: writer.writeFailed("a", "b"),
            lambda writer: writer.writeCancelled("a"),
        ):
            writer = AnswerParts(MessageWriter("msg-1"))
            events = b"".join([*write(writer), *writer.writeText("b"), *writer.writeDone({})])
            self.assertTrue(events.startswith(b'data: {"type":"start","messageId":"msg-1"}\n\n'))
            self.assertEqual(events.count(b'"start"'), 1)

    def test_oneAtATime(self) -> None:
        """A part is closed before the next one is opened, and at the end."""
        writer = AnswerParts(MessageWriter("msg-1"))
        deltas = [ReasoningDelta("a"), TextDelta("b"), CallStart(3, "c", "f"), ReasoningDelta("d")]
        events = b"".join([*writer.writeDeltas(deltas, "b"), *writer.writeDone({})])
        for name, number in (("reasoning", 0), ("text", 1), ("reasoning", 2)):
            places = [
                events.index(b'{"type":"%b-%b","id":"%d"' % (name.encode(), step, number))
                for step in (b"start", b"end")
            ]
            self.assertEqual(places, sorted(places))

    def test_calls(self) -> None:
        """Calls have the numbers of their deltas, in whatever order they begin."""
        writer = AnswerParts(MessageWriter("msg-1"))
        writer.writeDeltas([CallStart(2, "c", "f"), CallStart(0, "a", "g"), CallArguments(2, "[1]")], "")
        writer.writeDeltas([CallArguments(0, "[2]")], "")
        events = b"".join(writer.writeDone({}))
        self.assertIn(b'"toolCallId":"c","toolName":"f","input":[1]', events)
        self.assertIn(b'"toolCallId":"a","toolName":"g","input":[2]', events)

    def test_input(self) -> None:
        """The entry `INPUT` is no part."""
        self.assertEqual(AnswerParts(MessageWriter("msg-1")).writeInput({"api": "agui"}), [])

    def test_abstract(self) -> None:
        """The base itself writes nothing."""
        self.assertRaises(NotImplementedError, AnswerParts(PartWriter()).writeText, "a")
