"""
Messages on tails.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.stores.redis.messages import TailEntries, parseEntries


class MessageTests(SynchronousTestCase):
    """Messages with entries."""

    def test_one(self) -> None:
        """One entry may have any bytes."""
        self.assertEqual(parseEntries(b"+E 7 3 \n\x00a\n\xff"), TailEntries("E", 7, b"\x00", [b"a\n\xff"], None))
        self.assertEqual(parseEntries(b"+E 7 0 \n\x01"), TailEntries("E", 7, b"\x01", [b""], None))

    def test_many(self) -> None:
        """Several entries are divided by their sizes; the last may end the stream."""
        message = b"+E 1 2,0,1 12.5\n\x00\x01\x08" + b"ab" + b"c"
        self.assertEqual(parseEntries(message), TailEntries("E", 1, b"\x00\x01\x08", [b"ab", b"", b"c"], 12.5))

    def test_malformed(self) -> None:
        """Anything else is refused."""
        for message in (b"", b"+", b"+E 1\nx", b"+E a 1 \nxy"):
            self.assertRaises(ValueError, parseEntries, message)
