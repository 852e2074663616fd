"""
A store in an SQLite file, with a thread that a test drives.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from sseserver.errors import SSEServerError
from sseserver.interfaces import IStreamLog
from sseserver.stores.sqlite import SQLiteStore
from sseserver.stores.sqlite.rows import FreshRow, SegmentRow
from sseserver.values import EndedStream, Kind
from tests.fakes import ClockTestCase

#: Bytes. Kept of each stream.
WINDOW = 1 << 24

#: Pages of a disk that is not full.
ROOM = 1_000_000


class Thread:
    """
    The store's thread, by hand.

    Attributes:
        waiting: What it was given and has not done.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """See `SQLiteStore`: call a function in the thread."""
        called: Deferred[Any] = Deferred()
        self.waiting.append((called, function, arguments))
        return called

    def work(self) -> None:
        """Do what was given first."""
        called, function, arguments = self.waiting.pop(0)
        maybeDeferred(function, *arguments).chainDeferred(called)


class StoreTestCase(ClockTestCase):
    """Gives each test a store on a thread by hand; it is stopped in the end."""

    def setUp(self) -> None:
        """Start the store."""
        super().setUp()
        self.thread = Thread()
        self.path = self.mktemp()
        self.store = self.makeStore()
        self.store.start()
        self.stopAtEnd(lambda: self.result(self.store.stop()))

    def makeStore(self, window: int = WINDOW) -> SQLiteStore:
        """Make a store on the test's file."""
        return SQLiteStore(self.clock, self.path, window, self.thread)

    def settle(self) -> None:
        """Let the store do all that there is to do."""
        self.clock.advance(0)
        while self.thread.waiting:
            self.thread.work()
            self.clock.advance(0)

    def result(self, deferred: Deferred[Any]) -> Any:
        """Give what a Deferred comes to."""
        self.settle()
        return self.successResultOf(deferred)

    def refused(self, deferred: Deferred[Any], error: type[SSEServerError]) -> None:
        """Make sure that it has failed with this error."""
        self.settle()
        self.failureResultOf(deferred, error)

    def create(self, name: str | None = None, published: bool = True, tokens: int = 0) -> IStreamLog:
        """Make a stream with tokens."""
        streamLog: IStreamLog = self.result(self.store.create(name, published))
        self.append(streamLog, tokens)
        self.settle()
        return streamLog

    def append(self, streamLog: IStreamLog, count: int, data: bytes = b"x") -> None:
        """Append tokens."""
        for _ in range(count):
            streamLog.append(Kind.TOKEN, data)

    def restart(self, window: int = WINDOW) -> list[EndedStream]:
        """Stop the store, and start another one on the file."""
        self.result(self.store.stop())
        self.store = self.makeStore(window)
        return list(self.store.start())

    def connection(self) -> sqlite3.Connection:
        """The store's own connection; nobody else can look at the file."""
        assert self.store.persistence.database is not None
        return self.store.persistence.database.connection

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Read a table."""
        return self.connection().execute(f"SELECT * FROM {table}").fetchall()

    def entries(self) -> list[tuple[int, int, bytes]]:
        """Read the entries in the file, filed or not: numbers of stream and entry, data."""
        filed = [(row.stream, row.unpack()) for row in map(SegmentRow._make, self.rows("segments"))]
        fresh = [each for row in self.rows("fresh") for each in FreshRow(*row).unpack()]
        return sorted(
            {(stream, *entry) for stream, each in filed + fresh for entry in enumerate(each.entries, each.first)}
        )
