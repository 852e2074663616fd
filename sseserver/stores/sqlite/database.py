"""
Database: the SQL of the SQLite store, synchronous and without Twisted.

One connection, used by one thread at a time, and the file locked for everybody
else. A group is written as one transaction: all of it, or nothing.

Entries are written twice. First as they come, the whole group as one row of the
table C{fresh}, whose pages follow one another: to write them into each stream's
own pages would cost ten times as much. Later, when a stream has gathered enough
of them or has ended, they are I{filed}: written as one row of C{segments}.
What is in C{fresh} is read only by the next process, which files it first.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sseserver.errors import SourceError, StoreUnavailable
from sseserver.streams.entries import countTokens
from sseserver.streams.segments import Gathered, Segment, fromColumns, joined, packed, scattered, unpacked
from sseserver.streams.terminal import packFailed
from sseserver.values import KeyUse, Kind, Reason

#: Marks a file as ours: `sse1` in ASCII (https://www.sqlite.org/pragma.html#pragma_application_id).
APPLICATION_ID = 0x73736531
VERSION = 2

#: Bytes in the write-ahead log after which they are moved into the file: seldom enough to write a page that changes all
#: the time only once, and often enough that no commit waits long.
CHECKPOINT = 4 * 1024 * 1024

#: Bytes of a page, which is SQLite's usual size.
PAGE = 4096

_SCHEMA = """
CREATE TABLE streams (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL UNIQUE, published INTEGER NOT NULL,
    created REAL NOT NULL, ended REAL, trimmed INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0);
CREATE TABLE segments (
    stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, kinds BLOB NOT NULL, ends BLOB NOT NULL,
    data BLOB NOT NULL, PRIMARY KEY (stream, first)) WITHOUT ROWID;
CREATE TABLE fresh (
    place INTEGER PRIMARY KEY, heads BLOB NOT NULL, kinds BLOB NOT NULL, ends BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE keys (
    stream INTEGER NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (stream, key)) WITHOUT ROWID;
CREATE TABLE life (boot TEXT NOT NULL, clean INTEGER NOT NULL);
INSERT INTO life VALUES ('', 1);
"""

#: Number of the last entry that was trimmed or filed, of the stream that a query is about.
_LAST = "max(trimmed, coalesce((SELECT max(last) FROM segments WHERE stream = streams.number), 0))"

#: The files that this process has open.
_OPEN: set[Path] = set()

_INTERRUPTED = packFailed(SourceError("The server ended before this text did.", Reason.INTERRUPTED)).data


@dataclass(frozen=True, slots=True)
class Row:
    """One stream as the file has it. C{size} is the bytes of its entries' data, C{count} how many there are."""

    number: int
    name: str
    epoch: str
    published: bool
    created: float
    ended: float | None
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Contents:
    """The entries of one stream; C{tokens} counts those trimmed before the first one as well."""

    segment: Segment
    tokens: int
    keys: dict[str, KeyUse]


@dataclass(slots=True)
class Group:
    """
    What is written in one transaction.

    Attributes:
        deleted: Numbers of streams.
        trims: Of streams: number of the first entry kept, and how many tokens were trimmed so far; by number.
        made: New streams: number, name, epoch, whether it is published into, when it was made.
        fresh: Entries as they came.
        place: Where these stand among all that came; higher in each group.
        filed: Entries for the streams' own rows: the number of the stream, and the segment.
        mark: What came before this place is filed, or gone.
        keys: Idempotency keys: stream, key, digest, number of the first and the last entry.
        ended: Streams whose terminal entry is among the entries: when, number.
    """

    deleted: list[int] = field(default_factory=list)
    trims: dict[int, tuple[int, int]] = field(default_factory=dict)
    made: list[tuple[int, str, str, bool, float]] = field(default_factory=list)
    fresh: Gathered = field(default_factory=Gathered)
    place: int = 0
    filed: list[tuple[int, Segment]] = field(default_factory=list)
    mark: int = 0
    keys: list[tuple[int, str, bytes, int, int]] = field(default_factory=list)
    ended: list[tuple[float, int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to be written."""
        return any((self.deleted, self.trims, self.made, self.fresh.heads, self.filed))


class Database:
    """
    One file.

    Args:
        path: Its name; it is made when it is not there.

    Raises:
        StoreUnavailable: What is there is not ours, is damaged, or is in use; it is left as it is.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = Path(path).resolve()
        if self._file in _OPEN:
            # Looking at it would already take the lock from it: closing any descriptor of a file ends all POSIX locks
            # that the process has on it.
            raise StoreUnavailable(f"{path} cannot be used: it is open already.")
        with self._refusing():
            _check(self._file)
            self._connection = sqlite3.connect(self._file, timeout=1, isolation_level=None, check_same_thread=False)
        _OPEN.add(self._file)
        with self._refusing(closing=True):
            self._open()

    @contextmanager
    def _refusing(self, closing: bool = False) -> Iterator[None]:
        """Say in our words that the file cannot be used."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if closing:
                self._close()
            raise StoreUnavailable(f"{self._path} cannot be used: {_reason(error)}.") from error

    def _open(self) -> None:
        execute = self._connection.execute
        # Ours alone until it is closed: two servers on one file would give the same numbers twice.
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute(f"PRAGMA page_size = {PAGE}")
        execute("BEGIN EXCLUSIVE")
        (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            # Before there is a write-ahead log: what marks the file as ours must stand in the file itself.
            for statement in _SCHEMA.split(";"):
                execute(statement)
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute(f"PRAGMA user_version = {VERSION}")
        execute("COMMIT")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT // PAGE}")

    def recover(self, now: float, makeEpoch: Iterable[str], boot: str) -> list[Row]:
        """
        Take up what an earlier process left.

        Args:
            now: The time in seconds since 1970.
            makeEpoch: Gives new epochs.
            boot: What identifies the present run of the machine; an empty one is never the same.

        Returns:
            All streams, those that ended first before the others. Runs that
            were under way have ended C{failed}, reason C{interrupted}.

        Raises:
            StoreUnavailable: It cannot be done; the file is closed, and has what it had.
        """
        with self._refusing(closing=True):
            self._takeUp(now, makeEpoch, boot)
            return self._rows()

    def _takeUp(self, now: float, makeEpoch: Iterable[str], boot: str) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        before, clean = execute("SELECT boot, clean FROM life").fetchone()
        if not clean and (not boot or boot != before):
            # The machine went down: commits that viewers saw may be gone, and their numbers must not come again.
            open_ = execute("SELECT number FROM streams WHERE ended IS NULL").fetchall()
            execute_ = [(epoch, number) for (number,), epoch in zip(open_, makeEpoch, strict=False)]
            self._connection.executemany("UPDATE streams SET epoch = ? WHERE number = ?", execute_)
        self._fileAll()
        self._interrupt()
        execute("UPDATE streams SET ended = ? WHERE ended IS NULL AND NOT published", (now,))
        execute("UPDATE life SET boot = ?, clean = 0", (boot,))
        execute("COMMIT")
        # On the disk before anything else is: else the loss of what follows could look like a clean end.
        execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _fileAll(self) -> None:
        """File what came and was not."""
        lasts = dict(self._connection.execute(f"SELECT number, {_LAST} FROM streams"))  # noqa: S608
        found: dict[int, list[Segment]] = {}
        for row in self._connection.execute("SELECT heads, kinds, ends, data FROM fresh ORDER BY place"):
            for stream, segment in scattered(*row):
                # What is of no stream was deleted; and what was filed meanwhile is here, too.
                if segment.last > lasts.get(stream, segment.last):
                    found.setdefault(stream, []).append(segment.startingAt(lasts[stream] + 1))
                    lasts[stream] = segment.last
        self._insert((stream, joined(segments, 0)) for stream, segments in found.items())
        self._connection.execute("DELETE FROM fresh")

    def _interrupt(self) -> None:
        """Write the end of the runs that were under way."""
        query = f"SELECT number, {_LAST} FROM streams WHERE ended IS NULL AND NOT published"  # noqa: S608
        for stream, last in self._connection.execute(query).fetchall():
            found = self._connection.execute("SELECT ends FROM segments WHERE stream = ? AND last = ?", (stream, last))
            (before,) = found.fetchone() or (packed([0]),)
            ends = array("Q", [unpacked(before)[-1] + len(_INTERRUPTED)])
            self._insert([(stream, Segment(last + 1, bytes([Kind.FAILED]), ends, _INTERRUPTED))])

    def _rows(self) -> list[Row]:
        rows = self._connection.execute(
            "SELECT streams.number, name, epoch, published, created, ended, coalesce(sum(last - first + 1), 0),"
            " coalesce(sum(length(data)), 0) FROM streams LEFT JOIN segments ON stream = streams.number"
            " GROUP BY streams.number ORDER BY ended IS NULL, ended, streams.number"
        )
        return [Row(number, name, epoch, bool(published), *rest) for number, name, epoch, published, *rest in rows]

    def load(self, stream: int) -> Contents:
        """Read all entries of a stream, as far as they are filed."""
        execute = self._connection.execute
        trimmed, tokens = execute("SELECT trimmed, tokens FROM streams WHERE number = ?", (stream,)).fetchone()
        rows = execute("SELECT first, kinds, ends, data FROM segments WHERE stream = ? ORDER BY first", (stream,))
        segment = joined((fromColumns(*row) for row in rows), trimmed + 1)
        keys = execute("SELECT key, digest, first, last FROM keys WHERE stream = ?", (stream,))
        return Contents(
            segment,
            tokens + countTokens(segment.kinds),
            {key: KeyUse(digest, first, last) for key, digest, first, last in keys},
        )

    def commit(self, group: Group) -> None:
        """
        Write a group.

        Raises:
            StoreUnavailable: Nothing of it is written.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._write(group)
            self._connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StoreUnavailable(f"The store cannot write: {_reason(error)}.") from error
            raise

    def close(self) -> None:
        """Close in good order."""
        with suppress(sqlite3.Error):
            self._connection.execute("UPDATE life SET clean = 1")
        self._close()

    def _close(self) -> None:
        self._connection.close()
        _OPEN.discard(self._file)

    def _write(self, group: Group) -> None:
        """Write what goes first: a name, or an idempotency key, may go and come again in one group."""
        execute, many = self._connection.execute, self._connection.executemany
        for table, column in (("segments", "stream"), ("keys", "stream"), ("streams", "number")):
            many(f"DELETE FROM {table} WHERE {column} = ?", [(stream,) for stream in group.deleted])  # noqa: S608
        for stream, (first, tokens) in group.trims.items():
            self._trim(stream, first, tokens)
        many("INSERT INTO streams (number, name, epoch, published, created) VALUES (?, ?, ?, ?, ?)", group.made)
        if group.fresh.heads:
            execute("INSERT INTO fresh VALUES (?, ?, ?, ?, ?)", (group.place, *group.fresh.columns()))
        self._insert(group.filed)
        execute("DELETE FROM fresh WHERE place < ?", (group.mark,))
        many("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", group.keys)
        many("UPDATE streams SET ended = ? WHERE number = ?", group.ended)

    def _trim(self, stream: int, first: int, tokens: int) -> None:
        """Forget what is before an entry."""
        execute = self._connection.execute
        execute("UPDATE streams SET trimmed = ? - 1, tokens = ? WHERE number = ?", (first, tokens, stream))
        execute("DELETE FROM segments WHERE stream = ?2 AND last < ?1", (first, stream))
        execute("DELETE FROM keys WHERE stream = ?2 AND last < ?1", (first, stream))
        found = execute("SELECT first, kinds, ends, data FROM segments WHERE stream = ? AND first < ?", (stream, first))
        row = found.fetchone()
        if row is not None:
            execute("DELETE FROM segments WHERE stream = ? AND first = ?", (stream, row[0]))
            self._insert([(stream, fromColumns(*row).startingAt(first))])

    def _insert(self, filed: Iterable[tuple[int, Segment]]) -> None:
        """Write segments of streams."""
        rows = ((stream, segment.first, segment.last, *segment.columns()) for stream, segment in filed)
        self._connection.executemany("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)", rows)


def _check(file: Path) -> None:
    """
    Look at a file without touching it.

    Raises:
        StoreUnavailable: It is not ours, or damaged.
        OSError: It cannot be read, or not be written.
        sqlite3.Error: The same.
    """
    if not file.exists():
        return
    with file.open("r+b") as opened:
        header = opened.read(100)
    if header:
        # The file format, 1.3 (https://www.sqlite.org/fileformat.html#the_database_header).
        if not header.startswith(b"SQLite format 3\0") or header[68:72] != APPLICATION_ID.to_bytes(4, "big"):
            raise StoreUnavailable(f"{file} is not a file of sseserver; it is left as it is.")
        version = int.from_bytes(header[60:64], "big")
        if version != VERSION:
            raise StoreUnavailable(f"{file} has version {version}; this sseserver reads version {VERSION}.")
        verdict = _verdict(file)
        if verdict != "ok":
            raise StoreUnavailable(f"{file} is damaged ({verdict}); it is left as it is.")


def _verdict(file: Path) -> str:
    """Let SQLite check a file of ours; C{ok} is good."""
    log, index, journal = (file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal"))
    if journal.exists():
        # Its making was interrupted. SQLite will take that back, and it is made anew.
        return "ok"
    if not log.exists() and file.stat().st_size % PAGE:
        return "a page is cut"
    # A read-only connection leaves a log and its index behind; an immutable one nothing, but it does not see a log.
    before = index.exists()
    connection = sqlite3.connect(f"{file.as_uri()}?{'mode=ro' if log.exists() else 'immutable=1'}", uri=True, timeout=1)
    try:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        return str(verdict).splitlines()[-1] if tables else "its tables are gone"
    finally:
        connection.close()
        if not before:
            index.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """Say in a few words what SQLite or the system had to complain of."""
    text = str(error)
    return "another process has it open" if text == "database is locked" else text
