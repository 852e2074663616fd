"""
Tests for `sseserver.stores.sqlite.journal`: when entries go into rows of their stream.
"""

from __future__ import annotations

from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IStreamLog
from sseserver.stores.groups import GROUP_ENTRIES
from sseserver.stores.groupwriter import RETRY
from sseserver.stores.sqlite import journal
from sseserver.stores.sqlite.journal import FILED, FRESH, SEGMENT
from sseserver.values import Kind, State
from tests.stores.sqlite.files import ROOM, StoreTestCase


class FilingTests(StoreTestCase):
    """When entries go into rows of their stream."""

    def filed(self) -> dict[int, list[int]]:
        """Give the number of the last entry of each segment, by stream."""
        found: dict[int, list[int]] = {}
        for stream, last in self.connection().execute("SELECT stream, last FROM segments ORDER BY stream, first"):
            found.setdefault(stream, []).append(last)
        return found

    def fill(self, streamLog: IStreamLog) -> None:
        """Append so much that older entries are filed; of three additions the third is filed itself."""
        for _ in range(FRESH // SEGMENT * 5):
            self.append(streamLog, 1, b"x" * (SEGMENT // 3))
            self.settle()

    def test_gathered(self) -> None:
        """
        A stream is filed when it has gathered enough; its next entries gather again.
        """
        streamLog = self.create()
        for _ in range(6):
            self.append(streamLog, 1, b"x" * (SEGMENT // 3))
            self.settle()
        self.assertEqual(self.filed(), {1: [3, 6]})
        self.assertEqual(len(self.entries()), 6)

    def test_large(self) -> None:
        """
        A large entry is filed at once, and is written only once.
        """
        streamLog = self.create()
        self.append(streamLog, 1)
        self.settle()
        self.append(streamLog, 1, b"x" * SEGMENT)
        self.settle()
        self.assertEqual((self.filed(), self.rows("fresh")), ({1: [2]}, []))

    def test_ended(self) -> None:
        """
        A stream that ends is filed whole.
        """
        streamLog = self.create(tokens=5)
        streamLog.append(Kind.DONE, b"{}")
        self.settle()
        self.assertEqual((self.filed(), len(self.rows("fresh"))), ({1: [6]}, 0))

    def test_old(self) -> None:
        """
        Quiet streams are filed when enough entries have come after theirs, some of them with each group. Their rows
        leave the table `fresh` then.
        """
        quiet = [self.create(tokens=2) for _ in range(2 * FILED)]
        self.assertEqual(self.filed(), {})
        lively = self.create()
        self.fill(lively)
        filed = self.filed()
        self.assertEqual([filed[number + 1] for number in range(2 * FILED)], [[2]] * len(quiet))
        places = [place for place, *_ in self.rows("fresh")]
        self.assertGreater(min(places), 0)
        self.assertLess(sum(len(row[4]) for row in self.rows("fresh")), FRESH + 3 * SEGMENT)

    def test_oldAndWaiting(self) -> None:
        """
        Entries that wait for the next group are not filed with this one, though those before them are.
        """
        quiet, lively = self.create(tokens=2), self.create()
        self.patch(journal, "FRESH", 0)
        self.append(lively, GROUP_ENTRIES)
        self.append(quiet, 1)
        self.clock.advance(0)
        self.thread.work()
        self.assertEqual((quiet.last, self.filed()[1]), (2, [2]))
        self.settle()
        self.assertEqual(quiet.last, 3)

    def test_afterRestart(self) -> None:
        """
        Entries that were filed before a restart are not filed again.
        """
        self.create("a", tokens=3)
        self.restart()
        streamLog = self.result(self.store.find("a"))
        self.append(streamLog, 2)
        self.settle()
        streamLog.append(Kind.DONE, b"{}")
        self.settle()
        self.assertEqual(self.filed(), {1: [3, 6]})

    def test_deleted(self) -> None:
        """
        With a stream that is deleted go its fresh entries: what came beside them is filed.
        """
        self.create("a", tokens=3)
        other = self.create("b", tokens=2)
        self.result(self.store.delete("a"))
        self.assertEqual((self.filed(), self.rows("fresh")), ({2: [2]}, []))
        self.append(other, 1)
        self.settle()
        self.assertEqual(len(self.rows("fresh")), 1)
        self.restart()
        self.assertEqual(self.result(self.store.find("b")).buffer.entries, [b"x"] * 3)

    def test_trimmed(self) -> None:
        """
        Entries that are trimmed before they are filed are not filed; a segment that is trimmed in part is cut.
        """
        self.restart(window=3 * SEGMENT)
        streamLog = self.create()
        for _ in range(50):
            self.append(streamLog, 7, b"x" * 1700)
            self.settle()
        filed = [number for _, number, _ in self.entries()]
        (first,) = self.connection().execute("SELECT min(first) FROM segments").fetchone()
        self.assertEqual(first, streamLog.buffer.first)
        self.assertEqual(filed[-1], 350)
        entries = streamLog.buffer.entries
        self.restart(window=3 * SEGMENT)
        again = self.result(self.store.find(streamLog.name))
        self.assertEqual(
            (again.buffer.first, again.buffer.entries, again.buffer.size), (first, entries, streamLog.buffer.size)
        )

    def test_refused(self) -> None:
        """
        Entries that could not be filed, because the disk was full, are filed when there is room.
        """
        streamLog = self.create(published=False, tokens=3)
        self.connection().execute("PRAGMA max_page_count = 1")
        streamLog.append(Kind.DONE, b"x" * 100_000)
        self.settle()
        self.assertEqual((self.filed(), streamLog.state), ({}, State.OPEN))
        self.connection().execute(f"PRAGMA max_page_count = {ROOM}")
        self.clock.advance(RETRY)
        self.settle()
        self.assertEqual((self.filed(), streamLog.state), ({1: [4]}, State.DONE))
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)
