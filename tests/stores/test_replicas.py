"""
Tests of `sseserver.stores.replicas`: logs that a shared store fills from elsewhere.
"""

from __future__ import annotations

from sseserver.formats import EventsFormat
from sseserver.stores.replicas import UNUSED, Replicas
from sseserver.streams.account import Account
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import FLUSH_TICK, StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Entry, Kind, NewEntry, PackedEntries, State, StoredEntries, StoredStream
from tests.fakes import ClockTestCase, FakeViewer

EVENTS = EventsFormat()


def pack(*texts: bytes, end: bool = False) -> PackedEntries:
    """Pack tokens, and a terminal entry if asked."""
    return PackedEntries([*(NewEntry(Kind.TOKEN, text) for text in texts), *[NewEntry(Kind.DONE, b"{}")] * end])


class ReplicaTests(ClockTestCase):
    """The logs of a store."""

    def setUp(self) -> None:
        super().setUp()
        self.ticker = Ticker(self.clock, FLUSH_TICK / 4)
        self.dropped: list[str] = []
        self.runs, self.published = Account(), Account()
        drop = lambda streamLog: self.dropped.append(streamLog.name)  # noqa: E731
        self.replicas = Replicas(self.ticker, 1000, self.runs, self.published, drop)
        self.stopAtEnd(self.ticker.stop)

    def load(self, name: str, *texts: bytes, published: bool = True, first: int = 1) -> StreamLog:
        """Load a stream with tokens."""
        last = first + len(texts) - 1
        earlier = (("e" * 22, 1),)
        stored = StoredStream(name, makeEpoch(), published, 5.0, None, first, last, 0, 7, False, 0, "Why?", earlier)
        entries = [Entry(number, Kind.TOKEN, text) for number, text in enumerate(texts, first)]
        return self.replicas.load(stored, StoredEntries(entries, {}))

    def follow(self, streamLog: StreamLog) -> FakeViewer:
        """Follow a log."""
        viewer = FakeViewer()
        streamLog.follow(viewer, EVENTS)
        return viewer

    def test_loaded(self) -> None:
        """A log that is loaded has everything of its stream, is found, and is counted in its account."""
        streamLog = self.load("a", b"x", b"y", first=3)
        self.assertIs(self.replicas.find("a"), streamLog)
        self.assertIsNone(self.replicas.find("b"))
        described = (streamLog.created, streamLog.question, streamLog.last, streamLog.buffer.tokens, streamLog.earlier)
        self.assertEqual(described, (5.0, "Why?", 4, 9, {"e" * 22: 1}))
        self.assertEqual((self.published.used, self.published.count, self.published.open), (streamLog.size, 1, 1))
        self.load("r", published=False)
        self.assertEqual((self.runs.count, len(self.replicas)), (1, 2))
        stored = StoredStream("c", makeEpoch(), True, 5.0, None, 1, 2, 0, 0)
        with self.assertRaises(ValueError):
            self.replicas.load(stored, StoredEntries([Entry(1, Kind.TOKEN, b"x")], {}))

    def test_received(self) -> None:
        """Groups of entries are visible at once, in the order of their numbers, each entry once."""
        streamLog = self.load("a", b"1")
        viewer = self.follow(streamLog)
        self.assertTrue(self.replicas.receive(streamLog, 2, pack(b"2", b"3")))
        self.assertEqual((streamLog.last, viewer.wakes), (3, 1))
        self.assertFalse(self.replicas.receive(streamLog, 5, pack(b"5")))
        self.assertTrue(self.replicas.receive(streamLog, 1, pack(b"1", b"2", b"3")))
        self.assertTrue(self.replicas.receive(streamLog, 3, pack(b"3", b"4", b"5")))
        self.assertEqual(streamLog.buffer.entries, [b"1", b"2", b"3", b"4", b"5"])
        self.assertTrue(self.replicas.receive(streamLog, 6, pack(end=True)))
        self.assertIs(streamLog.state, State.DONE)
        self.assertTrue(self.replicas.receive(streamLog, 6, pack(end=True)))
        self.assertEqual((streamLog.last, self.published.used, self.published.open), (6, streamLog.size, 0))

    def test_unused(self) -> None:
        """A log leaves memory some time after its last use; viewers use it, and so does who asks for it."""
        logs = {name: self.load(name, b"x") for name in "abc"}
        viewer = self.follow(logs["b"])
        self.clock.advance(UNUSED - 1)
        self.assertIs(self.replicas.find("c"), logs["c"])
        self.clock.advance(2)
        self.assertEqual(self.dropped, ["a"])
        self.clock.advance(UNUSED)
        self.assertEqual(self.dropped, ["a", "c"])
        logs["b"].leave(viewer)
        self.clock.advance(2 * UNUSED)
        self.assertEqual((self.dropped, len(self.replicas)), (["a", "c", "b"], 0))
        self.assertEqual((self.published.used, self.published.count, self.published.open), (0, 0, 0))
        self.assertEqual({log.state for log in logs.values()}, {State.OPEN})

    def test_shed(self) -> None:
        """A full memory drops the log of a kind that was used longest ago, and never one with viewers."""
        for name, published in (("a", True), ("b", True), ("r", False)):
            self.load(name, b"x", published=published)
        watched = self.replicas.find("a")
        assert watched is not None
        self.follow(watched)
        sheds = [self.replicas.shed(published) for published in (True, True, False, False)]
        self.assertEqual((sheds, self.dropped), ([True, False, True, False], ["b", "r"]))

    def test_lost(self) -> None:
        """A log of which entries were lost dismisses its viewers, and is loaded anew."""
        streamLog = self.load("a", b"x")
        viewer = self.follow(streamLog)
        self.replicas.lose(streamLog)
        self.assertEqual((viewer.dismissed, self.dropped, streamLog.state), (True, ["a"], State.OPEN))
        self.assertEqual((self.replicas.find("a"), self.published.used), (None, 0))

    def test_deleted(self) -> None:
        """Viewers of a stream that was deleted get the end."""
        streamLog = self.load("a", b"x")
        viewer = self.follow(streamLog)
        self.replicas.delete(streamLog)
        self.assertEqual((streamLog.state, viewer.wakes, viewer.dismissed), (State.CANCELLED, 1, False))
        self.assertEqual((self.dropped, self.published.used, self.published.count), (["a"], 0, 0))

    def test_stopped(self) -> None:
        """Nothing is left after the stop."""
        self.load("a", b"x")
        self.replicas.stop()
        self.assertEqual((list(self.replicas), self.published.used), ([], 0))
