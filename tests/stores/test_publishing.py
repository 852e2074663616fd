"""
Tests for `sseserver.stores.publishing`, beside those of `sseserver.testing.StoreContract`.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import KeyReused, StreamEnded, StreamExists
from sseserver.stores.publishing import publish
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind, NewEntry

#: The digest of one token `a` that closes no stream, as all versions have stored it.
DIGEST = "834d15c68a39fd389d065d04e27c71c5755021ab633794fdd72e50fcb026205f"


class PublishTests(SynchronousTestCase):
    """`publish` on a log in memory."""

    def makeLog(self, published: bool = True) -> StreamLog:
        """Make an empty log."""
        return StreamLog("name", "epoch", Ticker(Clock(), 0.005), 10_000, published=published)

    def test_digest(self) -> None:
        """
        The digest of a publish never changes: it is stored, and a repeat may come after an upgrade.
        """
        streamLog = self.makeLog()
        publish(streamLog, [NewEntry(Kind.TOKEN, b"a")], False, "key")
        use = streamLog.recall("key")
        assert use is not None
        self.assertEqual(use.digest.hex(), DIGEST)

    def test_close(self) -> None:
        """
        A publish that closes the stream ends it `done`, with the number of tokens; it may have no entry of its own.
        """
        streamLog = self.makeLog()
        publish(streamLog, [NewEntry(Kind.TOKEN, b"a"), NewEntry(Kind.EVENT, b"type\ndata")], False, None)
        numbers = self.successResultOf(publish(streamLog, [], True, None))
        self.assertEqual((numbers, streamLog.buffer.entries[-1]), ((3, 3), b'{"reason":"stop","tokens":1}'))
        self.assertEqual(streamLog.buffer.kind(3), Kind.DONE)

    def test_refused(self) -> None:
        """
        Nothing is appended to the stream of a run, to an ended stream, or with a key that other entries have.
        """
        entries = [NewEntry(Kind.TOKEN, b"a")]
        run, streamLog = self.makeLog(published=False), self.makeLog()
        self.assertRaises(StreamExists, publish, run, entries, False, None)
        publish(streamLog, entries, True, "key")
        self.assertRaises(StreamEnded, publish, streamLog, entries, False, None)
        self.assertRaises(KeyReused, publish, streamLog, entries, False, "key")
        self.assertEqual((run.last, streamLog.last), (0, 2))
