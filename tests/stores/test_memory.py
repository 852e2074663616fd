"""
Tests for `sseserver.stores.memory`.
"""

from __future__ import annotations

import re

from zope.interface.verify import verifyObject

from sseserver.errors import NotFound, StreamEnded, StreamNotFound
from sseserver.formats import EventsFormat
from sseserver.interfaces import ILocalStore, IStreamLog
from sseserver.stores.memory import MemoryStore
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.followed import FLUSH_TICK
from sseserver.values import Kind, State
from tests.fakes import ClockTestCase, FakeViewer


class MemoryStoreTests(ClockTestCase):
    """The contract of `ILocalStore`, and what is special in memory."""

    def setUp(self) -> None:
        """Make a store."""
        super().setUp()
        self.store = MemoryStore(self.clock, 1000)

    def create(self) -> IStreamLog:
        """Make a stream."""
        return self.successResultOf(self.store.create(None, published=False))

    def test_interface(self) -> None:
        """
        A store and its logs keep their contracts.
        """
        verifyObject(ILocalStore, self.store)
        verifyObject(IStreamLog, self.create())

    def test_create(self) -> None:
        """
        A new stream is open and empty, and named by its epoch, which is 22
        letters and digits.
        """
        log = self.create()
        self.assertEqual(log.name, log.epoch)
        self.assertIsNotNone(re.fullmatch("[A-Za-z0-9]{22}", log.epoch))
        self.assertEqual((log.state, log.buffer.first, log.last, log.viewers), (State.OPEN, 1, 0, 0))

    def test_eachIsAnother(self) -> None:
        """
        Streams have nothing in common.
        """
        one, two = self.create(), self.create()
        self.assertNotEqual(one.epoch, two.epoch)
        one.append(Kind.DONE, b"{}")
        self.assertEqual((two.state, two.last), (State.OPEN, 0))

    def test_find(self) -> None:
        """
        A stream is found by its name, the very same log each time, open or
        ended.
        """
        one, two = self.create(), self.create()
        one.append(Kind.DONE, b"{}")
        for log in (one, two, one):
            self.assertIs(self.successResultOf(self.store.find(log.name)), log)
            self.assertIs(self.store.peek(log.name), log)
        self.assertIsNone(self.store.peek("missing"))

    def test_findNothing(self) -> None:
        """
        A stream that was never made is not found: a 404 that names it as the client wrote it.
        """
        name = self.create().name
        for wrong in ("", "a'b", name + "\n", name.swapcase() + "x"):
            error = self.failureResultOf(self.store.find(wrong), StreamNotFound).value
            self.assertIn(repr(wrong), str(error))
            self.assertIsInstance(error, NotFound)
            self.assertEqual(error.status, 404)

    def test_delete(self) -> None:
        """
        A deleted stream is not found; others are.
        """
        one, two = self.create(), self.create()
        self.assertIsNone(self.successResultOf(self.store.delete(one.name)))
        self.failureResultOf(self.store.find(one.name), StreamNotFound)
        self.assertIs(self.successResultOf(self.store.find(two.name)), two)

    def test_deleteNothing(self) -> None:
        """
        A stream that does not exist, or no longer, cannot be deleted.
        """
        self.failureResultOf(self.store.delete("nothing"), StreamNotFound)
        name = self.create().name
        self.successResultOf(self.store.delete(name))
        self.failureResultOf(self.store.delete(name), StreamNotFound)

    def test_deletedLogGoesOn(self) -> None:
        """
        A viewer that follows a stream while it is deleted gets its end, and no entry can follow that.
        """
        log = self.create()
        viewer = FakeViewer()
        log.follow(viewer, EventsFormat())
        self.successResultOf(self.store.delete(log.name))
        self.assertEqual((viewer.wakes, log.state), (1, State.CANCELLED))
        self.assertEqual(log.buffer.entries, [b'{"reason":"deleted"}'])
        self.assertRaises(StreamEnded, log.append, Kind.TOKEN, b"a")

    def test_window(self) -> None:
        """
        Each stream keeps as many bytes as the store says.
        """
        one, two = self.create(), self.create()
        for log in (one, two):
            log.append(Kind.TOKEN, b"x" * (1000 - ENTRY_COST))
            self.assertEqual((log.buffer.first, log.buffer.size), (1, 1000))
        one.append(Kind.TOKEN, b"")
        self.assertEqual((one.buffer.first, two.buffer.first), (2, 1))

    def test_oneLoopForAllStreams(self) -> None:
        """
        All streams announce their entries from one delayed call, each flush
        tick at its end, one slot late at most.
        """
        viewers = []
        for _ in range(50):
            log = self.create()
            viewers.append(FakeViewer())
            log.follow(viewers[-1], EventsFormat())
            log.append(Kind.TOKEN, b"at once")
            log.append(Kind.TOKEN, b"later")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual([viewer.wakes for viewer in viewers], [1] * 50)
        for _ in range(11):
            self.clock.advance(FLUSH_TICK / 8)
        self.assertEqual([viewer.wakes for viewer in viewers], [2] * 50)
