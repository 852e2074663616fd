"""
The contract of a store for `docs/examples/folderstore.py`, which shares no code with our stores.
"""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IPersistence, IStreamStore
from sseserver.stores.persistent import PersistentStore
from sseserver.testing import StoreContract
from tests.house import ROOT

EXAMPLE = runpy.run_path(str(ROOT / "docs" / "examples" / "folderstore.py"))


class FolderStoreTests(StoreContract, SynchronousTestCase):
    """`PersistentStore` on a folder of JSON lines, written without a thread."""

    survives = True
    folder = ""

    def makeStore(self, window: int) -> IStreamStore:
        self.folder = self.folder or self.mktemp()
        persistence: IPersistence = EXAMPLE["FolderPersistence"](self.folder, maybeDeferred)
        return PersistentStore(self.clock, persistence, window)

    def crash(self) -> None:
        """Another process finds a copy of the folder; the store of the dead one is stopped for its clock's sake."""
        copy = self.mktemp()
        shutil.copytree(self.folder, copy)
        self.result(self.store.stop())
        self.folder = copy

    def test_inUse(self) -> None:
        """
        A folder that is in use is refused.
        """
        other: Any = EXAMPLE["FolderPersistence"](self.folder, maybeDeferred)
        self.assertRaises(StoreUnavailable, other.start, 0.0)

    def test_torn(self) -> None:
        """
        Half a line at the end of a file, which a dead process left, is cut off.
        """
        self.create("a", tokens=3)
        self.crash()
        (path,) = Path(self.folder).glob("*.jsonl")
        with path.open("ab") as file:
            file.write(b'{"entries": [[4, 0,')
        self.store = self.makeStore(self.window)
        self.store.start()
        self.assertEqual(self.publish("a", b"4"), (4, 4))
        self.startAfterCrash()
        self.assertEqual(self.find("a").buffer.entries, [b"1", b"2", b"3", b"4"])
