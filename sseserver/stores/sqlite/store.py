"""
SQLiteStore: stream logs that survive the process, in one SQLite file.

With `synchronous=NORMAL` in WAL mode a committed transaction survives the end of the process, however sudden. It may
not survive the end of the machine. After a new boot, which the kernel's boot ID shows, open streams therefore get new
epochs, so that no event ID ever stands for two contents. With `synchronous=FULL` it survives that, too, and they keep
their epochs. In a copy, which lacks what viewers saw later, they get new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from sseserver.interfaces import IPersistence
from sseserver.stores.persistent import PersistentStore
from sseserver.stores.sqlite.database import Database
from sseserver.stores.sqlite.files import identifyFile
from sseserver.stores.sqlite.journal import Journal
from sseserver.stores.sqlite.thread import FileThread
from sseserver.streams.ids import makeEpoch
from sseserver.timing.turnend import TurnEnd
from sseserver.values import Change, StoredEntries, StoredStream


def readBootID() -> str:
    """Return what identifies the present boot of the machine, or an empty string if the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def readFileID(path: str) -> str:
    """Return what tells a file from its copies, or an empty string if it cannot be found."""
    identity = identifyFile(Path(path))
    return "" if identity is None else str(identity)


class SQLiteStore(PersistentStore):
    """
    Keeps stream logs in an SQLite file, which it locks against other processes.

    Args:
        clock: The reactor. A test may give a `task.Clock` together with `inThread`.
        path: Name of the file, which is made if it does not exist.
        window: Bytes that each stream keeps; see `StreamLog`.
        inThread: See `SQLitePersistence`.
        turnEnd: See `PersistentStore`.
        full: Whether entries are visible, and publishes answered, only when the disk has them: they survive a loss of
            power.
    """

    persistence: SQLitePersistence

    def __init__(
        self,
        clock: Any,
        path: str,
        window: int,
        inThread: Callable[..., Deferred[Any]] | None = None,
        *,
        turnEnd: TurnEnd | None = None,
        full: bool = False,
    ) -> None:
        super().__init__(clock, SQLitePersistence(clock, path, inThread, full), window, turnEnd=turnEnd)


@implementer(IPersistence)
class SQLitePersistence:
    """
    Reads and writes an SQLite file in a thread of its own.

    Args:
        reactor: Gets the results from the thread.
        path: Name of the file, which is made if it does not exist.
        inThread: Calls a function with arguments in another thread, one call after the other, and returns a Deferred
            of the result. By default the persistence has a thread.
        full: See `SQLiteStore`.

    Attributes:
        path: See above.
        database: The file, while it is open.
    """

    def __init__(
        self, reactor: Any, path: str, inThread: Callable[..., Deferred[Any]] | None = None, full: bool = False
    ) -> None:
        self.database: Database | None = None
        self._reactor = reactor
        self.path = path
        self._givenThread = inThread
        self._full = full
        self._thread: FileThread | None = None
        self._journal = Journal([])

    def start(self, now: float) -> Sequence[StoredStream]:
        """See `IPersistence.start`."""
        database = Database(self.path, self._full)
        recovered = database.recover(now, iter(makeEpoch, ""), readBootID(), readFileID(self.path))
        self.database = database
        self._journal = Journal(recovered)
        if self._givenThread is None:
            self._thread = FileThread(self._reactor)
        return [stream for _, stream in recovered]

    def stop(self) -> Deferred[None]:
        """See `IPersistence.stop`."""
        assert self.database is not None
        return self.inThread(self.database.close).addCallback(self._close)

    def write(self, changes: Sequence[Change]) -> Deferred[None]:
        """See `IPersistence.write`: one transaction."""
        assert self.database is not None
        plan = self._journal.plan(changes)
        return self.inThread(self.database.commit, plan.transaction).addCallback(lambda _: self._journal.accept(plan))

    def read(self, epoch: str, first: int, last: int) -> Deferred[StoredEntries]:
        """See `IPersistence.read`."""
        assert self.database is not None
        return self.inThread(self.database.load, self._journal.findNumber(epoch), first, last)

    def inThread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Call a function in the thread that reads and writes the file, after the calls made before."""
        if self._givenThread is not None:
            return self._givenThread(function, *arguments)
        assert self._thread is not None
        return self._thread.call(function, *arguments)

    def _close(self, _: None) -> None:
        self.database = None
        if self._thread is not None:
            self._thread.stop()
            self._thread = None
