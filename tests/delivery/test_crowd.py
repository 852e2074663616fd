"""
Tests of `sseserver.delivery.response`: many viewers that catch up in the same turn of the reactor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.web.server import Request
from zope.interface import implementer

from sseserver.delivery.document import Document, DocumentProducer
from sseserver.formats import EventsFormat
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.interfaces.reading import Reading
from sseserver.options import defaultOf
from sseserver.timing.fairturns import SHARE
from sseserver.values import Kind
from tests.delivery.cases import LARGE, ProducerTestCase
from tests.wires import Wire

#: Number of viewers, and of entries that each of them reads, two at a time.
VIEWERS, ENTRIES = 20, 6

#: Places of the first viewers after the share of a turn. Without speedups each is full after one reading: its bytes are
#: sent in the next turn.
FIRST = [2, 2, 2, 2] if defaultOf("plain") else [6, 2]


@implementer(IFormat, IRendering)
class SlowFormat:
    """
    The format `events`, so slow that four readings use up the share of a turn.

    Args:
        onRead: Called for each reading.
    """

    name = "slow"
    headers = EventsFormat.headers
    reconnects = True

    def __init__(self, onRead: Callable[[], None]) -> None:
        self._onRead = onRead
        self._rendering: Any = None

    def render(self, streamLog: IStreamLog) -> Any:
        """See `IFormat.render`."""
        self._rendering = EventsFormat().render(streamLog)
        return self

    def read(self, cursor: int, maxBytes: int, joined: bool) -> Reading:
        """See `IRendering.read`."""
        self._onRead()
        reading: Reading = self._rendering.read(cursor, maxBytes, joined)
        return reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rendering, name)


class CrowdTests(ProducerTestCase):
    """Viewers that have the same to read, and all have room in one turn."""

    def setUp(self) -> None:
        super().setUp()
        self.form = SlowFormat(self.noteRead)
        self.reads: list[list[int]] = []
        self.crowd = [self.follow() for _ in range(VIEWERS)]
        for producer in self.producers:
            producer.pauseProducing()
        self.append(*[LARGE] * ENTRIES)

    def noteRead(self) -> None:
        """Note where the viewers are; a reading takes time."""
        self.reads.append([producer.cursor for producer in self.producers])
        self.reactor.rightNow += SHARE / 4

    def resume(self) -> None:
        """Let all viewers go on in one turn."""
        # The last share is over.
        self.reactor.advance(2 * SHARE)
        self.reads.clear()
        for producer in self.producers:
            producer.resumeProducing()

    def settle(self) -> None:
        """Let everybody read everything."""
        for _ in range(ENTRIES):
            self.reactor.turn()

    def check(self, *tokens: str) -> None:
        """Check that all viewers have got everything, in order."""
        for wire in self.crowd:
            self.assertEqual(wire.response.texts, [LARGE] * ENTRIES + list(tokens))

    def test_share(self) -> None:
        """#13: together they have a share of the turn, however many they are; then they read in turns, all equally."""
        self.resume()
        self.assertEqual([producer.cursor for producer in self.producers], FIRST + [0] * (VIEWERS - len(FIRST)))
        self.settle()
        self.check()
        # A viewer that was full after its last reading looks once more.
        self.assertEqual(len(self.reads), VIEWERS * (ENTRIES // 2 + bool(defaultOf("plain"))))
        later = [each[len(FIRST) :] for each in self.reads]
        self.assertLessEqual(max(max(places) - min(places) for places in later[:-3]), 2)

    def test_oneViewer(self) -> None:
        """A viewer alone goes on in the turn in which it has room."""
        self.reactor.advance(2 * SHARE)
        self.producers[7].resumeProducing()
        self.assertEqual(self.producers[7].cursor, FIRST[0])
        for producer in self.producers:
            producer.resumeProducing()
        self.settle()

    def test_newEntries(self) -> None:
        """An entry that comes meanwhile lets nobody go before others, and is read by all."""
        self.resume()
        before = len(self.reads)
        self.append("next")
        self.assertEqual(self.reads[before][len(FIRST) :], [0] * (VIEWERS - len(FIRST)))
        self.settle()
        self.check("next")

    def test_leaving(self) -> None:
        """Viewers that leave or are full while they wait have no turn."""
        self.resume()
        leaving, full = self.producers[5], self.producers[6]
        leaving.stopProducing()
        full.pauseProducing()
        self.assertTrue(full.isPaused)
        self.settle()
        self.assertEqual((leaving.cursor, full.cursor), (0, 0))
        full.resumeProducing()
        self.settle()
        self.assertEqual(full.cursor, ENTRIES)

    def test_retiring(self) -> None:
        """A viewer that is told to return while it waits gets nothing after that."""
        self.resume()
        self.producers[5].retire(1000)
        self.reactor.turn()
        self.assertEqual(self.producers[5].reason, "retired")
        self.assertEqual(self.crowd[5].response.texts, [])
        self.assertEqual(self.crowd[6].response.texts, [LARGE] * ENTRIES)


class RestTests(ProducerTestCase):
    """Viewers that have a large entry in part, and wait for their turn."""

    def test_order(self) -> None:
        """#13: an entry that comes meanwhile is written behind the rest, and a retirement as well."""
        wires = [self.follow(room=0) for _ in range(3)]
        large = "y" * 1_000_000
        self.append(large)
        self.assertEqual(self.rests.count, 1)
        # Somebody else has used up the turn.
        self.assertTrue(self.delivery.turns.hasTime())
        self.reactor.rightNow += SHARE
        for wire, producer in zip(wires, self.producers, strict=True):
            wire.socket.room = None
            wire.transport.doWrite()
            self.assertFalse(producer.isPaused)
        written = [producer.written for producer in self.producers]
        self.producers[2].retire(1000)
        self.streamLog.append(Kind.TOKEN, b"small")
        self.assertEqual([producer.written for producer in self.producers], written)
        self.append("last")
        self.assertEqual([wire.response.texts for wire in wires], [[large, "smalllast"]] * 2 + [[large]])
        self.assertEqual(self.rests.count, 0)


class DocumentTests(ProducerTestCase):
    """Documents that all have room in one turn."""

    def setUp(self) -> None:
        super().setUp()
        self.documents: list[DocumentProducer] = []
        self.steps = 0

    def give(self) -> Iterator[bytes]:
        """Make a body; each step takes time."""
        for _ in range(5):
            self.steps += 1
            self.reactor.rightNow += SHARE / 4
            yield b"x" * 65_536

    def make(self, request: Request) -> None:
        """Answer with a document."""
        producer = DocumentProducer(request, Document(self.give()), self.delivery, self.documents.remove)
        self.documents.append(producer)
        producer.start()

    def test_share(self) -> None:
        """#13: together they have a share of the turn, and all are written."""
        wires: list[Wire] = [self.follow(room=0) for _ in range(VIEWERS)]
        self.assertTrue(all(document.isPaused for document in self.documents))
        self.reactor.advance(2 * SHARE)
        self.steps = 0
        for document in tuple(self.documents):
            document.resumeProducing()
        self.assertLessEqual(self.steps, 5)
        for wire in wires:
            wire.take()
        self.assertEqual([len(wire.response.body) for wire in wires], [5 * 65_536] * VIEWERS)
        self.assertEqual(self.documents, [])
