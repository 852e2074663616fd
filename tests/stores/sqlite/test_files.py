"""
Tests for `sseserver.stores.sqlite.files`, and what a store does when its file is taken away.

Those of `checkFile` are tests of `Database`, which calls it.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from sseserver.errors import StoreUnavailable
from sseserver.stores.groupwriter import RETRY
from sseserver.stores.sqlite import files
from sseserver.stores.sqlite.database import Database
from sseserver.stores.sqlite.files import PAGE, VERSION, identifyFile
from sseserver.stores.sqlite.rows import StreamSegment, Transaction
from tests.stores.sqlite.files import StoreTestCase
from tests.stores.sqlite.test_database import NOBODY, DatabaseTestCase, foreign, segment, snapshot


class ModeTests(StoreTestCase):
    """F75: modes of the files."""

    def modes(self) -> list[int]:
        """Return the modes of the file, its log and their index."""
        path = Path(self.path)
        return [stat.S_IMODE(each.stat().st_mode) for each in sorted(path.parent.glob(f"{path.name}*"))]

    def test_F75_new(self) -> None:
        """A new store is for its owner only, with its log."""
        self.create("a", tokens=2)
        self.settle()
        self.assertGreater(len(self.modes()), 1)
        self.assertEqual(set(self.modes()), {0o600})

    def test_F75_existing(self) -> None:
        """A store that exists keeps the mode that its owner has given it."""
        self.result(self.store.stop())
        Path(self.path).chmod(0o640)
        self.store = self.makeStore()
        self.store.start()
        self.assertEqual(set(self.modes()), {0o640})


class IdentityTests(SynchronousTestCase):
    """The identity of a file."""

    def test_identity(self) -> None:
        """A renamed file keeps its identity, a copy has another, and a missing file has none."""
        path, other = Path(self.mktemp()), Path(self.mktemp())
        path.write_bytes(b"x")
        known = identifyFile(path)
        self.assertIsNotNone(known)
        shutil.copy(path, other)
        self.assertNotEqual(identifyFile(other), known)
        path.rename(other)
        self.assertEqual(identifyFile(other), known)
        self.assertIsNone(identifyFile(path))


class MovedTests(StoreTestCase):
    """F128: the file of a running store is deleted, renamed or replaced."""

    def setUp(self) -> None:
        """Make a stream."""
        super().setUp()
        self.log = self.create("a", tokens=2)

    def refusePublish(self) -> None:
        """A publish, a new stream and a deletion fail, and nothing is visible of them."""
        self.append(self.log, 1)
        refused = [self.log.awaitStored(), self.store.create("b", True), self.store.delete("a")]
        for _ in range(2):
            # The deletion is written after the publish.
            self.settle()
            self.clock.advance(RETRY)
        for deferred in refused:
            self.refused(deferred, StoreUnavailable)
        self.assertEqual((self.log.last, self.store.count), (2, 1))

    def tearDown(self) -> None:
        """The log says once what is wrong."""
        super().tearDown()
        (failure,) = self.flushLoggedErrors(StoreUnavailable)
        self.assertIn("deleted, renamed or replaced", str(failure))

    def test_F128_deleted(self) -> None:
        """F128: without its file, or without its write-ahead log, a store confirms no publish."""
        for ends in (["-wal"], ["", "-wal"]):
            for end in ends:
                Path(self.path + end).unlink(missing_ok=True)
            self.refusePublish()

    def test_F128_renamed(self) -> None:
        """F128: a renamed file is not written to; when it is back, the store goes on."""
        other = self.mktemp()
        Path(self.path).rename(other)
        self.refusePublish()
        Path(other).rename(self.path)
        self.clock.advance(RETRY)
        self.append(self.log, 1)
        self.result(self.log.awaitStored())
        self.assertEqual(self.log.last, 3)

    def test_F128_replaced(self) -> None:
        """F128: another file under the name, such as that of a second server, does not count as the store's."""
        Path(self.path).rename(self.mktemp())
        shutil.copy(self.path + "-wal", self.path)
        self.refusePublish()
        Path(self.path).unlink()


class RefusalTests(DatabaseTestCase):
    """Files that cannot be used are refused and not changed."""

    def refuse(self, words: str, path: Path | None = None) -> None:
        """The file is refused with these words, and its folder is as it was."""
        path = path or self.path
        before = snapshot(path.parent)
        error = self.assertRaises(StoreUnavailable, Database, str(path))
        self.assertIn(words, str(error))
        self.assertEqual(snapshot(path.parent), before)
        self.assertNotIn("\n", str(error))

    def test_foreign(self) -> None:
        """
        An SQLite file of another program.
        """
        with foreign(self.path) as connection:
            connection.execute("CREATE TABLE t (x)")
        self.refuse("not a file of sseserver")

    def test_foreignLog(self) -> None:
        """
        An SQLite file of another program with a write-ahead log, closed, in use, or left by a crash.
        """
        with foreign(self.path) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE t (x)")
            self.assertIn("streams.db-wal", snapshot(self.folder))
            self.refuse("not a file of sseserver")
            after = self.crash()
        self.refuse("not a file of sseserver")
        self.refuse("not a file of sseserver", after)

    def test_noDatabase(self) -> None:
        """
        A file that is no database: text, noise, an image of zeros.
        """
        for content in (b"Dear diary,\n" * 1000, b"\x89PNG\r\n\x1a\n" * 20, bytes(8192), b"x"):
            self.path.write_bytes(content)
            self.refuse("not a file of sseserver")

    def test_version(self) -> None:
        """
        A file of another version of ours.
        """
        self.make()
        self.close()
        with foreign(self.path) as connection:
            connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        self.refuse(f"version {VERSION + 1}")

    def damage(self) -> None:
        """Make a file of some size, and overwrite the middle of it."""
        database = self.make()
        database.commit(Transaction(filed=[StreamSegment(1, segment(4, *[b"x" * 500] * 200))]))
        self.close()
        with self.path.open("r+b") as file:
            file.seek(self.path.stat().st_size // 2)
            file.write(b"\xff" * 5000)

    def test_damaged(self) -> None:
        """
        A file of ours that was overwritten in the middle.
        """
        self.damage()
        self.refuse("damaged")

    def test_damagedLog(self) -> None:
        """
        A file of ours that was damaged and has a write-ahead log as well, left by a crash.
        """
        self.damage()
        damaged = self.path.read_bytes()
        self.path.unlink()
        database = self.make()
        database.commit(Transaction(filed=[StreamSegment(1, segment(4, *[b"x" * 500] * 200))]))
        after = self.crash()
        after.write_bytes(damaged[: len(damaged) // 2])
        after.with_name("streams.db-wal").write_bytes(b"")
        self.refuse("", after)
        log = after.with_name("streams.db-wal")
        log.write_bytes(self.path.with_name("streams.db-wal").read_bytes())
        # All but the first page: some are in the log as well, and are good there.
        size = after.stat().st_size
        with after.open("r+b") as file:
            file.seek(PAGE)
            file.write(b"\xff" * (size - PAGE))
        self.refuse("", after)

    def test_truncated(self) -> None:
        """
        A file of ours that was cut.
        """
        database = self.make()
        database.commit(Transaction(filed=[StreamSegment(1, segment(4, *[b"x" * 500] * 200))]))
        self.close()
        whole = self.path.read_bytes()
        for size in (100, 1024, PAGE, len(whole) // 2, len(whole) - PAGE, len(whole) - 1):
            self.path.write_bytes(whole[:size])
            self.refuse("")

    def test_tableMissing(self) -> None:
        """
        A sound file that says it is ours, but is not built as it should be, is refused when it is taken up.
        """
        self.make()
        self.close()
        with foreign(self.path) as connection:
            connection.execute("DROP TABLE life")
        before = snapshot(self.folder)
        database = Database(str(self.path))
        error = self.assertRaises(StoreUnavailable, self.recover, database)
        self.assertIn("no such table", str(error))
        self.assertEqual(snapshot(self.folder), before)

    def test_folder(self) -> None:
        """
        A folder, and a file in a folder that is not there.
        """
        self.refuse("directory", self.folder)
        error = self.assertRaises(StoreUnavailable, Database, str(self.folder / "missing" / "streams.db"))
        self.assertIn("unable to open", str(error))
        self.assertEqual(snapshot(self.folder), {})

    def test_permission(self) -> None:
        """
        A file that may be read but not be written, and a folder in which nothing may be made.
        """
        if os.geteuid():
            raise SkipTest("Only root can become somebody else.")
        self.make()
        self.close()
        # Not below the folder of the tests, where nobody may not even look.
        folder = Path("/tmp") / f"sseserver-{os.getpid()}"
        folder.mkdir(0o755)
        self.addCleanup(shutil.rmtree, folder)
        path = Path(shutil.copy(self.path, folder))
        path.chmod(0o644)
        before = snapshot(folder)
        os.seteuid(NOBODY)
        try:
            errors = [
                self.assertRaises(StoreUnavailable, Database, str(each)) for each in (path, folder / "another.db")
            ]
        finally:
            os.seteuid(0)
        self.assertIn("Permission denied", str(errors[0]))
        self.assertIn("unable to open", str(errors[1]))
        self.assertEqual(snapshot(folder), before)

    def test_openAlready(self) -> None:
        """
        A file that this process has open, by whatever name; the first one goes on.
        """
        database = self.make()
        link = self.folder / "link.db"
        link.symlink_to(self.path.name)
        for path in (self.path, self.folder / ".." / self.folder.name / "streams.db", link):
            error = self.assertRaises(StoreUnavailable, Database, str(path))
            self.assertIn("open already", str(error))
        database.commit(Transaction(filed=[StreamSegment(1, segment(4, b"d"))]))
        self.assertEqual(self.load(database).entries.entries, [b"a", b"b", b"c", b"d"])

    def test_openElsewhere(self) -> None:
        """
        A file that somebody else has open (here: a connection of SQLite's own that writes).
        """
        self.make()
        self.close()
        with foreign(self.path) as connection:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            self.refuse("another process has it open")
        self.assertEqual(len(self.recover(self.open())), 1)

    def test_F53_large(self) -> None:
        """
        F53: the pages of a large file are not all read at the start; damage in one of its tables shows when it is read.
        """
        self.damage()
        self.patch(files, "CHECKED", 100_000)
        database = self.open()
        self.assertRaises(StoreUnavailable, self.recover, database)
        self.opened.clear()
