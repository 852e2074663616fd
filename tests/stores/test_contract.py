"""
The contract of `IStreamStore`, for every store.
"""

from __future__ import annotations

import shutil
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
        """A copy of the files is what is left; the dead process's own is stopped for the clock's sake."""
        copy = self.mktemp()
        for end in ("", "-wal"):
            shutil.copy(self.path + end, copy + end)
        self.result(self.store.stop())
        Path(self.path).unlink()
        self.path = copy
