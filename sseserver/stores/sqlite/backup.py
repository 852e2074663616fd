"""
Backup of an SQLite file, also while a server uses it: the command `python -m sseserver.stores.sqlite backup`.

The server locks its file, so SQLite cannot copy it. The bytes can be copied all the same. Between two checkpoints the
server appends to the write-ahead log only, and whatever it moves into the file meanwhile stands in the log, too. So a
copy of the file and then of its log is consistent if the log was not begun anew in between, which its header shows.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from sseserver.errors import StoreUnavailable
from sseserver.stores.sqlite.database import OPEN_FILES, Database
from sseserver.stores.sqlite.files import createPrivate, describeError

#: Copies that are tried, if the log is begun anew while one is made.
ATTEMPTS = 20

#: Bytes. Header of a write-ahead log (https://www.sqlite.org/fileformat.html#the_write_ahead_log). It has two random
#: numbers that change whenever the log is begun anew.
_HEADER = 32


def makeBackup(source: Path, target: Path) -> None:
    """
    Copy a store to a new file, which a server can be started on.

    Open streams get new epochs when that happens: see `Database.recover`.

    Args:
        source: The file of the store.
        target: The copy, which must not exist.

    Raises:
        StoreUnavailable: There is no such store, the copy exists, or the store changes too fast.
    """
    source = source.resolve()
    if source in OPEN_FILES:
        # To close a descriptor of the file would release its locks.
        raise StoreUnavailable(f"{source} is open in this process; back it up from another one.")
    if target.exists():
        raise StoreUnavailable(f"{target} exists already; it is left as it is.")
    part = target.with_name(f"{target.name}.part")
    try:
        _copyUnchanged(source, part)
        _finish(part)
        part.rename(target)
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"{source} cannot be copied to {target}: {describeError(error)}.") from error
    finally:
        for path in (part, _findLog(part)):
            path.unlink(missing_ok=True)


def _copyUnchanged(source: Path, copy: Path) -> None:
    """Copy a file and its log, again and again until the log was not begun anew meanwhile."""
    for _ in range(ATTEMPTS):
        before = _readMark(source)
        createPrivate(copy)
        shutil.copyfile(source, copy)
        shutil.copymode(source, copy)
        if before[0]:
            createPrivate(_findLog(copy))
            shutil.copyfile(_findLog(source), _findLog(copy))
        if _readMark(source) == before:
            return
    raise StoreUnavailable(f"{source} changes too fast to be copied. Stop the server, or try again when it is quiet.")


def _readMark(source: Path) -> tuple[bytes, int]:
    """Return the header of the log. Without a log every change goes to the file itself: return the time of the last."""
    try:
        with _findLog(source).open("rb") as log:
            header = log.read(_HEADER)
    except FileNotFoundError:
        header = b""
    return (header, 0) if header else (b"", source.stat().st_mtime_ns)


def _findLog(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def _finish(copy: Path) -> None:
    """Check a copy, move its log into the file, and mark it as a copy."""
    database = Database(str(copy))
    try:
        database.connection.execute("UPDATE life SET file = 'copy'")
        (verdict,) = database.connection.execute("PRAGMA quick_check(1)").fetchone()
    finally:
        database.abandon()
    if verdict != "ok":
        raise StoreUnavailable(f"The store is damaged ({str(verdict).splitlines()[-1]}); there is no backup.")
