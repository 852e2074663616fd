"""
Tests for `sseserver.stores.sqlite.database`.
"""

from __future__ import annotations

import shutil
import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import StoreUnavailable
from sseserver.stores.sqlite.database import OPEN_FILES, Database, RecoveredStream
from sseserver.stores.sqlite.files import APPLICATION_ID, PAGE, VERSION
from sseserver.stores.sqlite.rows import (
    EndedRow,
    FreshEntries,
    KeyRow,
    StreamRow,
    StreamSegment,
    Transaction,
    TrimmedRow,
)
from sseserver.streams.buffer import EntryBuffer
from sseserver.streams.cost import measureKey
from sseserver.streams.segments import Segment
from sseserver.values import KeyUse, Kind, StoredEntries, StoredStream

NOBODY = 65534


def snapshot(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@contextmanager
def foreign(path: Path) -> Iterator[sqlite3.Connection]:
    """Use a file behind the store's back, in a transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def segment(first: int, *data: bytes, kind: Kind = Kind.TOKEN, begin: int | None = None) -> Segment:
    """Write entries that follow one another, behind others of one byte each, or of so many in all."""
    ends = array("Q", accumulate(map(len, data), initial=first - 1 if begin is None else begin))
    return Segment(first, bytes([kind]) * len(data), ends[1:], b"".join(data))


def fresh(*segments: tuple[int, Segment]) -> FreshEntries:
    """Gather segments of streams."""
    gathered = FreshEntries()
    for stream, each in segments:
        gathered.add(stream, EntryBuffer(each, 0), each.first, each.last)
    return gathered


class DatabaseTestCase(SynchronousTestCase):
    """Gives each test a folder, the path of a file in it, and databases that are closed in the end."""

    def setUp(self) -> None:
        """Make the folder."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "streams.db"
        self.opened: list[Database] = []
        # Other tests of this process may have let stores crash, which close nothing.
        self.openBefore = set(OPEN_FILES)

    def tearDown(self) -> None:
        """Nothing stays open."""
        for database in self.opened:
            database.close()
        left = OPEN_FILES - self.openBefore
        OPEN_FILES.intersection_update(self.openBefore)
        self.assertEqual(left, set())

    def open(self, path: Path | None = None) -> Database:
        """Open a database, the test's own if no other is said."""
        database = Database(str(path or self.path))
        self.opened.append(database)
        return database

    def load(self, database: Database, stream: int = 1, first: int = 1) -> StoredEntries:
        """Read all entries of a stream from one on."""
        return database.load(stream, first, 1_000_000)

    def close(self) -> None:
        """Close in good order what was opened last."""
        self.opened.pop().close()

    def recover(self, database: Database, boot: str = "boot", now: float = 1000.0) -> list[RecoveredStream]:
        """Recover with the epochs `new0`, `new1` ..."""
        return database.recover(now, iter([f"new{number}" for number in range(10)]), boot)

    def make(self, published: bool = False) -> Database:
        """Make a file with one stream of three tokens and a key."""
        database = self.open()
        self.recover(database)
        made = [StreamRow(1, "name", "epoch", published, 5.0)]
        database.commit(
            Transaction(
                created=made,
                filed=[StreamSegment(1, segment(1, b"a", b"b", b"c"))],
                keys=[KeyRow(1, "key", b"digest", 2, 3)],
            )
        )
        return database

    def crash(self) -> Path:
        """Copy what a process that dies now would leave into another folder; return the file's path there."""
        after = Path(self.mktemp())
        shutil.copytree(self.folder, after)
        return after / self.path.name


class OpenTests(DatabaseTestCase):
    """New files, and files that a process left."""

    def test_new(self) -> None:
        """
        A new file is ours, with the version, from the first moment on; and it is made where there is none or an
        empty one.
        """
        for name in ("one.db", "a b%20?#ä.db"):
            path = self.folder / name
            if name == "one.db":
                path.touch()
            database = self.open(path)
            header = path.read_bytes()[:100]
            self.assertEqual(int.from_bytes(header[68:72], "big"), APPLICATION_ID)
            self.assertEqual(int.from_bytes(header[60:64], "big"), VERSION)
            self.assertEqual(self.recover(database), [])

    def test_again(self) -> None:
        """
        A file that was closed cleanly is a single file with everything in it.
        """
        self.make(published=True)
        self.close()
        self.assertEqual(list(snapshot(self.folder)), ["streams.db"])
        database = self.open()
        self.assertEqual(
            self.recover(database),
            [RecoveredStream(1, StoredStream("name", "epoch", True, 5.0, None, 1, 3, 3, 0, False, measureKey("key")))],
        )
        self.assertEqual(
            self.load(database), StoredEntries(segment(1, b"a", b"b", b"c"), {"key": KeyUse(b"digest", 2, 3)})
        )

    def test_makingInterrupted(self) -> None:
        """
        A file whose creation was interrupted is created anew.
        """
        with foreign(self.path) as connection:
            connection.execute("PRAGMA cache_size = 1")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("CREATE TABLE streams (x)")
            connection.executemany("INSERT INTO streams VALUES (?)", [(b"x" * 3000,)] * 50)
            after = self.crash()
        self.assertEqual(sorted(snapshot(after.parent)), ["streams.db", "streams.db-journal"])
        # SQLite writes the first page last: it may have come as far.
        whole = self.folder / "whole.db"
        self.open(whole)
        self.close()
        with after.open("r+b") as file:
            file.write(whole.read_bytes()[:PAGE])
        self.assertEqual(self.recover(self.open(after)), [])

    def test_crash(self) -> None:
        """
        Committed entries survive the death of the process; the run that was under way ends `failed`.
        """
        self.make()
        after = self.crash()
        self.assertIn("streams.db-wal", snapshot(after.parent))
        database = self.open(after)
        (row,) = self.recover(database, now=1234.0)
        self.assertEqual((row.stream.epoch, row.stream.ended, row.stream.last), ("epoch", 1234.0, 4))
        contents = self.load(database)
        self.assertEqual((contents.entries.kinds, contents.entries.entries[:3]), (b"\0\0\0\x09", [b"a", b"b", b"c"]))
        self.assertIn(b'"interrupted"', contents.entries.entries[3])
        self.assertNotIn("streams.db-shm", snapshot(after.parent))

    def test_order(self) -> None:
        """
        Streams that ended come first, the oldest before the others.
        """
        database = self.open()
        self.recover(database)
        made = [StreamRow(number, str(number), f"epoch{number}", True, 0.0) for number in range(1, 5)]
        database.commit(Transaction(created=made, ended=[EndedRow(30.0, 1), EndedRow(10.0, 4), EndedRow(20.0, 2)]))
        self.close()
        self.assertEqual([row.number for row in self.recover(self.open())], [4, 2, 1, 3])


class BootTests(DatabaseTestCase):
    """After the end of the machine numbers that viewers saw may be lost: they are not given again."""

    def epochs(self, path: Path, boot: str) -> list[str]:
        """Recover in this run of the machine."""
        return [row.stream.epoch for row in self.recover(self.open(path), boot)]

    def test_sameBoot(self) -> None:
        """
        When only the process ended, epochs stay.
        """
        self.make(published=True)
        self.assertEqual(self.epochs(self.crash(), "boot"), ["epoch"])

    def test_otherBoot(self) -> None:
        """
        When the machine ended, open streams, of runs and published, get new epochs; those that had ended keep theirs.
        """
        database = self.make(published=True)
        made = [StreamRow(2, "run", "epoch2", False, 0.0), StreamRow(3, "ended", "epoch3", False, 0.0)]
        database.commit(
            Transaction(
                created=made, filed=[StreamSegment(3, segment(1, b"{}", kind=Kind.DONE))], ended=[EndedRow(1.0, 3)]
            )
        )
        self.assertEqual(self.epochs(self.crash(), "another"), ["epoch3", "new1", "new0"])

    def test_unknownBoot(self) -> None:
        """
        Without a boot ID every crash counts as one of the machine.
        """
        database = self.open()
        self.recover(database, "")
        database.commit(Transaction(created=[StreamRow(1, "name", "epoch", True, 0.0)]))
        self.assertEqual(self.epochs(self.crash(), ""), ["new0"])

    def test_cleanEnd(self) -> None:
        """
        After an end in good order epochs stay, whatever the machine did.
        """
        self.make(published=True)
        self.close()
        self.assertEqual(self.epochs(self.path, "another"), ["epoch"])

    def test_F64_device(self) -> None:
        """
        F64: a device may have another number after a boot; an inode has not.
        """
        for before, boot, now, epoch in (
            ("1:2", "boot", "1:2", "epoch"),
            ("1:2", "boot", "3:2", "new0"),
            ("1:2", "another", "3:2", "epoch"),
            ("1:2", "another", "1:3", "new0"),
            ("", "another", "1:3", "epoch"),
            ("1:2", "another", "", "epoch"),
        ):
            database = self.open()
            database.recover(0.0, iter(()), "boot", before)
            database.commit(Transaction(created=[StreamRow(1, "name", "epoch", True, 5.0)]))
            self.close()
            recovered = self.open().recover(0.0, iter(["new0"]), boot, now)
            self.assertEqual([row.stream.epoch for row in recovered], [epoch], (before, boot, now))
            self.close()
            self.path.unlink()

    def test_logLost(self) -> None:
        """
        The mark that the file is in use is in the file itself before anything else: if the machine goes down and the
        whole write-ahead log is lost, the end does not look like the clean one before.
        """
        self.make(published=True)
        self.close()
        database = self.open()
        self.recover(database, "second")
        database.commit(Transaction(filed=[StreamSegment(1, segment(4, b"seen"))]))
        after = self.crash()
        after.with_name("streams.db-wal").unlink()
        self.assertEqual(self.epochs(after, "third"), ["new0"])


class CommitTests(DatabaseTestCase):
    """A group is written whole, or not at all."""

    def test_allOrNothing(self) -> None:
        """
        When one part of a group cannot be written, none is; the next group can.
        """
        database = self.make()
        bad = Transaction(
            created=[StreamRow(2, "other", "epoch2", True, 0.0)],
            fresh=fresh((2, segment(1, b"d"))),
            filed=[StreamSegment(1, segment(4, b"d")), StreamSegment(1, segment(3, b"twice"))],
            trimmed=[TrimmedRow(1, 3, 2)],
        )
        self.assertRaises(StoreUnavailable, database.commit, bad)
        self.assertEqual(self.load(database).entries.entries, [b"a", b"b", b"c"])
        database.commit(Transaction(created=bad.created, filed=[StreamSegment(1, segment(4, b"d"))]))
        self.assertEqual(self.load(database).entries.entries, [b"a", b"b", b"c", b"d"])

    def test_bug(self) -> None:
        """
        Values that SQLite cannot take leave no transaction open.
        """
        database = self.make()
        bad = Transaction(filed=[StreamSegment(1, segment(4, b"d"))], keys=[KeyRow(1, "\ud800", b"", 4, 4)])
        self.assertRaises(UnicodeEncodeError, database.commit, bad)
        database.commit(Transaction(filed=[StreamSegment(1, segment(4, b"e"))]))
        self.assertEqual(self.load(database).entries.entries, [b"a", b"b", b"c", b"e"])

    def test_trim(self) -> None:
        """
        Trimmed entries and their keys are gone from the file.
        """
        database = self.make()
        database.commit(Transaction(trimmed=[TrimmedRow(1, 3, 2)]))
        self.assertEqual(self.load(database), StoredEntries(segment(3, b"c"), {"key": KeyUse(b"digest", 2, 3)}))
        database.commit(
            Transaction(
                trimmed=[TrimmedRow(1, 4, 3)],
                filed=[StreamSegment(1, segment(4, b"d"))],
                keys=[KeyRow(1, "key", b"new", 4, 4)],
            )
        )
        self.assertEqual(self.load(database), StoredEntries(segment(4, b"d"), {"key": KeyUse(b"new", 4, 4)}))

    def test_trimmedToNothing(self) -> None:
        """
        A stream that keeps no entry still knows its numbers: an interrupted one ends after what was trimmed.
        """
        database = self.make()
        database.commit(Transaction(trimmed=[TrimmedRow(1, 4, 3)]))
        self.assertEqual(self.load(database, first=4), StoredEntries(segment(4, begin=0), {}))
        database = self.open(self.crash())
        (row,) = self.recover(database)
        self.assertEqual((row.stream.first, row.stream.last, row.stream.tokensBefore), (4, 4, 3))
        self.assertEqual([entry.number for entry in self.load(database).entries], [4])

    def test_delete(self) -> None:
        """
        A deleted stream is gone from all tables before the rest is written, so its name is free.
        """
        database = self.make()
        database.commit(
            Transaction(
                deleted=[1, 99],
                created=[StreamRow(2, "name", "epoch2", True, 0.0)],
                filed=[StreamSegment(2, segment(1, b"x"))],
            )
        )
        self.close()
        tables = ("streams", "segments", "fresh", "keys")
        with foreign(self.path) as connection:
            rows = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]
        stream, filed = (2, "name", "epoch2", 1, 0.0, None, 0, 0, 0, ""), (2, 1, 1, b"\0", bytes(8), b"x")
        self.assertEqual([*rows[0], rows[1][0][:4], rows[1][0][5:], *rows[2:]], [stream, filed[:4], filed[5:], [], []])


class FreshTests(DatabaseTestCase):
    """Fresh entries that are not filed when the process dies."""

    def takeUp(self) -> Database:
        """Let the process die, and another one take up what it left, all of it filed."""
        database = self.open(self.crash())
        self.recover(database)
        self.assertEqual(database.connection.execute("SELECT * FROM fresh").fetchall(), [])
        return database

    @given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 40), max_size=5)), max_size=8))
    def test_anyNumber(self, groups: list[tuple[bool, list[int]]]) -> None:
        """
        All entries are there once and in order, however many of them were filed.
        """
        self.setUp()
        database = self.make(published=True)
        whole, filed = [b"a", b"b", b"c"], 3
        for place, (file, sizes) in enumerate(groups):
            data = [b"%d" % size * size for size in sizes]
            group = Transaction(
                place=place, fresh=fresh((1, segment(len(whole) + 1, *data, begin=sum(map(len, whole)))))
            )
            whole += data
            if file and filed < len(whole):
                group.filed.append(
                    StreamSegment(1, segment(filed + 1, *whole[filed:], begin=sum(map(len, whole[:filed]))))
                )
                group.mark, filed = place, len(whole)
            database.commit(group)
        database = self.takeUp()
        self.assertEqual(self.load(database).entries.entries, whole)
        self.assertEqual(database.recover(0.0, [], "boot")[0].stream.last, len(whole))
        self.doCleanups()
        while self.opened:
            self.close()

    def test_streams(self) -> None:
        """
        Each stream has its own entries; those of deleted streams, and trimmed ones, stay away.
        """
        database = self.make(published=True)
        made = [StreamRow(number, f"{number}", f"epoch{number}", True, 0.0) for number in (2, 3)]
        come = fresh((1, segment(4, b"d", b"e")), (2, segment(1, b"x", b"yy")), (3, segment(1, b"gone")))
        database.commit(Transaction(created=made, fresh=come, trimmed=[TrimmedRow(1, 5, 4)]))
        database.commit(Transaction(deleted=[3], fresh=fresh((2, segment(3, b"z", begin=3))), place=1))
        database = self.takeUp()
        self.assertEqual(self.load(database), StoredEntries(segment(5, b"e"), {}))
        self.assertEqual(self.load(database, 2).entries, segment(1, b"x", b"yy", b"z"))
        rows = database.connection.execute("SELECT DISTINCT stream FROM segments").fetchall()
        self.assertEqual(rows, [(1,), (2,)])

    def test_interrupted(self) -> None:
        """
        A run that was under way ends after its last fresh entry.
        """
        database = self.make()
        database.commit(Transaction(fresh=fresh((1, segment(4, b"dd", kind=Kind.EVENT)))))
        contents = self.load(self.takeUp())
        self.assertEqual(contents.entries.entries[:4], [b"a", b"b", b"c", b"dd"])
        self.assertEqual(contents.entries.kinds, bytes([Kind.TOKEN] * 3 + [Kind.EVENT, Kind.FAILED]))
        self.assertIn(b'"interrupted"', contents.entries.entries[4])

    def test_mark(self) -> None:
        """
        Rows before the mark go.
        """
        database = self.make()
        for place in (0, 10, 20):
            database.commit(Transaction(fresh=fresh((1, segment(4, b"d"))), place=place, mark=place - 5))
        rows = database.connection.execute("SELECT place FROM fresh").fetchall()
        self.assertEqual(rows, [(20,)])
