"""Tests for `sseserver.stores.sqlite.backup`: F135, a copy of a store in use."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import Any

from sseserver.errors import GapError, StoreUnavailable
from sseserver.stores.sqlite import backup
from sseserver.stores.sqlite.backup import ATTEMPTS, makeBackup
from tests.stores.sqlite.files import StoreTestCase


class BackupTests(StoreTestCase):
    """A store that goes on while it is copied."""

    def setUp(self) -> None:
        """Make a stream. This process may copy its own file: no other one tries to open it."""
        super().setUp()
        self.patch(backup, "OPEN_FILES", set())
        self.log = self.create("a", tokens=3)
        self.copy = Path(self.mktemp())

    def startCopy(self, path: Path) -> Any:
        """Stop the store, start one on a copy, and return the copied log."""
        self.result(self.store.stop())
        self.path = str(path)
        self.store = self.makeStore()
        self.store.start()
        return self.result(self.store.find("a"))

    def changeWhileCopying(self, times: int) -> list[Path]:
        """Begin the write-ahead log anew behind the first copies of the file; return the list of copied files."""
        copied: list[Path] = []
        copyfile = shutil.copyfile

        def copyAndChange(source: Path, target: Path) -> None:
            copyfile(source, target)
            copied.append(Path(source))
            if source == Path(self.path).resolve() and len(copied) <= 2 * times:
                self.append(self.log, 1)
                self.settle()
                self.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self.append(self.log, 1)
                self.settle()

        self.patch(shutil, "copyfile", copyAndChange)
        return copied

    def test_F75_mode(self) -> None:
        """F75: a copy has the mode of the store, and is for its owner only while it is made."""
        Path(self.path).chmod(0o640)
        during: list[int] = []
        copyfile = shutil.copyfile

        def look(source: Path, target: Path) -> None:
            during.append(stat.S_IMODE(target.stat().st_mode))
            copyfile(source, target)

        self.patch(shutil, "copyfile", look)
        makeBackup(Path(self.path), self.copy)
        self.assertEqual(set(during), {0o600})
        self.assertEqual(stat.S_IMODE(self.copy.stat().st_mode), 0o640)

    def test_F135_running(self) -> None:
        """F135: the copy is one file with what was stored when it was made, and its open streams have new epochs."""
        makeBackup(Path(self.path), self.copy)
        self.append(self.log, 1, b"SEEN")
        self.settle()
        self.assertEqual(self.log.last, 4)
        self.assertEqual([path.name for path in self.copy.parent.glob(f"{self.copy.name}*")], [self.copy.name])
        found = self.startCopy(self.copy)
        self.assertEqual(found.buffer.entries, [b"x"] * 3)
        self.assertRaises(GapError, found.locate, f"{self.log.epoch}-3")

    def test_F135_inPlace(self) -> None:
        """F135: a backup that is written over the original file is told from it as well."""
        makeBackup(Path(self.path), self.copy)
        self.append(self.log, 1, b"SEEN")
        self.result(self.store.stop())
        Path(self.path).write_bytes(self.copy.read_bytes())
        self.store.start()
        found = self.startCopy(Path(self.path))
        self.assertEqual((found.last, found.epoch == self.log.epoch), (3, False))

    def test_F135_stopped(self) -> None:
        """F135: a store that no server uses can be copied, too."""
        self.result(self.store.stop())
        makeBackup(Path(self.path), self.copy)
        self.store.start()
        self.assertEqual(self.startCopy(self.copy).last, 3)

    def test_F135_changes(self) -> None:
        """F135: when the log is begun anew while the file is copied, the copy is made again."""
        copied = self.changeWhileCopying(2)
        makeBackup(Path(self.path), self.copy)
        self.assertEqual(len(copied), 6)
        found = self.startCopy(self.copy)
        self.assertEqual((found.last, len(found.buffer.entries)), (7, 7))

    def test_F135_changesTooFast(self) -> None:
        """F135: a store that never rests is not copied, and nothing is left of the attempts."""
        self.changeWhileCopying(ATTEMPTS)
        self.assertRaises(StoreUnavailable, makeBackup, Path(self.path), self.copy)
        self.assertEqual(list(self.copy.parent.glob(f"{self.copy.name}*")), [])

    def test_F135_refused(self) -> None:
        """F135: no file is overwritten, and a missing one or one of another program is not copied."""
        self.copy.write_text("mine")
        self.assertRaises(StoreUnavailable, makeBackup, Path(self.path), self.copy)
        self.assertRaises(StoreUnavailable, makeBackup, self.copy, Path(self.mktemp()))
        self.assertRaises(StoreUnavailable, makeBackup, Path(self.mktemp()), Path(self.mktemp()))
        self.assertEqual(self.copy.read_text(), "mine")

    def test_F135_sameProcess(self) -> None:
        """F135: a process does not copy a file that it has open: it would lose its locks."""
        self.patch(backup, "OPEN_FILES", {Path(self.path).resolve()})
        self.assertRaises(StoreUnavailable, makeBackup, Path(self.path), self.copy)
