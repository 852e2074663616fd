"""
Database: the SQL of the SQLite store, synchronous and without Twisted.

One connection, used by one thread at a time, and the file locked for everybody
else. A group is written as one transaction: all of it, or nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from sseserver.errors import StoreUnavailable
from sseserver.interfaces import Kind

#: Marks a file as ours: `sse1` in ASCII (https://www.sqlite.org/pragma.html#pragma_application_id).
APPLICATION_ID = 0x73736531
VERSION = 1

_SCHEMA = """
CREATE TABLE streams (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL UNIQUE, published INTEGER NOT NULL,
    created REAL NOT NULL, ended REAL, trimmed INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0);
CREATE TABLE entries (
    stream INTEGER NOT NULL, number INTEGER NOT NULL, kind INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (stream, number)) WITHOUT ROWID;
CREATE TABLE keys (
    stream INTEGER NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (stream, key)) WITHOUT ROWID;
CREATE TABLE life (boot TEXT NOT NULL, clean INTEGER NOT NULL);
INSERT INTO life VALUES ('', 1);
"""

#: Rows of one INSERT. Each statement gives up the interpreter's lock once and has to wait to get it back, which row by
#: row would take longer than the writing.
_ROWS = (256, 32, 4, 1)

_INTERRUPTED = json.dumps(
    {"reason": "interrupted", "message": "The server ended before this text did."}, separators=(",", ":")
).encode("ascii")


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

    first: int
    kinds: bytes
    entries: list[bytes]
    tokens: int
    keys: dict[str, tuple[bytes, int, int]]


@dataclass(frozen=True, slots=True)
class Part:
    """
    What a group holds of one stream.

    Attributes:
        stream: The stream's number.
        first: Number of the first of the entries.
        keys: Idempotency keys of these entries: key, digest, number of the first and the last entry.
        ended: When the stream ended, if its terminal entry is among them.
    """

    stream: int
    first: int
    kinds: bytes
    entries: list[bytes]
    keys: list[tuple[str, bytes, int, int]]
    ended: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """
    What is written in one transaction.

    Attributes:
        made: New streams: number, name, epoch, whether it is published into, when it was made.
        deleted: Numbers of streams.
        trims: Of streams: number of the first entry kept, and how many tokens were trimmed so far; by number.
    """

    made: list[tuple[int, str, str, bool, float]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    trims: dict[int, tuple[int, int]] = field(default_factory=dict)


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
        try:
            new = _check(path)
            self._connection = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
            self._open(new)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{path} cannot be used: {_reason(error)}.") from error

    def _open(self, new: bool) -> None:
        execute = self._connection.execute
        # Ours alone until it is closed: two servers on one file would give the same numbers twice.
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        execute("BEGIN IMMEDIATE")
        if new:
            for statement in _SCHEMA.split(";"):
                execute(statement)
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute(f"PRAGMA user_version = {VERSION}")
        execute("COMMIT")

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
        """
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        before, clean = execute("SELECT boot, clean FROM life").fetchone()
        if not clean and (not boot or boot != before):
            # The machine went down: commits that viewers saw may be gone, and their numbers must not come again.
            open_ = execute("SELECT number FROM streams WHERE ended IS NULL").fetchall()
            execute_ = [(epoch, number) for (number,), epoch in zip(open_, makeEpoch, strict=False)]
            self._connection.executemany("UPDATE streams SET epoch = ? WHERE number = ?", execute_)
        execute(
            "INSERT INTO entries SELECT number, 1 + coalesce((SELECT max(entries.number) FROM entries WHERE stream ="
            " streams.number), trimmed), ?, ? FROM streams WHERE ended IS NULL AND NOT published",
            (int(Kind.FAILED), _INTERRUPTED),
        )
        execute("UPDATE streams SET ended = ? WHERE ended IS NULL AND NOT published", (now,))
        execute("UPDATE life SET boot = ?, clean = 0", (boot,))
        execute("COMMIT")
        rows = execute(
            "SELECT streams.number, name, epoch, published, created, ended, count(kind), coalesce(sum(length(data)), 0)"
            " FROM streams LEFT JOIN entries ON stream = streams.number GROUP BY streams.number"
            " ORDER BY ended IS NULL, ended, streams.number"
        )
        return [Row(number, name, epoch, bool(published), *rest) for number, name, epoch, published, *rest in rows]

    def load(self, stream: int) -> Contents:
        """Read all entries of a stream."""
        execute = self._connection.execute
        rows = execute("SELECT kind, data FROM entries WHERE stream = ? ORDER BY number", (stream,)).fetchall()
        kinds = bytes(kind for kind, _ in rows)
        trimmed, tokens = execute("SELECT trimmed, tokens FROM streams WHERE number = ?", (stream,)).fetchone()
        first = execute("SELECT min(number) FROM entries WHERE stream = ?", (stream,)).fetchone()[0] or trimmed + 1
        keys = execute("SELECT key, digest, first, last FROM keys WHERE stream = ?", (stream,))
        return Contents(
            first,
            kinds,
            [data for _, data in rows],
            tokens + kinds.count(Kind.TOKEN),
            {key: (digest, first, last) for key, digest, first, last in keys},
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
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise StoreUnavailable(f"The store cannot write: {_reason(error)}.") from error

    def close(self) -> None:
        """Close in good order."""
        with suppress(sqlite3.Error):
            self._connection.execute("UPDATE life SET clean = 1")
        self._connection.close()

    def _write(self, group: Group) -> None:
        many = self._connection.executemany
        many("INSERT INTO streams (number, name, epoch, published, created) VALUES (?, ?, ?, ?, ?)", group.made)
        rows: list[object] = []
        for part in group.parts:
            for number, (kind, data) in enumerate(zip(part.kinds, part.entries, strict=True), part.first):
                rows += (part.stream, number, kind, data)
        self._insert(rows)
        keys = [(part.stream, *key) for part in group.parts for key in part.keys]
        many("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", keys)
        ended = [(part.ended, part.stream) for part in group.parts if part.ended is not None]
        many("UPDATE streams SET ended = ? WHERE number = ?", ended)
        trims = [(first, tokens, stream) for stream, (first, tokens) in group.trims.items()]
        many("UPDATE streams SET trimmed = ? - 1, tokens = ? WHERE number = ?", trims)
        many("DELETE FROM entries WHERE stream = ?2 AND number < ?1", [(first, stream) for first, _, stream in trims])
        many("DELETE FROM keys WHERE stream = ?2 AND last < ?1", [(first, stream) for first, _, stream in trims])
        for table, column in (("entries", "stream"), ("keys", "stream"), ("streams", "number")):
            many(f"DELETE FROM {table} WHERE {column} = ?", [(stream,) for stream in group.deleted])  # noqa: S608

    def _insert(self, values: Sequence[object]) -> None:
        """Insert entries, four values each, many in one statement."""
        start = 0
        for rows in _ROWS:
            statement = "INSERT INTO entries VALUES " + ",".join(["(?,?,?,?)"] * rows)  # noqa: S608
            while len(values) - start >= 4 * rows:
                self._connection.execute(statement, values[start : start + 4 * rows])
                start += 4 * rows


def _check(path: str) -> bool:
    """
    Look at a file without touching it.

    Returns:
        Whether it is new: not there, or empty.

    Raises:
        StoreUnavailable: It is not ours, or damaged.
        sqlite3.Error: It cannot be read.
    """
    if not Path(path).exists() or Path(path).stat().st_size == 0:
        return True
    connection = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=1)
    try:
        (application,), (version,) = (
            connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        )
        if application != APPLICATION_ID:
            raise StoreUnavailable(f"{path} is not a file of sseserver; it is left as it is.")
        if version != VERSION:
            raise StoreUnavailable(f"{path} has version {version}; this sseserver reads version {VERSION}.")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreUnavailable(f"{path} is damaged ({verdict}); it is left as it is.")
    finally:
        connection.close()
    return False


def _reason(error: Exception) -> str:
    """Say in a few words what SQLite or the system had to complain of."""
    text = str(error)
    return "another process has it open" if text == "database is locked" else text
