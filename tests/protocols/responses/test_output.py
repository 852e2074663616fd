"""
Tests for `sseserver.protocols.responses.output`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.responses.output import (
    COMPLETED,
    MESSAGE,
    TEXT,
    GrowingText,
    OutputItem,
    OutputPart,
    SharedText,
)
from sseserver.streams.account import Account


class GrowingTextTests(SynchronousTestCase):
    """Texts that share their bytes."""

    def test_shared(self) -> None:
        """Each text ends at its own place; pieces that another one has added are not added again."""
        shared = SharedText(None)
        first = GrowingText(shared)
        first.add(b"ab")
        second = first.fork()
        second.add(b"cd")
        second.add(b"ef")
        self.assertEqual((first.read(), second.read()), ("ab", "abcdef"))
        # A piece that reaches beyond what is there.
        first.add(b"cdefgh")
        self.assertEqual((first.read(), second.read()), ("abcdefgh", "abcdef"))
        self.assertEqual(shared.data, b"abcdefgh")

    def test_counted(self) -> None:
        """The bytes of a text are counted once, with room to grow, and no longer than any text has them."""
        account = Account()
        first = GrowingText(SharedText(account))
        self.assertEqual(account.used, 0)
        for _ in range(100):
            first.add(bytes(1000))
            second = first.fork()
        self.assertTrue(100_000 <= account.used < 120_000, account.used)
        del first
        self.assertGreaterEqual(account.used, 100_000)
        del second
        self.assertEqual(account.used, 0)


class ItemTests(SynchronousTestCase):
    """Items that grow."""

    def test_fork(self) -> None:
        """A fork of an item in progress has parts of its own; a finished one does not change."""
        item = OutputItem(MESSAGE, "msg_1", 0)
        part = OutputPart(TEXT, GrowingText(SharedText(None)))
        item.parts.append(part)
        fork = item.fork()
        part.text.add(b"a")
        part.annotations.append({})
        self.assertEqual(fork.describe()["content"][0], {"type": TEXT, "text": "", "annotations": [], "logprobs": []})
        item.status = COMPLETED
        self.assertIs(item.fork(), item)
