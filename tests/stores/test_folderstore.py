"""
The contract of a store for `docs/examples/folderstore.py`, which shares no code with our stores.
"""

from __future__ import annotations

import sys
from errno import ENOSPC
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred

from sseserver.errors import StoreUnavailable
from sseserver.values import Kind, NewEntry, State
from tests.house import ROOT

sys.path.append(str(ROOT / "docs" / "examples"))

import folderstore
import foldertests


class FolderStoreTests(foldertests.FolderStoreTests):  # type: ignore[misc]
    """The contract, and the faults of a folder."""

    def onlyFile(self) -> Path:
        """Return the path of the only stream's file."""
        (path,) = Path(self.folder).glob("*.jsonl")
        return path

    def test_inUse(self) -> None:
        """
        A folder that is in use is refused.
        """
        other: Any = folderstore.FolderPersistence(self.folder, maybeDeferred)
        self.assertRaises(StoreUnavailable, other.start, 0.0)

    def test_torn(self) -> None:
        """
        Half a line at the end of a file, which a dead process left, is cut off.
        """
        self.create("a", tokens=3)
        self.crash()
        with self.onlyFile().open("ab") as file:
            file.write(b'{"entries": [[4, 0,')
        self.store = self.makeStore(self.window)
        self.store.start()
        self.assertEqual(self.publish("a", b"4"), (4, 4))
        self.startAfterCrash()
        self.assertEqual(self.find("a").buffer.entries, [b"1", b"2", b"3", b"4"])

    def test_full(self) -> None:
        """
        A write that fails stores nothing: a publish is refused, and the entries of a run are written again.
        """
        self.create("a", tokens=1)
        run = self.create("run", published=False, tokens=1)
        append = folderstore.append

        def fillDisk(path: Path, lines: list[Any]) -> None:
            if path.stem == run.epoch:
                raise OSError(ENOSPC, "No space left on device")
            append(path, lines)

        full = self.patch(folderstore, "append", fillDisk)
        published = self.store.publish("a", [NewEntry(Kind.TOKEN, b"2")], True)
        run.append(Kind.TOKEN, b"2")
        self.assertRefused(published, StoreUnavailable)
        self.assertEqual((self.find("a").last, self.find("a").state, run.last), (1, State.OPEN, 1))
        full.restore()
        self.settle()
        self.assertEqual((run.last, self.publish("a", b"new")), (2, (2, 2)))
        self.startAfterCrash()
        self.assertEqual(self.find("a").buffer.entries, [b"1", b"new"])
        self.assertEqual(self.find("run").buffer.entries[:2], [b"1", b"2"])
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)
