"""
The contract of `IStreamStore`, for every store.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import IStreamStore
from sseserver.stores.memory import MemoryStore
from sseserver.stores.sqlite import SQLiteStore
from sseserver.testing import StoreContract


class MemoryStoreTests(StoreContract, SynchronousTestCase):
    """In memory."""

    def makeStore(self, window: int) -> IStreamStore:
        return MemoryStore(self.clock, window)


class SQLiteStoreTests(StoreContract, SynchronousTestCase):
    """In an SQLite file, written without a thread."""

    survives = True
    path = ""

    def makeStore(self, window: int) -> IStreamStore:
        self.path = self.path or self.mktemp()
        return SQLiteStore(self.clock, self.path, window, maybeDeferred)

    def crash(self) -> None:
        """Both files are as they were when the process died; its store is stopped for the clock's sake."""
        paths = [Path(self.path), Path(self.path + "-wal")]
        contents = [path.read_bytes() for path in paths]
        self.result(self.store.stop())
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
