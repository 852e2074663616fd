"""
The SQLite store on a disk that is full, and then has room again.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from sseserver.errors import StoreUnavailable, StreamExists
from sseserver.stores.groupwriter import RETRY
from sseserver.streams.cost import measureStream
from sseserver.testing import RecordingViewer
from sseserver.testing.storecase import NoFormat
from sseserver.values import Kind, State
from tests.stores.sqlite.files import ROOM, StoreTestCase


class FullTests(StoreTestCase):
    """The disk is full, and then it has room again."""

    def setUp(self) -> None:
        """Make some streams, then fill the disk."""
        super().setUp()
        self.published = self.create("published", tokens=2)
        self.run_ = self.create("run", published=False, tokens=2)
        self.pages(1)

    def tearDown(self) -> None:
        """The log says once that the disk was full, and once that it was not written to the end if it was not."""
        self.pages(ROOM)
        super().tearDown()
        self.flushLoggedErrors(StoreUnavailable)

    def pages(self, most: int) -> None:
        """Set how many pages the file may have; SQLite takes no fewer than there are."""
        if self.store.persistence.database is not None:
            self.connection().execute(f"PRAGMA max_page_count = {most}")

    def publish(self) -> Deferred[None]:
        """Publish more than there is room for."""
        self.append(self.published, 3, b"y" * 5000)
        self.published.remember("key", b"digest", 3)
        return self.published.awaitStored()

    def test_publishRefused(self) -> None:
        """
        A publish is refused as a whole: its entries are not in the log, in the file, or counted, its key is unknown,
        and its terminal entry does not end the stream.
        """
        used, size = self.store.used, self.published.buffer.size
        settled = self.publish()
        self.published.append(Kind.DONE, b"{}")
        self.refused(settled, StoreUnavailable)
        log = self.published
        self.assertEqual((log.last, log.buffer.entries, log.buffer.tokens, log.state), (2, [b"x", b"x"], 2, State.OPEN))
        self.assertEqual((log.buffer.size, self.store.used, log.keys.get("key")), (size, used, None))
        self.assertEqual(len(self.entries()), 4)
        self.assertEqual(self.rows("keys"), [])

    def test_F66_deletedBeforeItIsCreated(self) -> None:
        """
        F66: a stream that is deleted while its creation is being written is not there when the disk refuses it: both
        calls are answered, nothing is counted, and who waits to create the name again can.
        """
        count, used = self.store.count, self.store.used
        for repeats in (False, True):
            created = self.store.create("x", True)
            self.clock.advance(RETRY)
            deleted = self.store.delete("x")
            again = self.store.create("x", True) if repeats else None
            called, _, _ = self.thread.waiting.pop(0)
            called.errback(StoreUnavailable("The disk is full."))
            self.failureResultOf(created, StoreUnavailable)
            self.successResultOf(deleted)
            after = used + repeats * measureStream("x")
            self.assertEqual((self.store.count, self.store.used), (count + repeats, after))
        self.pages(ROOM)
        self.clock.advance(RETRY)
        self.assertEqual(self.result(again).name, "x")

    def test_F66_stoppedWhileDeleting(self) -> None:
        """
        F66: when the store is stopped on a full disk, a creation that waits for a deletion is refused, too.
        """
        self.publish().addErrback(lambda _: None)
        deleted, created = self.store.delete("published"), self.store.create("published", True)
        stopped = self.store.stop()
        self.refused(created, StreamExists)
        self.refused(deleted, StoreUnavailable)
        self.successResultOf(stopped)
        self.pages(ROOM)
        self.store.start()

    def test_recovers(self) -> None:
        """
        When there is room again, publishing goes on under the next numbers; and the log has said only once that there
        was none.
        """
        for _ in range(3):
            settled = self.publish()
            self.clock.advance(RETRY)
            self.refused(settled, StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)
        self.pages(ROOM)
        settled = self.publish()
        self.clock.advance(RETRY)
        self.result(settled)
        self.assertEqual((self.published.last, self.published.keys.get("key")), (5, (b"digest", 3, 5)))
        self.restart()
        self.assertEqual(self.result(self.store.find("published")).last, 5)

    def test_runKeeps(self) -> None:
        """
        Entries of a run are kept, not yet visible, and are written as soon as there is room again. Viewers stay.
        """
        viewer = RecordingViewer(self.run_)
        self.run_.follow(viewer, NoFormat())
        self.append(self.run_, 10, b"z" * 2000)
        self.settle()
        self.append(self.run_, 1, b"z")
        self.clock.advance(RETRY)
        self.settle()
        self.assertEqual((self.run_.last, viewer.seen, self.run_.viewers), (2, [], 1))
        self.pages(ROOM)
        self.clock.advance(RETRY)
        self.settle()
        self.assertEqual((self.run_.last, viewer.seen, len(self.entries())), (13, [13], 15))
        self.run_.leave(viewer)

    def test_createRefused(self) -> None:
        """
        A stream that cannot be made is refused, and is not there; with room it can be made.
        """
        created = [self.store.create(f"{number}" * 100, True) for number in range(100)]
        for each in created:
            self.refused(each, StoreUnavailable)
        self.assertEqual((self.store.count, len(self.rows("streams"))), (2, 2))
        self.pages(ROOM)
        again = self.store.create("0" * 100, True)
        self.clock.advance(RETRY)
        self.result(again)

    def test_deleteRefused(self) -> None:
        """
        A stream that cannot be deleted now is there as before; it can be deleted when there is room again.
        """
        count = self.store.count
        published = self.publish()
        deleted = self.store.delete("run")
        for each in (published, deleted):
            self.refused(each, StoreUnavailable)
        self.assertEqual(self.store.count, count)
        self.assertIs(self.result(self.store.find("run")).state, State.OPEN)
        self.assertEqual(len(self.rows("streams")), 2)
        self.pages(ROOM)
        self.clock.advance(RETRY)
        self.settle()
        self.result(self.store.delete("run"))
        self.assertEqual(len(self.rows("streams")), 1)

    def test_stop(self) -> None:
        """
        A store that is stopped while the disk is full closes all the same, and tells everybody who waits: also those
        who came while it was trying.
        """
        self.pages(ROOM)
        self.create("other")
        self.pages(1)
        self.append(self.run_, 10, b"z" * 2000)
        stopped = self.store.stop()
        self.clock.advance(0)
        waiting = [self.publish(), self.store.create("new", True), self.store.delete("other")]
        waiting.append(self.run_.awaitStored())
        self.settle()
        self.successResultOf(stopped)
        for each in waiting:
            self.failureResultOf(each, StoreUnavailable)
        self.pages(ROOM)
        self.store = self.makeStore()
        self.store.start()
        self.assertEqual(self.result(self.store.find("run")).last, 3)
