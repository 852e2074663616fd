"""
StoreContract: what every store must do, as tests. Its public place is L{sseserver.testing}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from sseserver.errors import GapError, SSEServerError, StreamEnded, StreamExists, StreamNotFound
from sseserver.interfaces import IFormat, IRendering, IStreamLog, IStreamStore
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import FLUSH_TICK
from sseserver.values import Kind, State

T = TypeVar("T")

if TYPE_CHECKING:
    _TestCase = SynchronousTestCase
else:
    _TestCase = object


class RecordingViewer:
    """
    A viewer that only notes how far it could have read.

    Attributes:
        cursor: See L{sseserver.interfaces.Viewer}.
        seen: Number of the last visible entry, at each wake-up.
    """

    def __init__(self, streamLog: IStreamLog) -> None:
        self.cursor = 0
        self.seen: list[int] = []
        self._log = streamLog

    def wake(self) -> None:
        """See L{sseserver.interfaces.Viewer}."""
        self.seen.append(self._log.last)


@implementer(IFormat)
class _NoFormat:
    """For viewers that read nothing."""

    name = "none"
    headers = ()
    reconnects = True

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See L{IFormat.render}."""
        return cast(IRendering, None)


class StoreContract(_TestCase):
    """
    What every L{IStreamStore} must do.

    Attributes:
        survives: Whether the store outlives its process; then say in L{crash} how it dies.
        window: Bytes that each stream keeps in these tests.
        clock: What the store's time comes from.
        store: The store, started.
    """

    survives = False
    window = 8000

    def makeStore(self, window: int) -> IStreamStore:
        """
        Make a store on C{self.clock}; after a L{crash}, one on what is left.

        Args:
            window: Bytes that each stream keeps.
        """
        raise NotImplementedError("Say how your store is made.")

    def settle(self) -> None:
        """Let pass what time the store needs to take what it was given; and let its threads do their work."""
        self.clock.advance(1)

    def crash(self) -> None:
        """Let the store's process end without a warning, for a store that survives it."""
        raise NotImplementedError("Say how your store dies.")

    def setUp(self) -> None:
        """Make a store."""
        super().setUp()
        self.clock = Clock()
        self.store = self.makeStore(self.window)
        self.assertEqual(list(self.store.start()), [])

    def tearDown(self) -> None:
        """Stop the store: it leaves nothing on the clock."""
        self.result(self.store.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def result(self, deferred: Deferred[T]) -> T:
        """Give what a Deferred comes to when the store had its time."""
        self.settle()
        return self.successResultOf(deferred)

    def refused(self, deferred: Deferred[Any], error: type[SSEServerError]) -> None:
        """Make sure that it fails with this error."""
        self.settle()
        self.failureResultOf(deferred, error)

    def create(self, name: str | None = None, published: bool = True, tokens: int = 0) -> IStreamLog:
        """Make a stream with tokens `1`, `2` ..."""
        streamLog = self.result(self.store.create(name, published))
        for number in range(1, tokens + 1):
            streamLog.append(Kind.TOKEN, b"%d" % number)
        self.settle()
        return streamLog

    def find(self, name: str) -> IStreamLog:
        """Find a stream that is there."""
        return self.result(self.store.find(name))

    def describe(self, streamLog: IStreamLog) -> tuple[object, ...]:
        """Give all that must never change by itself."""
        return (
            (streamLog.name, streamLog.epoch, streamLog.published, streamLog.state, streamLog.created),
            (streamLog.buffer.first, streamLog.last, streamLog.buffer.tokens, streamLog.buffer.size, streamLog.ended),
            (bytes(streamLog.buffer.kinds), streamLog.buffer.entries),
        )

    def restart(self) -> list[tuple[float, str, str]]:
        """Stop the store and start it again; return what it lists."""
        self.result(self.store.stop())
        return list(self.store.start())

    def die(self) -> list[tuple[float, str, str]]:
        """Let the store's process die, and another one start; return what that lists."""
        self.crash()
        self.store = self.makeStore(self.window)
        return list(self.store.start())

    def test_interfaces(self) -> None:
        """
        Store and log have what their interfaces name.
        """
        verifyObject(IStreamStore, self.store)
        verifyObject(IStreamLog, self.create())

    def test_new(self) -> None:
        """
        A new stream is open and empty, named as asked or else by its epoch; it knows what it is for, and when it was
        made.
        """
        named, unnamed = self.create("a.b"), self.create(None, published=False)
        self.assertEqual((named.name, unnamed.name), ("a.b", unnamed.epoch))
        self.assertEqual((named.published, unnamed.published), (True, False))
        self.assertNotEqual(named.epoch, unnamed.epoch)
        self.assertRegex(named.epoch, "^[A-Za-z0-9]{22}$")
        self.assertEqual((named.state, named.buffer.first, named.last, named.buffer.tokens), (State.OPEN, 1, 0, 0))
        self.assertTrue(0 <= named.created <= unnamed.created <= self.clock.seconds())

    def test_find(self) -> None:
        """
        A stream is found by its name, always as the same log as long as somebody holds it; another name is not found.
        """
        streamLog = self.create("a", tokens=1)
        self.assertIs(self.find("a"), streamLog)
        streamLog.append(Kind.DONE, b"{}")
        self.settle()
        self.assertIs(self.find("a"), streamLog)
        self.refused(self.store.find("b"), StreamNotFound)

    def test_exists(self) -> None:
        """
        A name stands for one stream: a second one is refused, also while the first one is being made.
        """
        first, second = self.store.create("a", True), self.store.create("a", False)
        self.refused(second, StreamExists)
        self.assertIs(self.find("a"), self.result(first))
        self.refused(self.store.create("a", True), StreamExists)
        self.assertEqual(self.store.count, 1)

    def test_numbers(self) -> None:
        """
        Entries are numbered 1, 2, 3 ... as they come, and kept as they are, whatever their bytes.
        """
        data = [b"a", b"", b"\0", b"\xff\xfe", "é\r\n".encode(), b"x" * 5000]
        kinds = [Kind.TOKEN, Kind.EVENT, Kind.CHUNK, Kind.SILENT_CHUNK, Kind.TOKEN, Kind.EVENT]
        streamLog, other = self.create(), self.create(tokens=3)
        self.assertEqual([streamLog.append(*entry) for entry in zip(kinds, data, strict=True)], [1, 2, 3, 4, 5, 6])
        self.settle()
        self.assertEqual((streamLog.buffer.first, streamLog.last, streamLog.buffer.tokens), (1, 6, 3))
        self.assertEqual((streamLog.buffer.entries, list(streamLog.buffer.kinds)), (data, kinds))
        self.assertEqual(other.buffer.entries, [b"1", b"2", b"3"])

    def test_visible(self) -> None:
        """
        An entry is visible when the store has it: not before that do viewers wake and does C{settled} fire.
        """
        streamLog = self.create()
        viewer = RecordingViewer(streamLog)
        streamLog.follow(viewer, _NoFormat())
        fired: list[int] = []
        for number in range(1, 4):
            streamLog.append(Kind.TOKEN, b"x")
            streamLog.settled().addCallback(lambda _: fired.append(streamLog.last))
            self.assertEqual(len(fired), streamLog.last)
            self.assertIn(streamLog.last, {0, number})
        self.settle()
        self.assertEqual((len(fired), streamLog.last, viewer.seen[-1]), (3, 3, 3))
        self.assertNotIn(0, viewer.seen)
        streamLog.leave(viewer)

    def test_end(self) -> None:
        """
        A terminal entry is the last one: it sets the state, and nothing can follow.
        """
        for kind, state in ((Kind.DONE, State.DONE), (Kind.FAILED, State.FAILED), (Kind.CANCELLED, State.CANCELLED)):
            streamLog = self.create(tokens=2)
            self.assertEqual((streamLog.state, streamLog.ended), (State.OPEN, None))
            streamLog.append(kind, b'{"reason":"x"}')
            self.assertRaises(StreamEnded, streamLog.append, Kind.TOKEN, b"y")
            self.settle()
            self.assertRaises(StreamEnded, streamLog.append, kind, b"{}")
            self.assertEqual((streamLog.state, streamLog.last, len(streamLog.buffer.entries)), (state, 3, 3))
            self.assertIsNotNone(streamLog.ended)

    def test_trim(self) -> None:
        """
        A stream keeps its window: the oldest entries go, the newest stays however large; numbers and the count of
        tokens go on. Whoever comes back for what is gone is told of the gap.
        """
        streamLog = self.create(tokens=1000)
        self.assertEqual((streamLog.last, streamLog.buffer.tokens), (1000, 1000))
        self.assertTrue(1 < streamLog.buffer.first <= 1000)
        self.assertLessEqual(streamLog.buffer.size, self.window)
        numbers = range(streamLog.buffer.first, 1001)
        self.assertEqual(streamLog.buffer.entries, [b"%d" % number for number in numbers])
        gap = self.assertRaises(GapError, streamLog.locate, f"{streamLog.epoch}-0")
        self.assertEqual((gap.reason, gap.cursor, gap.missed), ("trimmed", numbers[0] - 1, numbers[0] - 1))
        streamLog.append(Kind.EVENT, b"x" * 2 * self.window)
        self.settle()
        self.assertEqual((streamLog.buffer.first, len(streamLog.buffer.entries)), (1001, 1))

    def test_used(self) -> None:
        """
        The store counts streams and bytes: what is trimmed or deleted is no longer among them.
        """
        logs = [self.create(str(number), tokens=100 * number) for number in range(4)]
        self.assertEqual((self.store.count, self.store.used), (4, sum(streamLog.buffer.size for streamLog in logs)))
        logs[1].append(Kind.DONE, b"{}")
        self.settle()
        self.assertEqual(self.store.used, sum(streamLog.buffer.size for streamLog in logs))
        for name in ("1", "3"):
            self.result(self.store.delete(name))
        self.assertEqual((self.store.count, self.store.used), (2, logs[0].buffer.size + logs[2].buffer.size))

    def test_keys(self) -> None:
        """
        An idempotency key is known as long as its entries are kept; then it can be used anew.
        """
        streamLog = self.create()
        for _ in range(2):
            first = streamLog.append(Kind.TOKEN, b"a")
            last = streamLog.append(Kind.TOKEN, b"b")
            streamLog.remember("key", b"digest", first)
            self.settle()
            self.assertEqual(streamLog.recall("key"), (b"digest", first, last))
            self.assertIsNone(streamLog.recall("other"))
            streamLog.append(Kind.EVENT, b"x" * self.window)
            streamLog.append(Kind.TOKEN, b"c")
            self.settle()
            self.assertIsNone(streamLog.recall("key"))

    def test_delete(self) -> None:
        """
        A deleted stream is not found any more. Viewers of an open one get its end, C{cancelled}, reason C{deleted}.
        """
        streamLog = self.create("a", tokens=2)
        viewer = RecordingViewer(streamLog)
        streamLog.follow(viewer, _NoFormat())
        self.result(self.store.delete("a"))
        self.clock.advance(FLUSH_TICK)
        self.assertEqual((streamLog.state, viewer.seen[-1:]), (State.CANCELLED, [3]))
        self.assertEqual(streamLog.buffer.entries[-1], b'{"reason":"deleted"}')
        self.assertRaises(StreamEnded, streamLog.append, Kind.TOKEN, b"x")
        streamLog.leave(viewer)
        self.refused(self.store.find("a"), StreamNotFound)
        self.refused(self.store.delete("a"), StreamNotFound)

    def test_deleteEnded(self) -> None:
        """
        A stream that has ended keeps its end when it is deleted: there is one.
        """
        streamLog = self.create("a")
        streamLog.append(Kind.DONE, b"{}")
        self.settle()
        self.result(self.store.delete("a"))
        self.assertEqual((streamLog.state, streamLog.last), (State.DONE, 1))

    def test_deleteAnother(self) -> None:
        """
        A stream is deleted by name and epoch only if it is that one.
        """
        streamLog = self.create("a", tokens=1)
        self.refused(self.store.delete("a", makeEpoch()), StreamNotFound)
        self.assertEqual((self.find("a"), streamLog.state), (streamLog, State.OPEN))
        self.result(self.store.delete("a", streamLog.epoch))
        self.refused(self.store.find("a"), StreamNotFound)

    def test_nameAgain(self) -> None:
        """
        A name that is used again stands for another stream, with a new epoch and nothing of the old one; also when
        the store has had no time between.
        """
        before = self.create("a", tokens=3)
        before.remember("key", b"digest", before.append(Kind.TOKEN, b"4"))
        deleted, created = self.store.delete("a"), self.store.create("a", True)
        after = self.result(created)
        self.successResultOf(deleted)
        self.assertNotEqual(before.epoch, after.epoch)
        self.assertEqual((after.state, after.last, after.recall("key")), (State.OPEN, 0, None))
        gap = self.assertRaises(GapError, after.locate, f"{before.epoch}-2")
        self.assertEqual(gap.reason, "lost")
        after.append(Kind.TOKEN, b"new")
        self.settle()
        self.assertIs(self.find("a"), after)
        self.assertEqual((after.buffer.entries, self.store.count, self.store.used), ([b"new"], 1, after.buffer.size))

    def test_createAndDelete(self) -> None:
        """
        What is deleted while it is being made is gone, and the name is free.
        """
        created, deleted = self.store.create("a", True), self.store.delete("a")
        created.addErrback(lambda failure: failure.trap(StreamNotFound))
        self.result(deleted)
        self.refused(self.store.find("a"), StreamNotFound)
        self.assertEqual((self.store.count, self.store.used), (0, 0))
        self.create("a")

    def test_restart(self) -> None:
        """
        A store that was stopped and started again has what it had, under the same IDs, and lists what has ended, the
        oldest first.
        """
        logs = [self.create(name, tokens=number) for number, name in enumerate(("a", "b", "c", "d"))]
        logs[1].remember("key", b"digest", logs[1].append(Kind.EVENT, b"type\ndata"))
        for index in (2, 0):
            logs[index].append(Kind.DONE, b"{}")
            self.settle()
        before = [self.describe(streamLog) for streamLog in logs]
        used, ended = self.store.used, [(log.ended, log.name, log.epoch) for log in (logs[2], logs[0])]
        self.assertEqual(self.restart(), ended)
        self.assertEqual((self.store.count, self.store.used), (4, used))
        after = [self.find(name) for name in ("a", "b", "c", "d")]
        self.assertEqual([self.describe(streamLog)[1:] for streamLog in after], [state[1:] for state in before])
        self.assertEqual([streamLog.epoch for streamLog in after], [streamLog.epoch for streamLog in logs])
        self.assertEqual(after[1].recall("key"), (b"digest", 2, 2))
        self.assertEqual(after[3].append(Kind.TOKEN, b"4"), 4)
        self.settle()
        self.assertEqual(after[3].last, 4)

    def test_stopTwice(self) -> None:
        """
        A store that is stopped can be stopped again.
        """
        self.create(tokens=1)
        self.result(self.store.stop())
        self.result(self.store.stop())

    def test_crash(self) -> None:
        """
        What was visible when the process died is there, under the same IDs: entries, ends, keys. What was deleted or
        trimmed does not come back. Published streams go on.
        """
        if not self.survives:
            return
        logs = [self.create(name, tokens=tokens) for name, tokens in (("a", 3), ("b", 1000), ("c", 2), ("d", 1))]
        logs[0].remember("key", b"digest", logs[0].append(Kind.EVENT, b"type\ndata"))
        logs[2].append(Kind.CANCELLED, b"{}")
        self.settle()
        self.result(self.store.delete("d"))
        before = [self.describe(streamLog) for streamLog in logs[:3]]
        self.assertEqual(self.die(), [(logs[2].ended, "c", logs[2].epoch)])
        self.assertEqual((self.store.count, self.store.used), (3, sum(log.buffer.size for log in logs[:3])))
        self.assertEqual([self.describe(self.find(name)) for name in "abc"], before)
        self.assertEqual(self.find("a").recall("key"), logs[0].recall("key"))
        self.refused(self.store.find("d"), StreamNotFound)
        self.assertEqual(self.find("a").append(Kind.TOKEN, b"next"), 5)
        self.settle()
        self.assertEqual(self.find("a").last, 5)

    def test_interrupted(self) -> None:
        """
        A run that was under way when the process died has ended C{failed}, reason C{interrupted}, in one entry after
        what was visible; and stays so.
        """
        if not self.survives:
            return
        streamLog = self.create(None, published=False, tokens=1000)
        empty = self.create(None, published=False)
        name, epoch = streamLog.name, streamLog.epoch
        for _ in range(2):
            self.assertEqual({entry[2] for entry in self.die()}, {epoch, empty.epoch})
            found = self.find(name)
            self.assertEqual((found.epoch, found.state, found.last), (epoch, State.FAILED, 1001))
            self.assertEqual((found.buffer.first, found.buffer.tokens), (streamLog.buffer.first, 1000))
            self.assertEqual(found.buffer.entries[:-1], streamLog.buffer.entries)
            self.assertIn(b'"interrupted"', found.buffer.entries[-1])
            self.assertRaises(StreamEnded, found.append, Kind.TOKEN, b"x")
            self.assertEqual(self.find(empty.name).last, 1)
