"""
Database: reads and writes the rows of the SQLite store, with all of its SQL.

It is synchronous and knows nothing of Twisted. There is one connection, used by one thread at a time, and the file is
locked for all other processes. A group is written as one transaction: all of it, or nothing.

Entries are written twice. First all entries of a group are written as one row of the table `fresh`, whose pages follow
one another: to write them into the pages of each stream would cost ten times as much. When a stream has gathered enough
of them, or has ended, they are *filed*: written as one row of `segments`. The table `fresh` is read only by the next
process, which files everything in it when it starts.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep
from typing import NamedTuple

from sseserver.errors import StoreUnavailable
from sseserver.stores.sqlite.files import (
    APPLICATION_ID,
    PAGE,
    VERSION,
    FileIdentity,
    checkFile,
    createPrivate,
    describeError,
    identifyFile,
)
from sseserver.stores.sqlite.rows import FreshRow, SegmentRow, StreamSegment, Transaction, TrimmedRow, unpackNumbers
from sseserver.streams.cost import KEY_COST
from sseserver.streams.segments import Segment, joinSegments
from sseserver.streams.terminal import INTERRUPTED
from sseserver.values import KeyUse, StoredEntries, StoredStream

#: Bytes. Size of the write-ahead log at which SQLite moves its pages into the file: large enough that a page which
#: changes all the time is moved rarely, and small enough that no commit takes long.
CHECKPOINT = 4 * 1024 * 1024

_SCHEMA = """
CREATE TABLE streams (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL UNIQUE, published INTEGER NOT NULL,
    created REAL NOT NULL, ended REAL, trimmed INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0,
    cr INTEGER NOT NULL DEFAULT 0, question TEXT NOT NULL DEFAULT '');
CREATE TABLE segments (
    stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, kinds BLOB NOT NULL, ends BLOB NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (stream, first)) WITHOUT ROWID;
CREATE TABLE fresh (
    place INTEGER PRIMARY KEY, heads BLOB NOT NULL, kinds BLOB NOT NULL, ends BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE keys (
    stream INTEGER NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (stream, key)) WITHOUT ROWID;
CREATE TABLE life (boot TEXT NOT NULL, clean INTEGER NOT NULL, file TEXT NOT NULL DEFAULT '');
INSERT INTO life (boot, clean) VALUES ('', 1);
"""

# From version 2, which lacks these columns.
_UPGRADE = """
ALTER TABLE streams ADD COLUMN cr INTEGER NOT NULL DEFAULT 0;
ALTER TABLE streams ADD COLUMN question TEXT NOT NULL DEFAULT '';
ALTER TABLE life ADD COLUMN file TEXT NOT NULL DEFAULT ''
"""

#: SQL. Number of the last entry of a row of `streams` that was trimmed or filed.
_LAST = "max(trimmed, coalesce((SELECT max(last) FROM segments WHERE stream = streams.number), 0))"

#: The files that this process has open.
OPEN_FILES: set[Path] = set()


class RecoveredStream(NamedTuple):
    """A stream in the file, and the number by which the file knows it."""

    number: int
    stream: StoredStream


#: Seconds. Pause of the thread that reads segments, for the thread of the reactor; bytes of data between two pauses.
YIELD, YIELD_BYTES = 0.0001, 256 * 1024


class Database:
    """
    One SQLite file.

    Args:
        path: Name of the file, which is made if it does not exist.
        full: Whether a commit waits until the disk has it (`synchronous=FULL`), so that it survives a loss of power.

    Attributes:
        connection: The connection to the file; for one thread at a time.

    Raises:
        StoreUnavailable: The file is not ours, is damaged, or is in use. It is not changed.
    """

    def __init__(self, path: str, full: bool = False) -> None:
        self._path = path
        self._full = full
        self._file = findUsable(path)
        self._paths = (self._file, self._file.with_name(f"{self._file.name}-wal"))
        # The identities of both as `recover` found them; empty before.
        self._identities: list[FileIdentity | None] = []
        with self._reportErrors():
            createPrivate(self._file)
            self.connection = sqlite3.connect(self._file, timeout=1, isolation_level=None, check_same_thread=False)
        OPEN_FILES.add(self._file)
        with self._reportErrors(closing=True):
            self._open()

    @contextmanager
    def _reportErrors(self, closing: bool = False) -> Iterator[None]:
        """Turn errors of SQLite and of the system into `StoreUnavailable`; close the file after one, if asked."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if closing:
                self.abandon()
            raise _makeUnusable(self._path, error) from error

    def _open(self) -> None:
        execute = self.connection.execute
        # Locked until it is closed: two servers on one file would give the same numbers twice.
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute(f"PRAGMA page_size = {PAGE}")
        execute("BEGIN EXCLUSIVE")
        (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            # Before there is a write-ahead log, so that the marks stand in the file itself.
            for statement in _SCHEMA.split(";"):
                execute(statement)
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute(f"PRAGMA user_version = {VERSION}")
        elif execute("PRAGMA user_version").fetchone() != (VERSION,):
            for statement in _UPGRADE.split(";"):
                execute(statement)
            execute(f"PRAGMA user_version = {VERSION}")
        execute("COMMIT")
        execute("PRAGMA journal_mode = WAL")
        execute(f"PRAGMA synchronous = {'FULL' if self._full else 'NORMAL'}")
        execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT // PAGE}")

    def recover(self, now: float, epochs: Iterable[str], boot: str, file: str = "") -> list[RecoveredStream]:
        """
        Make the file consistent after an earlier process, however that ended, and list its streams.

        Runs that were under way end with the entry `INTERRUPTED`. If the machine went down, open streams get new
        epochs, since commits that viewers saw may be lost. The same holds for a copy: viewers may have seen later
        commits of the original.

        Args:
            now: Time in seconds since 1970.
            epochs: New epochs.
            boot: Identifies the present boot of the machine. An empty string is never the same boot.
            file: Identifies the file (`FileIdentity`); an empty string if it is not to be compared.

        Returns:
            All streams: first those that have ended, the oldest end first.

        Raises:
            StoreUnavailable: It failed. The file is closed and not changed.
        """
        with self._reportErrors(closing=True):
            self._recover(now, epochs, boot, file)
            self._identities = self._identify()
            return list(self._readStreams())

    def _recover(self, now: float, epochs: Iterable[str], boot: str, file: str) -> None:
        execute = self.connection.execute
        execute("BEGIN IMMEDIATE")
        before, clean, original = execute("SELECT boot, clean, file FROM life").fetchone()
        rebooted = not boot or boot != before
        if (rebooted and not clean) or _isCopy(file, original, rebooted):
            numbers = execute("SELECT number FROM streams WHERE ended IS NULL").fetchall()
            renamed = [(epoch, number) for (number,), epoch in zip(numbers, epochs, strict=False)]
            self.connection.executemany("UPDATE streams SET epoch = ? WHERE number = ?", renamed)
        self._fileAll()
        self._interruptRuns()
        execute("UPDATE streams SET ended = ? WHERE ended IS NULL AND NOT published", (now,))
        # With FULL nothing can be lost that viewers saw: every end is as good as a clean one.
        execute("UPDATE life SET boot = ?, clean = ?, file = ?", (boot, self._full, file or original))
        execute("COMMIT")
        # On the disk before anything else: otherwise the loss of later commits could look like a clean end.
        execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _fileAll(self) -> None:
        """File all entries of the table `fresh` that are not filed yet."""
        lasts = dict(self.connection.execute(f"SELECT number, {_LAST} FROM streams"))  # noqa: S608
        found: dict[int, list[Segment]] = {}
        for row in self.connection.execute("SELECT place, heads, kinds, ends, data FROM fresh ORDER BY place"):
            for stream, segment in FreshRow(*row).unpack():
                # Streams without a row were deleted. The table also holds entries that have been filed since.
                if segment.last > lasts.get(stream, segment.last):
                    found.setdefault(stream, []).append(segment.select(lasts[stream] + 1, segment.last))
                    lasts[stream] = segment.last
        self._insert(StreamSegment(stream, joinSegments(segments, 0)) for stream, segments in found.items())
        self.connection.execute("DELETE FROM fresh")

    def _interruptRuns(self) -> None:
        """Append the terminal entry to the runs that were under way."""
        kind, data = INTERRUPTED
        query = f"SELECT number, {_LAST} FROM streams WHERE ended IS NULL AND NOT published"  # noqa: S608
        for stream, last in self.connection.execute(query).fetchall():
            found = self.connection.execute("SELECT ends FROM segments WHERE stream = ? AND last = ?", (stream, last))
            row = found.fetchone()
            end = (unpackNumbers(row[0])[-1] if row else 0) + len(data)
            self._insert([StreamSegment(stream, Segment(last + 1, bytes([kind]), array("Q", [end]), data))])

    def _readStreams(self) -> Iterator[RecoveredStream]:
        rows = self.connection.execute(
            "SELECT streams.number, name, epoch, published, created, ended, trimmed, tokens, cr,"
            " question, coalesce(sum(segments.last - first + 1), 0), coalesce(sum(length(data)), 0),"
            " (SELECT coalesce(sum(length(key) + ?), 0) FROM keys WHERE stream = streams.number)"
            " FROM streams LEFT JOIN segments ON stream = streams.number"
            " GROUP BY streams.number ORDER BY ended IS NULL, ended, streams.number",
            (KEY_COST,),
        )
        for number, name, epoch, published, created, ended, trimmed, tokens, cr, question, count, size, keys in rows:
            place = (trimmed + 1, trimmed + count, size, tokens, bool(cr), keys, question)
            stream = StoredStream(name, epoch, bool(published), created, ended, *place)
            yield RecoveredStream(number, stream)

    def load(self, stream: int, first: int, last: int) -> StoredEntries:
        """
        Read filed entries of a stream.

        Args:
            stream: Number of the stream in the file.
            first: Number of the first entry.
            last: Number of the last entry.
        """
        segment = joinSegments(self._readSegments(stream, first, last), first).select(first, last)
        keys = self.connection.execute("SELECT key, digest, first, last FROM keys WHERE stream = ?", (stream,))
        return StoredEntries(segment, {key: KeyUse(*use) for key, *use in keys})

    def _readSegments(self, stream: int, first: int, last: int) -> Iterator[Segment]:
        """Yield the segments in which a range of entries stands."""
        rows = self.connection.execute(
            "SELECT * FROM segments WHERE stream = ? AND last >= ? AND first <= ? ORDER BY first", (stream, first, last)
        )
        size = 0
        for row in map(SegmentRow._make, rows):
            if size > YIELD_BYTES:
                # Otherwise this thread would keep the lock of the interpreter for 5 ms at a time.
                sleep(YIELD)
                size = 0
            yield row.unpack()
            size += len(row.data) + 9 * len(row.kinds)

    def commit(self, transaction: Transaction) -> None:
        """
        Write a transaction.

        Raises:
            StoreUnavailable: Nothing of it is written.
        """
        self._checkPlace()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self._write(transaction)
            self.connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StoreUnavailable(f"The store cannot write: {describeError(error)}.") from error
            raise

    def close(self) -> None:
        """Close the file and mark it as cleanly closed."""
        with suppress(sqlite3.Error):
            self.connection.execute("UPDATE life SET clean = 1")
        self.abandon()

    def abandon(self) -> None:
        """Close the file as the end of the process would: it is not marked."""
        self.connection.close()
        OPEN_FILES.discard(self._file)

    def _checkPlace(self) -> None:
        """
        Check that the file and its write-ahead log are where they were.

        SQLite goes on writing to a file that was deleted or renamed: its commits would be lost, or be made beside
        those of another server that makes a new file.

        Raises:
            StoreUnavailable: They are not.
        """
        if self._identities and self._identify() != self._identities:
            raise StoreUnavailable("The store cannot write: its file was deleted, renamed or replaced.")

    def _identify(self) -> list[FileIdentity | None]:
        """Return the identities of the file and of its write-ahead log."""
        return [identifyFile(path) for path in self._paths]

    def _write(self, transaction: Transaction) -> None:
        """Write the rows; deletions first, since one transaction may delete a name or a key and add it again."""
        execute, many = self.connection.execute, self.connection.executemany
        if transaction.deleted:
            numbers = [(stream,) for stream in transaction.deleted]
            for table, column in (("segments", "stream"), ("keys", "stream"), ("streams", "number")):
                many(f"DELETE FROM {table} WHERE {column} = ?", numbers)  # noqa: S608
        for row in transaction.trimmed:
            self._trim(row)
        if transaction.created:
            many(
                "INSERT INTO streams (number, name, epoch, published, created, question) VALUES (?, ?, ?, ?, ?, ?)",
                transaction.created,
            )
        if transaction.fresh.heads:
            execute("INSERT INTO fresh VALUES (?, ?, ?, ?, ?)", transaction.fresh.pack(transaction.place))
        if transaction.filed:
            self._insert(transaction.filed)
        execute("DELETE FROM fresh WHERE place < ?", (transaction.mark,))
        if transaction.keys:
            many("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", transaction.keys)
        if transaction.ended:
            many("UPDATE streams SET ended = ? WHERE number = ?", transaction.ended)

    def _trim(self, trimmed: TrimmedRow) -> None:
        stream, first, tokens, cr = trimmed
        execute = self.connection.execute
        execute("UPDATE streams SET trimmed = ? - 1, tokens = ?, cr = ? WHERE number = ?", (first, tokens, cr, stream))
        execute("DELETE FROM segments WHERE stream = ?2 AND last < ?1", (first, stream))
        execute("DELETE FROM keys WHERE stream = ?2 AND last < ?1", (first, stream))
        row = execute("SELECT * FROM segments WHERE stream = ? AND first < ?", (stream, first)).fetchone()
        if row is not None:
            # The segment in which the first entry to keep stands.
            segment = SegmentRow(*row).unpack()
            execute("DELETE FROM segments WHERE stream = ? AND first = ?", (stream, segment.first))
            self._insert([StreamSegment(stream, segment.select(first, segment.last))])

    def _insert(self, filed: Iterable[StreamSegment]) -> None:
        rows = (SegmentRow.pack(stream, segment) for stream, segment in filed)
        self.connection.executemany("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)", rows)


def findUsable(path: str) -> Path:
    """
    Return the file that a name leads to, after the checks that do not change it.

    Args:
        path: Name of a file that exists or is to be made.

    Raises:
        StoreUnavailable: See `Database`.
    """
    file = Path(path).resolve()
    if file in OPEN_FILES:
        # Even to look at it would release its lock: to close any descriptor of a file ends all POSIX locks that the
        # process has on the file.
        raise StoreUnavailable(f"{path} cannot be used: this process has it open already.")
    try:
        checkFile(file)
    except (sqlite3.Error, OSError) as error:
        raise _makeUnusable(path, error) from error
    return file


def _makeUnusable(path: str, error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"{path} cannot be used: {describeError(error)}.")


def _isCopy(file: str, original: str, rebooted: bool) -> bool:
    """
    Return whether a file is another one than the process before had open.

    Args:
        file: Identity of the file now.
        original: Identity of the file of the process before; empty if it is not known.
        rebooted: Whether the machine was started since. A device may then have another number.
    """
    if not file or not original:
        return False
    return file.partition(":")[2] != original.partition(":")[2] if rebooted else file != original
