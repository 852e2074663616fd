"""
Tests for `sseserver.service.streamkeys`.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import StreamNotFound
from sseserver.service.streamkeys import StreamKeys
from sseserver.stores.memory import MemoryStore
from sseserver.streams.account import Account


class StreamKeysTests(SynchronousTestCase):
    """The keys of streams."""

    def test_forget(self) -> None:
        """The keys of a stream that is deleted are dropped from every set, and no longer counted."""
        store, account = MemoryStore(Clock(), 1000), Account()
        store.start()
        keys = StreamKeys(store, account)
        streamLog = self.successResultOf(store.create("a", published=False))
        sets = [keys.makeKept("chats"), keys.makeKept("visitors")]
        for kept in sets:
            kept.add("key", streamLog)
            self.assertIs(self.successResultOf(kept.find("key")), streamLog)
        keys.forget(streamLog.epoch)
        for kept in sets:
            self.failureResultOf(kept.find("key"), StreamNotFound)
        self.assertEqual((account.used, account.count), (0, 0))
