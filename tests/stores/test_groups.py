"""
Tests for `sseserver.stores.groups`.
"""

from __future__ import annotations

import gc

from twisted.internet.defer import Deferred

from sseserver.stores.groups import KeptStream, PendingChanges, PendingDeletion
from sseserver.streams.account import Account
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.cost import measureStream
from sseserver.values import Addition, Creation, Deletion, Entry, KeyUse, Kind, StoredStream, Trim
from tests.stores.cases import GroupTestCase


class KeptStreamTests(GroupTestCase):
    """A stream, with its log in memory or without."""

    def test_size(self) -> None:
        """
        The size of a stored stream is that of its data, its keys and its name, and the cost of each entry and its own.
        """
        stream = KeptStream(StoredStream("a", "epoch", True, 5.0, 6.0, 4, 8, 100, 3, False, 500), Account())
        self.assertEqual((stream.size, stream.log), (measureStream("a") + 600 + 5 * ENTRY_COST, None))

    def test_hold(self) -> None:
        """
        The log of an open stream is held; that of an ended one only as long as it is used.
        """
        stream, streamLog = self.makeStream("a", b"x")
        del streamLog
        gc.collect()
        streamLog = stream.log
        assert streamLog is not None
        streamLog.append(Kind.DONE, b"{}")
        streamLog.commit(2)
        stream.hold(streamLog)
        self.assertIs(stream.log, streamLog)
        del streamLog
        gc.collect()
        self.assertIsNone(stream.log)
        size = measureStream("a") + 3 + 2 * ENTRY_COST
        self.assertEqual((stream.first, stream.size, stream.ended), (1, size, 0.0))


class TakeTests(GroupTestCase):
    """Changes in groups."""

    def test_order(self) -> None:
        """
        Deletions come first, then trims, new streams, and entries with their keys; a trim of a deleted stream is left
        out.
        """
        pending = PendingChanges()
        (old, oldLog), (new, newLog), (trimmed, trimmedLog) = map(self.makeStream, "abc")
        newLog.append(Kind.TOKEN, b"x")
        newLog.remember("key", b"digest", 1)
        newLog.append(Kind.DONE, b"{}")
        pending.created.append(new)
        pending.dirty[new] = newLog
        pending.trimmed.update({old: oldLog, trimmed: trimmedLog})
        pending.deletions.append(PendingDeletion(old, Deferred()))
        deletion, trim, creation, addition = pending.takeGroup().listChanges(9.0)
        self.assertEqual(deletion, Deletion("epoch-a"))
        self.assertEqual(trim, Trim("epoch-c", 1, 0))
        self.assertEqual(creation, Creation("b", "epoch-b", True, 5.0))
        assert isinstance(addition, Addition)
        self.assertEqual(list(addition.entries), [Entry(1, Kind.TOKEN, b"x"), Entry(2, Kind.DONE, b"{}")])
        self.assertEqual((addition.keys, addition.ended), ({"key": KeyUse(b"digest", 1, 1)}, 9.0))
        self.assertEqual(pending.takeGroup().listChanges(9.0), [])

    def test_all(self) -> None:
        """
        All changes can be taken at once; nothing is left.
        """
        pending = PendingChanges()
        stream, streamLog = self.makeStream("a", b"1")
        deletion = PendingDeletion(stream, Deferred())
        pending.created.append(stream)
        pending.dirty[stream] = pending.trimmed[stream] = streamLog
        pending.deletions.append(deletion)
        for changes in ([stream], {stream: streamLog}, [deletion]), ([], {}, []):
            taken = pending.takeAll()
            self.assertEqual((taken.created, taken.dirty, taken.deletions), changes)
            self.assertEqual(taken.trimmed, taken.dirty)

    def test_newKeys(self) -> None:
        """
        Only keys of entries that are not stored yet are written.
        """
        pending = PendingChanges()
        stream, streamLog = self.makeStream("a", b"1")
        streamLog.remember("old", b"digest", 1)
        stream.last = 1
        for number, key in ((2, "second"), (3, "third")):
            streamLog.append(Kind.TOKEN, b"x")
            streamLog.remember(key, b"digest", number)
        pending.dirty[stream] = streamLog
        (addition,) = pending.takeGroup().listChanges(0.0)
        assert isinstance(addition, Addition)
        self.assertEqual(list(addition.keys), ["second", "third"])

    def test_deletedLater(self) -> None:
        """
        A stream with other changes is deleted in a later group.
        """
        pending = PendingChanges()
        stream, streamLog = self.makeStream("a", b"1")
        pending.dirty[stream] = streamLog
        pending.deletions.append(PendingDeletion(stream, Deferred()))
        self.assertEqual([type(change) for change in pending.takeGroup().listChanges(0.0)], [Addition])
        self.assertEqual([type(change) for change in pending.takeGroup().listChanges(0.0)], [Deletion])
