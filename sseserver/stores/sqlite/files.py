"""
The SQLite file on the disk: what marks it as ours, and checks that do not change it.

`database` makes these checks before it opens a file, and asks for the identity of the file while it is open.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sseserver.errors import StoreUnavailable

#: Marks a file as ours: `sse1` in ASCII (https://www.sqlite.org/pragma.html#pragma_application_id).
APPLICATION_ID = 0x73736531

#: Version of the tables, in the file's `user_version`.
VERSION = 3

#: The versions that can be read; `database` turns an older one into the present one.
READABLE = frozenset({2, VERSION})

#: Bytes. Size of a page, which is SQLite's default.
PAGE = 4096

#: Bytes. The pages of a larger file are not all checked when it is opened: that would take a second for each gigabyte.
CHECKED = 64 * 1024 * 1024


class FileIdentity(NamedTuple):
    """Device and inode of a file, which a copy does not share."""

    device: int
    inode: int

    def __str__(self) -> str:
        """Return both numbers, for the file itself."""
        return f"{self.device}:{self.inode}"


def createPrivate(file: Path) -> None:
    """
    Create a file that only its owner can read. One that exists keeps its mode.

    SQLite gives its other files, which have the same content, the mode of this one. It also reports a file that cannot
    be created.
    """
    with suppress(OSError):
        file.touch(0o600, exist_ok=False)


def identifyFile(path: Path) -> FileIdentity | None:
    """Return the identity of a file; `None` if it cannot be found."""
    try:
        status = path.stat()
    except OSError:
        return None
    return FileIdentity(status.st_dev, status.st_ino)


def checkFile(file: Path) -> None:
    """
    Check a file without changing it. A file that does not exist, or is empty, is fine.

    Raises:
        StoreUnavailable: The file is not ours, or is damaged.
        OSError: It cannot be read or written.
        sqlite3.Error: It cannot be read.
    """
    if not readHeader(file):
        return
    # It must be writable.
    file.open("r+b").close()
    verdict = _findDamage(file)
    if verdict:
        raise StoreUnavailable(f"{file} is damaged ({verdict}); it is left as it is.")


def readHeader(file: Path) -> bool:
    """
    Check the header of a file, and nothing else of it. A server may have it open.

    Returns:
        Whether there is a header: not in an empty file, or one that does not exist.

    Raises:
        StoreUnavailable: The file is not ours.
        OSError: It cannot be read.
    """
    if not file.exists():
        return False
    if file.is_fifo():
        # Somebody who opens it waits for its other end.
        raise StoreUnavailable(f"{file} is a pipe.")
    with file.open("rb") as opened:
        header = opened.read(100)
    if not header:
        return False
    # The file format, 1.3 (https://www.sqlite.org/fileformat.html#the_database_header).
    if not header.startswith(b"SQLite format 3\0") or header[68:72] != APPLICATION_ID.to_bytes(4, "big"):
        raise StoreUnavailable(f"{file} is not a file of sseserver; it is left as it is.")
    version = int.from_bytes(header[60:64], "big")
    if version not in READABLE:
        raise StoreUnavailable(f"{file} has version {version}; this sseserver reads version {VERSION}.")
    return True


def _findDamage(file: Path) -> str:
    """Check a file of ours, with all its pages if it is small; return the damage found first, or an empty string."""
    log, index, journal = (file.with_name(file.name + end) for end in ("-wal", "-shm", "-journal"))
    if journal.exists():
        # The making of the file was interrupted. SQLite will take it back, and the file is made anew.
        return ""
    if not log.exists() and file.stat().st_size % PAGE:
        return "a page is incomplete"
    # A read-only connection leaves a log and its index behind. An immutable one does not, but cannot see a log.
    before = index.exists()
    connection = sqlite3.connect(f"{file.as_uri()}?{'mode=ro' if log.exists() else 'immutable=1'}", uri=True, timeout=1)
    try:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            return "its tables are gone"
        if file.stat().st_size > CHECKED:
            return ""
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        verdict = str(verdict).splitlines()[-1]
        return "" if verdict == "ok" else verdict
    finally:
        connection.close()
        if not before:
            index.unlink(missing_ok=True)


def describeError(error: Exception) -> str:
    """Return the message of an error of SQLite or of the system, in the words of our users."""
    text = str(error)
    return "another process has it open" if text == "database is locked" else text
