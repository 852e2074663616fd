"""
Tests of `sseserver.delivery.readings`: large entries, which are written as the transport takes them.
"""

from __future__ import annotations

from typing import Any

from twisted.protocols.policies import WrappingFactory

from sseserver.delivery.body import ResponseBody
from sseserver.delivery.readings import LARGE_READING, READ_BYTES
from sseserver.formats import EntriesFormat, EventsFormat, TextFormat
from sseserver.jsontext import toJSON
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import StreamLog
from sseserver.values import Kind
from sseserver.wire import Event
from tests.delivery.cases import HEARTBEAT, RESTS, SLOT, ProducerTestCase
from tests.wires import Wire, countUnsent, soon

#: A large token, and the bytes that a transport queues of it at most.
TEXT = "".join(f"{number:07}," for number in range(125_000))
QUEUED = 2**16 + 2000

#: Bytes that a slow client takes at a time.
STEP = 50_001


class LargeTests(ProducerTestCase):
    """Viewers of a large entry, some of which take it slowly."""

    def slowViewer(self, *tokens: str, room: int = 300_000) -> Wire:
        """Connect a viewer that has taken some bytes of the last of some tokens."""
        wire = self.follow()
        wire.socket.room = room
        self.append(*(tokens or (TEXT,)))
        self.assertTrue(self.producers[-1].isPaused)
        return wire

    def takeAll(self, wire: Wire, queued: int = QUEUED) -> list[Event]:
        """Take everything step by step, while a transport queues no more; return the events after the first."""
        for _ in soon(lambda: wire.socket.room):
            wire.take(STEP)
            self.assertLess(countUnsent(wire.transport), queued)
        wire.take()
        return wire.response.events[1:]

    def test_queue(self) -> None:
        """A transport queues a piece of a large entry. The rest is kept once for all viewers."""
        wires = [self.slowViewer(), *(self.follow(room=room) for room in (0, 1, 500_000))]
        self.assertEqual((self.rests.used // 1_000_000, self.rests.count), (1, 1))
        for wire in wires:
            self.assertLess(countUnsent(wire.transport), QUEUED)
        for wire in wires:
            self.assertEqual(self.takeAll(wire), [self.token(1, TEXT)])
        self.assertEqual((self.rests.used, self.rests.count), (0, 0))

    def test_entriesBetween(self) -> None:
        """Viewers that come after further entries share the rest of those before."""
        wires = []
        self.append(TEXT)
        for _ in range(5):
            wires.append(self.follow(room=100_000))
            self.append("x")
        self.assertEqual((self.rests.used // 1_000_000, self.rests.count), (1, 1))
        for wire in wires:
            self.assertEqual(self.takeAll(wire)[0], self.token(1, TEXT))

    def test_enoughRoom(self) -> None:
        """Nothing is kept for a viewer that takes everything at once."""
        wire = self.follow()
        self.append(TEXT)
        self.assertEqual(wire.response.events[1:], [self.token(1, TEXT)])
        self.assertEqual((self.producers[0].isPaused, self.rests.count), (False, 0))

    def test_order(self) -> None:
        """Entries before and after large ones keep their order, and are joined where they came during a pause."""
        wire = self.slowViewer("a", TEXT)
        self.append("b", "c", TEXT, "d")
        self.end()
        events = self.takeAll(wire)
        self.assertEqual("".join(event.data for event in events[:-1]), f"a{TEXT}bc{TEXT}d")
        self.assertEqual([event.id for event in events[:3]], [self.entry(number) for number in (1, 2, 4)])
        self.assertEqual(events[-1].type, "done")
        self.assertTrue(wire.response.complete)

    def test_withoutChunks(self) -> None:
        """The same for HTTP/1.0."""
        wire = self.follow(version="1.0", room=100_000)
        self.append(TEXT)
        self.end()
        self.assertEqual(self.takeAll(wire)[0], self.token(1, TEXT))
        self.assertTrue(wire.response.complete)

    def test_lines(self) -> None:
        """The same for data of many lines, and for JSON."""
        text = TEXT[:800_000].replace("7,", "\n")
        for form in (EventsFormat(), EntriesFormat()):
            self.form = form
            self.streamLog = StreamLog("name", makeEpoch(), self.flush, self.window)
            wire = self.slowViewer(text)
            (event,) = self.takeAll(wire)
            self.assertEqual(event.id, self.entry(1))
            self.assertIn(event.data, {text, toJSON({"token": text}).decode()})

    def test_largeEnd(self) -> None:
        """A response whose last entries are large ends after them."""
        wire = self.slowViewer()
        self.streamLog.append(Kind.FAILED, b'{"message":"%b"}' % TEXT.encode())
        self.assertEqual(self.ended, [])
        events = self.takeAll(wire)
        self.assertEqual([event.type for event in events], ["message", "failed"])
        self.assertTrue(wire.response.complete)
        self.assertEqual((self.producers[0].reason, self.rests.count), ("complete", 0))

    def test_heartbeats(self) -> None:
        """There is no heartbeat inside an entry, and there are heartbeats after it."""
        wire = self.slowViewer()
        for _ in soon(lambda: wire.socket.room):
            self.reactor.run(HEARTBEAT + SLOT)
            wire.take(STEP)
        wire.take()
        self.assertEqual(wire.response.events[1:], [self.token(1, TEXT)])
        # The transport may queue a heartbeat behind the entry, before the client has taken all of it.
        before = wire.response.heartbeats
        self.assertLess(before, 2)
        self.reactor.run(HEARTBEAT + SLOT)
        self.assertEqual(wire.response.heartbeats, before + 1)

    def test_retired(self) -> None:
        """A viewer that is told to return has the whole entry first; the last time it is told counts."""
        wire = self.slowViewer()
        for retry in (1000, 2000):
            self.producers[0].retire(retry, "expired")
        self.append("b")
        self.assertEqual(self.ended, [])
        self.assertEqual(self.takeAll(wire), [self.token(1, TEXT)])
        self.assertTrue(wire.response.complete)
        self.assertTrue(wire.response.body.endswith(b"\n\nretry: 2000\n\n"))
        self.assertEqual((self.producers[0].reason, self.rests.count), ("expired", 0))

    def test_retiredAtTheEnd(self) -> None:
        """A viewer that is told to return inside the last entry of a stream is not: it has everything."""
        self.append(TEXT)
        wire = self.follow(room=100_000)
        self.streamLog.append(Kind.FAILED, b'{"message":"%b"}' % TEXT.encode())
        for _ in soon(lambda: self.producers[0].cursor == 2):
            wire.take(STEP)
        self.producers[0].retire(1000)
        self.assertEqual(self.takeAll(wire)[-1].type, "failed")
        self.assertTrue(wire.response.complete)
        self.assertNotIn(b"retry: 1000", wire.response.body)

    def test_trimmed(self) -> None:
        """A viewer gets an entry whole that was trimmed meanwhile, and then the gap."""
        self.streamLog = StreamLog("name", makeEpoch(), self.flush, 1_500_000)
        wire = self.slowViewer()
        self.append(*[letter * 200_000 for letter in "abcdefgh"])
        self.assertGreater(self.streamLog.buffer.first, 2)
        events = self.takeAll(wire)
        self.assertEqual(events[0], self.token(1, TEXT))
        self.assertEqual(events[1].type, "gap")
        self.assertEqual(events[-1], self.token(9, "h" * 200_000))

    def test_left(self) -> None:
        """A viewer that leaves inside an entry keeps nothing."""
        wire = self.slowViewer()
        wire.breakDown()
        self.reactor.turn()
        self.assertEqual((self.producers[0].reason, self.rests.count), ("left", 0))

    def test_limit(self) -> None:
        """If the rests take too much, viewers are cut."""
        tokens = [f"{number:02}{TEXT}" for number in range(RESTS // len(TEXT))]
        wires = [self.slowViewer(token) for token in tokens]
        for producer in self.producers:
            producer.wake()
        self.assertEqual(self.ended, self.producers[:1])
        self.assertEqual(self.producers[0].reason, "stalled")
        self.reactor.turn()
        self.assertTrue(wires[0].closed)
        self.assertLess(self.rests.used, RESTS)
        self.assertIn(self.token(2, tokens[1]), self.takeAll(wires[1]))

    def test_text(self) -> None:
        """An event of the format `text` is written in pieces, and is the text of one moment."""
        self.form = TextFormat()
        wire = self.slowViewer("a" * 400_000)
        self.append("b", "c")
        events = self.takeAll(wire)
        self.assertEqual([event.data for event in events], ["a" * 400_000, "a" * 400_000 + "bc"])

    def test_refused(self) -> None:
        """A viewer that the format refuses gets its last events, however large, and then the end of the response."""
        self.form = TextFormat()
        self.append("a" * 900_000, "b" * 900_000)
        wire = self.follow(room=100_000)
        self.assertTrue(self.producers[0].isPaused)
        self.producers[0].retire(1000)
        events = self.takeAll(wire)
        self.assertEqual([event.type for event in events], ["message", "gap", "failed"])
        self.assertEqual(events[0].data, "a" * 900_000)
        self.assertTrue(wire.response.complete)

    def test_smallEntries(self) -> None:
        """Readings of many small entries are shared, too."""
        text = self.fill()
        wires = [self.follow(room=10_000) for _ in range(3)]
        self.assertEqual(self.rests.count, 1)
        for wire in wires:
            self.assertEqual("".join(event.data for event in self.takeAll(wire, 2 * QUEUED)), text)

    def test_smallWithoutRoom(self) -> None:
        """Without room for such readings, their rest is written at once; nobody is cut."""
        text = self.fill()
        self.rests.limit = 2 * READ_BYTES
        wires = []
        for cursor in range(5):
            wires.append(self.follow(cursor, room=10_000))
            self.assertLess(self.rests.used, 2 * READ_BYTES + 2 * LARGE_READING)
            self.assertLess(countUnsent(wires[-1].transport), QUEUED + LARGE_READING)
        self.assertEqual((self.rests.count, self.ended), (1, []))
        self.producers[4].retire(1000)
        self.producers[0].retire(1000)
        for cursor, wire in enumerate(wires[1:], 1):
            for _ in soon(lambda: wire.socket.room):  # noqa: B023  (is played at once)
                wire.take(STEP)
            data = "".join(event.data for event in wire.response.events[1:])
            self.assertEqual(data, text[4000 * cursor :][: None if cursor < 4 else len(data)])
        self.assertTrue(wires[4].response.complete)
        self.assertTrue(wires[4].response.body.endswith(b"\n\nretry: 1000\n\n"))

    def fill(self) -> str:
        """Append many small entries; return their text."""
        texts = [f"{number:04}" * 1000 for number in range(500)]
        for text in texts:
            self.streamLog.append(Kind.TOKEN, text.encode())
        return "".join(texts)

    def test_leftAtOnce(self) -> None:
        """A viewer whose connection is found broken by the first write keeps nothing."""
        wire = self.follow()
        wire.stall()
        self.after["write"] = lambda: self.producers[0].stopProducing()
        wire.breakDown()
        self.append(TEXT)
        self.after.clear()
        self.assertEqual((self.producers[0].reason, self.rests.count), ("left", 0))


class QueuedLargeTests(LargeTests):
    """The same on a transport whose queue cannot be bypassed."""

    def makeFactory(self) -> Any:
        return WrappingFactory(super().makeFactory())


class PlainLargeTests(LargeTests):
    """The same with plain bodies."""

    def setUp(self) -> None:
        super().setUp()
        object.__setattr__(self.delivery, "makeBody", ResponseBody)
