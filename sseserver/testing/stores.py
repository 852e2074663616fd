"""
StoreContract: the tests that every store must pass.

It is imported from `sseserver.testing`. `docs/stores.md` shows how to run it on a store of your own.
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from sseserver.errors import GapError, StreamEnded, StreamExists, StreamNotFound
from sseserver.formats.events import EventsFormat
from sseserver.interfaces import IEntryBuffer, IPersistence, IStreamLog, IStreamStore, StreamDescription
from sseserver.stores.persistent import PersistentStore
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.ids import makeEpoch
from sseserver.testing.storecase import NoFormat, RecordingViewer, StoreCase
from sseserver.testing.storepublishing import EndContract, PublishContract
from sseserver.values import Entry, Kind, ListedPlace, ListedStream, State


class StreamContract(StoreCase):
    """Streams are made, found and deleted."""

    def test_interfaces(self) -> None:
        """Store, persistence, log and buffer have the members that their interfaces name."""
        streamLog = self.create()
        verifyObject(IStreamStore, self.store)
        verifyObject(IStreamLog, streamLog)
        verifyObject(IEntryBuffer, streamLog.buffer)
        if isinstance(self.store, PersistentStore):
            verifyObject(IPersistence, self.store.persistence)

    def test_new(self) -> None:
        """A new stream is open and empty, and is named as asked, or by its epoch."""
        named, unnamed = self.create("a.b"), self.create(None, published=False)
        self.assertEqual((named.name, unnamed.name), ("a.b", unnamed.epoch))
        self.assertEqual((named.published, unnamed.published), (True, False))
        self.assertNotEqual(named.epoch, unnamed.epoch)
        self.assertRegex(named.epoch, "^[A-Za-z0-9]{22}$")
        self.assertEqual((named.state, named.last, named.ended), (State.OPEN, 0, None))
        self.assertEqual((named.buffer.first, named.buffer.tokens, named.buffer.entries), (1, 0, []))
        self.assertTrue(0 <= named.created <= unnamed.created <= self.clock.seconds())

    def test_find(self) -> None:
        """A stream is found by its name, always as the same log while it is used; another name is not found."""
        streamLog = self.create("a", tokens=1)
        self.assertIs(self.find("a"), streamLog)
        streamLog.append(Kind.DONE, b"{}")
        self.settle()
        self.assertIs(self.find("a"), streamLog)
        self.assertRefused(self.store.find("b"), StreamNotFound)

    def test_exists(self) -> None:
        """A second stream of a name is refused, also while the first one is being made."""
        first, second = self.store.create("a", True), self.store.create("a", False)
        self.assertRefused(second, StreamExists)
        self.assertIs(self.find("a"), self.result(first))
        self.assertRefused(self.store.create("a", True), StreamExists)
        self.assertEqual(self.store.count, 1)

    def test_used(self) -> None:
        """The store counts streams and bytes. Trimmed entries and deleted streams are not counted."""
        logs = [self.create(str(number), tokens=100 * number) for number in range(4)]
        self.assertEqual((self.store.count, self.store.used), (4, sum(log.size for log in logs)))
        logs[1].append(Kind.DONE, b"{}")
        self.settle()
        self.assertEqual(self.store.used, sum(log.size for log in logs))
        for name in ("1", "3"):
            self.result(self.store.delete(name))
        self.assertEqual((self.store.count, self.store.used), (2, logs[0].size + logs[2].size))

    def test_accounts(self) -> None:
        """Streams that runs write and streams that are published into are counted apart."""
        run, published = self.create(None, published=False, tokens=3), self.create("a", tokens=5)
        runs, others = self.store.runs, self.store.published
        self.assertEqual((runs.count, runs.used), (1, run.size))
        self.assertEqual((others.count, others.used), (1, published.size))
        self.result(self.store.delete("a"))
        self.assertEqual((runs.count, others.count, others.used), (1, 0, 0))

    def test_list(self) -> None:
        """Pages list the streams, the newest first; the last stream of a page may be deleted before the next page."""
        logs = []
        for name in "abcd":
            logs.append(self.create(name, published=name != "b", tokens=1))
            self.clock.advance(1)
        logs[2].append(Kind.DONE, b"{}")
        self.settle()
        expected = [
            ListedStream(log.name, log.epoch, log.published, log.created, log.ended, log.size) for log in reversed(logs)
        ]
        self.assertEqual(self.listStreams(10), expected)
        self.assertEqual(self.listStreams(2), expected[:2])
        place = ListedPlace(expected[1].created, expected[1].name)
        self.assertEqual(self.listStreams(1, place), expected[2:3])
        self.result(self.store.delete(expected[1].name))
        self.assertEqual(self.listStreams(10, place), expected[2:])
        self.assertEqual(self.listStreams(10), [expected[0], *expected[2:]])

    def test_describe(self) -> None:
        """A description has what a log tells without its entries, of visible entries only; another name is refused."""
        logs = [self.create(name, name != "b", 3, question=f"{name}?") for name in "abc"]
        logs[0].follow(RecordingViewer(logs[0]), NoFormat())
        logs[2].append(Kind.FAILED, b"{}")
        self.settle()
        for streamLog in logs:
            size = streamLog.buffer.size + streamLog.keyBytes
            described = self.result(self.store.describe(streamLog.name))
            state, number = streamLog.state, streamLog.last
            expected = StreamDescription(
                streamLog.name,
                streamLog.epoch,
                streamLog.published,
                streamLog.question,
                state,
                1,
                number,
                size,
                streamLog.viewers,
                streamLog.created,
                streamLog.ended,
            )
            self.assertEqual(described, expected)
        self.assertRefused(self.store.describe("d"), StreamNotFound)

    def test_delete(self) -> None:
        """A deleted stream is not found. Viewers of an open one get the entry `cancelled`, reason `deleted`."""
        streamLog = self.create("a", tokens=2)
        viewer = RecordingViewer(streamLog)
        streamLog.follow(viewer, NoFormat())
        self.result(self.store.delete("a"))
        self.clock.advance(FLUSH_TICK)
        self.assertEqual((streamLog.state, viewer.seen[-1:]), (State.CANCELLED, [3]))
        self.assertEqual(streamLog.buffer.entries[-1], b'{"reason":"deleted"}')
        self.assertRaises(StreamEnded, streamLog.append, Kind.TOKEN, b"x")
        streamLog.leave(viewer)
        self.assertRefused(self.store.find("a"), StreamNotFound)
        self.assertRefused(self.store.delete("a"), StreamNotFound)

    def test_deleteEnded(self) -> None:
        """A stream that has ended keeps its end when it is deleted."""
        streamLog = self.create("a")
        streamLog.append(Kind.DONE, b"{}")
        self.settle()
        self.result(self.store.delete("a"))
        self.assertEqual((streamLog.state, streamLog.last), (State.DONE, 1))

    def test_deleteAnother(self) -> None:
        """A stream is deleted by name and epoch only if both are its own."""
        streamLog = self.create("a", tokens=1)
        self.assertRefused(self.store.delete("a", makeEpoch()), StreamNotFound)
        self.assertEqual((self.find("a"), streamLog.state), (streamLog, State.OPEN))
        self.result(self.store.delete("a", streamLog.epoch))
        self.assertRefused(self.store.find("a"), StreamNotFound)

    def test_nameAgain(self) -> None:
        """
        A name that is used again stands for another stream, with a new epoch, no entries and no keys.

        This also holds while the deletion is not stored yet.
        """
        before = self.create("a", tokens=3)
        self.publish("a", b"4", key="key")
        deleted, created = self.store.delete("a"), self.store.create("a", True)
        after = self.result(created)
        self.successResultOf(deleted)
        self.assertNotEqual(before.epoch, after.epoch)
        self.assertEqual((after.state, after.last, after.keys.get("key")), (State.OPEN, 0, None))
        gap = self.assertRaises(GapError, after.locate, f"{before.epoch}-2")
        self.assertEqual(gap.reason, "lost")
        self.publish("a", b"new")
        self.assertIs(self.find("a"), after)
        self.assertEqual((after.buffer.entries, self.store.count), ([b"new"], 1))
        self.assertEqual(self.store.used, after.size)

    def test_createAndDelete(self) -> None:
        """A stream that is deleted while it is being made is gone, and its name is free."""
        created, deleted = self.store.create("a", True), self.store.delete("a")
        created.addErrback(lambda failure: failure.trap(StreamNotFound))
        self.result(deleted)
        self.assertRefused(self.store.find("a"), StreamNotFound)
        self.assertEqual((self.store.count, self.store.used), (0, 0))
        self.create("a")


class EntryContract(StoreCase):
    """Entries are numbered, become visible, and are trimmed."""

    def test_numbers(self) -> None:
        """Entries are numbered 1, 2, 3 … as they come, and keep all their bytes."""
        data = [b"a", b"", b"\0", b"\xff\xfe", "é\r\n".encode(), b"x" * 5000]
        kinds = [Kind.TOKEN, Kind.EVENT, Kind.CHUNK, Kind.SILENT_CHUNK, Kind.TOKEN, Kind.EVENT]
        streamLog, other = self.create(), self.create(tokens=3)
        self.assertEqual([streamLog.append(*entry) for entry in zip(kinds, data, strict=True)], [1, 2, 3, 4, 5, 6])
        self.settle()
        buffer = streamLog.buffer
        self.assertEqual((buffer.first, streamLog.last, buffer.tokens), (1, 6, 3))
        self.assertEqual((buffer.entries, list(buffer.kinds)), (data, kinds))
        self.assertEqual(other.buffer.entries, [b"1", b"2", b"3"])

    def test_visible(self) -> None:
        """An entry is visible when the store has it: viewers are woken and `awaitStored` fires then, not before."""
        streamLog = self.create()
        viewer = RecordingViewer(streamLog)
        streamLog.follow(viewer, NoFormat())
        fired: list[int] = []
        for number in range(1, 4):
            streamLog.append(Kind.TOKEN, b"x")
            streamLog.awaitStored().addCallback(lambda _: fired.append(streamLog.last))
            self.assertEqual(len(fired), streamLog.last)
            self.assertIn(streamLog.last, {0, number})
        self.settle()
        self.assertEqual((len(fired), streamLog.last, viewer.seen[-1]), (3, 3, 3))
        self.assertNotIn(0, viewer.seen)
        streamLog.leave(viewer)

    def test_end(self) -> None:
        """A terminal entry is the last one: it sets the state, and no entry can follow."""
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
        A stream keeps its window: the oldest entries go, and the newest stays however large it is.

        Numbers and the count of tokens go on. A viewer that asks for trimmed entries gets the gap.
        """
        streamLog = self.create(tokens=1000)
        buffer = streamLog.buffer
        self.assertEqual((streamLog.last, buffer.tokens), (1000, 1000))
        self.assertTrue(1 < buffer.first <= 1000)
        self.assertLessEqual(buffer.size, self.window)
        numbers = range(buffer.first, 1001)
        self.assertEqual(buffer.entries, [b"%d" % number for number in numbers])
        gap = self.assertRaises(GapError, streamLog.locate, f"{streamLog.epoch}-0")
        self.assertEqual((gap.reason, gap.cursor, gap.missed), ("trimmed", numbers[0] - 1, numbers[0] - 1))
        streamLog.append(Kind.EVENT, b"x" * 2 * self.window)
        self.settle()
        self.assertEqual((buffer.first, len(buffer.entries)), (1001, 1))


class RecoveryContract(StoreCase):
    """The store is stopped, or its process ends, and another one starts."""

    def test_restart(self) -> None:
        """A store that was stopped and started has the same streams with the same IDs, and lists the ended ones."""
        logs = [self.create(name, tokens=number, question=f"{name}, ö?") for number, name in enumerate("abcd")]
        self.publish("b", b"2", b"3", key="key")
        for index in (2, 0):
            logs[index].append(Kind.DONE, b"{}")
            self.settle()
        before = [self.describe(streamLog) for streamLog in logs]
        used, ended = self.store.used, [self.describeEnd(logs[2]), self.describeEnd(logs[0])]
        self.assertEqual(self.restart(), ended)
        self.assertEqual(self.store.count, 0 if self.shared else 4)
        after = [self.find(name) for name in ("a", "b", "c", "d")]
        self.assertEqual([self.describe(streamLog) for streamLog in after], before)
        if not self.shared:
            self.assertEqual(self.store.used, used)
        self.assertEqual(self.publish("b", b"2", b"3", key="key"), (2, 3))
        self.assertEqual(after[3].append(Kind.TOKEN, b"4"), 4)
        self.settle()
        self.assertEqual(after[3].last, 4)

    def test_stopTwice(self) -> None:
        """A store can be stopped again, while it is being stopped and after."""
        self.create(tokens=1)
        stops = [self.store.stop(), self.store.stop()]
        for stopped in stops:
            self.result(stopped)
        self.result(self.store.stop())

    def test_range(self) -> None:
        """A persistence reads any range of the entries that it has, the ends included."""
        if not isinstance(self.store, PersistentStore):
            return
        streamLog = self.create("a", tokens=1000)
        self.publish("a", b"new", key="key")
        buffer, use = streamLog.buffer, streamLog.keys.get("key")
        self.restart()
        first = buffer.first
        for start, end in ((first, 1001), (first, first), (first + 7, 1000), (1001, 1001)):
            stored = self.result(self.store.persistence.read(streamLog.epoch, start, end))
            expected = [Entry(number, Kind.TOKEN, buffer.entry(number)) for number in range(start, end + 1)]
            self.assertEqual(list(stored.entries), expected)
            self.assertEqual(stored.keys["key"], use)

    def test_crash(self) -> None:
        """
        After a crash all visible entries, ends and keys are there, with the same IDs.

        Deleted streams and trimmed entries stay away. Published streams go on.
        """
        if not self.survives:
            return
        logs = [self.create(name, tokens=tokens) for name, tokens in (("a", 3), ("b", 1000), ("c", 2), ("d", 1))]
        self.publish("a", b"4", key="key")
        logs[2].append(Kind.CANCELLED, b"{}")
        self.settle()
        self.result(self.store.delete("d"))
        before = [self.describe(streamLog) for streamLog in logs[:3]]
        self.assertEqual(self.startAfterCrash(), [self.describeEnd(logs[2])])
        after = [self.find(name) for name in "abc"]
        self.assertEqual([self.describe(streamLog) for streamLog in after], before)
        self.assertEqual((self.store.count, self.store.used), (3, sum(log.size for log in logs[:3])))
        self.assertEqual(self.publish("a", b"4", key="key"), (4, 4))
        self.assertRefused(self.store.find("d"), StreamNotFound)
        self.assertEqual(self.find("a").append(Kind.TOKEN, b"next"), 5)
        self.settle()
        self.assertEqual(self.find("a").last, 5)

    def test_trimmedCR(self) -> None:
        """F65: after a crash a LF still belongs to the CR before it, which was trimmed."""
        if not self.survives:
            return
        streamLog = self.create("a")
        streamLog.append(Kind.TOKEN, b"x" * self.window + b"\r")
        self.settle()
        streamLog.append(Kind.TOKEN, b"\nyyyy")
        self.settle()
        before = EventsFormat().render(streamLog).read(1, 1000, joined=True).data
        self.assertEqual((streamLog.buffer.first, streamLog.buffer.trimmedCR), (2, True))
        self.startAfterCrash()
        found = self.find("a")
        self.assertEqual((found.buffer.first, found.buffer.trimmedCR), (2, True))
        self.assertEqual(EventsFormat().render(found).read(1, 1000, joined=True).data, before)

    def test_interrupted(self) -> None:
        """A run that a crash interrupted has ended `failed`, reason `interrupted`, after its visible entries."""
        if not self.survives:
            return
        streamLog = self.create(None, published=False, tokens=1000)
        empty = self.create(None, published=False)
        name, epoch = streamLog.name, streamLog.epoch
        for _ in range(2):
            epochs = {ended.epoch for ended in self.startAfterCrash()}
            found = self.find(name)
            self.assertEqual(epochs, {found.epoch, self.find(empty.name).epoch})
            self.assertEqual((found.state, found.last), (State.FAILED, 1001))
            self.assertIn(epoch, {found.epoch, *found.earlier})
            self.assertEqual((found.buffer.first, found.buffer.tokens), (streamLog.buffer.first, 1000))
            self.assertEqual(found.buffer.entries[:-1], streamLog.buffer.entries)
            self.assertIn(b'"interrupted"', found.buffer.entries[-1])
            self.assertRaises(StreamEnded, found.append, Kind.TOKEN, b"x")
            self.assertEqual(self.find(empty.name).last, 1)


class StoreContract(StreamContract, EntryContract, PublishContract, EndContract, RecoveryContract):
    """
    The tests that every `IStreamStore` must pass.

    Derive a test case from this class and from `SynchronousTestCase`, and implement `makeStore`; for a store that
    outlives its process set `survives` and implement `crash`. The attributes are described in `StoreCase`.

    To test an `IPersistence`, return a `PersistentStore` with it.
    """
