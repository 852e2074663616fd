"""
Tests for `sseserver.stores.publishing`, beside those of `sseserver.testing.StoreContract`.
"""

from __future__ import annotations

from unittest.mock import patch

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import KeyReused, StreamEnded, StreamExists
from sseserver.formats import EventsFormat
from sseserver.interfaces import Publication
from sseserver.stores import publishing
from sseserver.stores.publishing import publish
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind, NewEntry, PackedEntries, State
from tests.fakes import FakeViewer

#: The digest of one token `a` that closes no stream, with the version of its form.
DIGEST = "01a1654a5557b770f3428050827061a766beb116ce976d75527b5b902728ce45c7"

#: The same as version 0.1 stored it, made of a `repr`.
OLD_DIGEST = "834d15c68a39fd389d065d04e27c71c5755021ab633794fdd72e50fcb026205f"


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
        use = streamLog.keys.get("key")
        assert use is not None
        self.assertEqual(use.digest.hex(), DIGEST)

    def test_F63_earlierVersion(self) -> None:
        """
        F63: a key that an earlier version stored finds its entries, and is never refused: its digest has another form.
        """
        streamLog = self.makeLog()
        streamLog.append(Kind.TOKEN, b"a")
        streamLog.remember("key", bytes.fromhex(OLD_DIGEST), 1)
        repeated = self.successResultOf(publish(streamLog, [NewEntry(Kind.TOKEN, b"a")], False, "key"))
        self.assertEqual(repeated, Publication("epoch", 1, 1, True))
        self.assertEqual(streamLog.last, 1)

    def test_F47_noKeyNoDigest(self) -> None:
        """
        F47: a publish is hashed only for a key, by its bytes; entries that are cut otherwise have another digest.
        """
        streamLog = self.makeLog()
        with patch.object(publishing, "sha256", wraps=publishing.sha256) as hashed:
            publish(streamLog, [NewEntry(Kind.TOKEN, b"a")], False, None)
            self.assertFalse(hashed.called)
        publish(streamLog, [NewEntry(Kind.TOKEN, b"ab"), NewEntry(Kind.TOKEN, b"c")], False, "key")
        others = ([(Kind.TOKEN, b"a"), (Kind.TOKEN, b"bc")], [(Kind.TOKEN, b"abc")], [(Kind.TOKEN, b"ab2:1:c")])
        for entries in others:
            with self.assertRaises(KeyReused):
                publish(streamLog, [NewEntry(*entry) for entry in entries], False, "key")

    def test_F48_packed(self) -> None:
        """
        F48: packed entries become visible together: viewers are woken once.

        They are charged, trimmed, keyed and refused like others. A body without entries can still close its stream.
        """
        entries = [NewEntry(Kind.EVENT, b"message\n%d" % number) for number in range(700)]
        logs = [self.makeLog(), self.makeLog()]
        for streamLog, batch in zip(logs, (entries, PackedEntries(entries)), strict=True):
            streamLog.append(Kind.TOKEN, b"a")
            publication = self.successResultOf(publish(streamLog, batch, False, "key"))
            self.assertEqual(publication, Publication("epoch", 2, 701))
            self.assertLessEqual(streamLog.buffer.size + streamLog.keyBytes, 10_000)
            self.assertEqual(streamLog.buffer.entries[-1], b"message\n699")
            self.assertEqual(streamLog.buffer.tokens, 1)
        self.assertEqual(*[streamLog.keys for streamLog in logs])
        streamLog = self.makeLog()
        seen: list[int] = []
        streamLog.follow(FakeViewer(lambda: seen.append(streamLog.last)), EventsFormat())
        publish(streamLog, PackedEntries(entries[:5]), False, None)
        self.assertEqual(seen, [5])
        publication = self.successResultOf(publish(streamLog, PackedEntries(), True, None))
        self.assertEqual(publication, Publication("epoch", 6, 6))
        self.assertRaises(StreamEnded, streamLog.extend, PackedEntries(entries[:5]))

    def test_F48_packedEnd(self) -> None:
        """F48: packed entries whose last one is terminal end the stream."""
        streamLog = self.makeLog()
        publish(streamLog, PackedEntries([NewEntry(Kind.TOKEN, b"a"), NewEntry(Kind.DONE, b"{}")]), False, None)
        self.assertEqual((streamLog.state, streamLog.sealed), (State.DONE, True))

    def test_close(self) -> None:
        """
        A publish that closes the stream ends it `done`, with the number of tokens; it may have no entry of its own.
        """
        streamLog = self.makeLog()
        publish(streamLog, [NewEntry(Kind.TOKEN, b"a"), NewEntry(Kind.EVENT, b"type\ndata")], False, None)
        self.assertEqual(self.successResultOf(publish(streamLog, [], True, None)), Publication("epoch", 3, 3))
        self.assertEqual(streamLog.buffer.entries[-1], b'{"reason":"stop","tokens":1}')
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
