"""
Tests for `sseserver.protocols.responses.output`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.responses.output import COMPLETED, MESSAGE, TEXT, GrowingText, OutputItem, OutputPart


class GrowingTextTests(SynchronousTestCase):
    """Texts that share their bytes."""

    def test_shared(self) -> None:
        """Each text ends at its own place; pieces that another one has added are not added again."""
        data = bytearray()
        first = GrowingText(data)
        first.add(b"ab")
        second = first.fork()
        second.add(b"cd")
        second.add(b"ef")
        self.assertEqual((first.read(), second.read()), ("ab", "abcdef"))
        # A piece that reaches beyond what is there.
        first.add(b"cdefgh")
        self.assertEqual((first.read(), second.read()), ("abcdefgh", "abcdef"))
        self.assertEqual(data, b"abcdefgh")


class ItemTests(SynchronousTestCase):
    """Items that grow."""

    def test_fork(self) -> None:
        """A fork of an item in progress has parts of its own; a finished one does not change."""
        item = OutputItem(MESSAGE, "msg_1", 0)
        part = OutputPart(TEXT, GrowingText(bytearray()))
        item.parts.append(part)
        fork = item.fork()
        part.text.add(b"a")
        part.annotations.append({})
        self.assertEqual(fork.describe()["content"][0], {"type": TEXT, "text": "", "annotations": [], "logprobs": []})
        item.status = COMPLETED
        self.assertIs(item.fork(), item)
