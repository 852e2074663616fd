"""
Tests of `sseserver.delivery.document`: bodies that end, written step by step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from sseserver.delivery.document import STEP_BYTES, Document, DocumentProducer, cutBody, cutSteps
from sseserver.errors import GapError
from tests.delivery.cases import ProducerTestCase
from tests.http import Response
from tests.wires import Wire, soon

#: Seconds. The stall limit of the tests.
STALL = 4.0

PIECE = b"0123456789" * 1000


class StepTests(SynchronousTestCase):
    """Pieces, joined and cut into steps."""

    def test_steps(self) -> None:
        """Pieces of any size become steps of at most 64 KiB, none of them empty, with the same bytes."""
        pieces = [b"", b"a" * 10, b"b" * 200_000, b"", b"c" * STEP_BYTES, b"d" * (STEP_BYTES + 1), b"e"]
        steps = list(cutSteps(pieces))
        self.assertEqual(b"".join(steps), b"".join(pieces))
        self.assertTrue(all(0 < len(step) <= STEP_BYTES for step in steps))
        self.assertLess(len(steps), 9)

    def test_nothing(self) -> None:
        """No pieces are no steps."""
        self.assertEqual(list(cutSteps([])), [])
        self.assertEqual(list(cutSteps([b""])), [])

    def test_inTime(self) -> None:
        """A piece is not taken before there is room for it."""
        taken = []

        def give() -> Iterator[bytes]:
            for number in range(100):
                taken.append(number)
                yield PIECE

        next(cutSteps(give()))
        self.assertEqual(len(taken), STEP_BYTES // len(PIECE) + 1)

    def test_wholeBody(self) -> None:
        """A body that is in memory is a document with a length."""
        document = cutBody(b"x" * 100_000)
        self.assertEqual((document.length, b"".join(document.pieces)), (100_000, b"x" * 100_000))


class DocumentTests(ProducerTestCase):
    """Documents on wires."""

    def setUp(self) -> None:
        super().setUp()
        self.delivery = replace(self.delivery, settings=replace(self.delivery.settings, stall=STALL))
        self.documents: list[DocumentProducer] = []
        self.over: list[DocumentProducer] = []
        self.taken = 0
        self.document = Document(self.give(100))

    def give(self, count: int) -> Iterator[bytes]:
        """Give pieces, and count them."""
        for _ in range(count):
            self.taken += 1
            yield PIECE

    def make(self, request: Request) -> None:
        if self.document.length is not None:
            request.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % self.document.length])
        producer = DocumentProducer(request, self.document, self.delivery, self.over.append)
        self.documents.append(producer)
        producer.start()

    def get(self, pieces: Iterable[bytes], length: int | None = None, room: int | None = None) -> Wire:
        """Request a document."""
        self.document = Document(pieces, length)
        return self.follow(room=room)

    def assertOver(self, reason: str) -> None:
        """Check that the only document ended once, and why."""
        self.reactor.turn()
        self.assertEqual([document.reason for document in self.over], [reason])

    def assertBody(self, response: Response, count: int) -> None:
        """Check that a response is complete."""
        self.assertTrue(response.complete)
        self.assertEqual(response.body, PIECE * count)

    def test_whole(self) -> None:
        """A document arrives whole, in chunks; then the response is over."""
        wire = self.get(self.give(100))
        self.assertBody(wire.response, 100)
        self.assertEqual(wire.response.headers["transfer-encoding"], "chunked")
        self.assertEqual(self.finished, [100 * len(PIECE)])
        self.assertOver("complete")
        self.assertFalse(wire.closed)

    def test_length(self) -> None:
        """A document with a length is not sent in chunks."""
        wire = self.get(self.give(100), 100 * len(PIECE))
        self.assertBody(wire.response, 100)
        self.assertNotIn("transfer-encoding", wire.response.headers)
        self.assertOver("complete")

    def test_empty(self) -> None:
        """A document may turn out to be empty."""
        wire = self.get(iter(()))
        self.assertBody(wire.response, 0)
        self.assertOver("complete")

    def test_F1_slowReader(self) -> None:
        """F1: a client that takes nothing gets what its transport queues and one step; the rest is made as it reads."""
        wire = self.get(self.give(1000), room=0)
        self.assertTrue(self.documents[0].isPaused)
        most = 3 * STEP_BYTES
        self.assertLess(self.documents[0].written, most)
        self.assertLess(self.taken * len(PIECE), most + len(PIECE))
        for _ in soon(lambda: self.taken == 1000):
            wire.take(50_000)
            self.assertLess(self.documents[0].written - len(wire.received), most)
        wire.take()
        self.assertBody(wire.response, 1000)
        self.assertOver("complete")

    def test_F3_steadyReader(self) -> None:
        """F3: a client that reads slowly and steadily is not cut."""
        wire = self.get(self.give(30), room=0)
        for _ in range(40):
            wire.take(10_000)
            self.reactor.run(STALL - 1)
        self.assertBody(wire.response, 30)

    def test_F2_stalledReader(self) -> None:
        """F2: a client that takes nothing within the stall limit is cut."""
        wire = self.get(self.give(100), room=0)
        self.reactor.run(STALL - 1)
        self.assertFalse(wire.closed)
        self.reactor.run(3)
        self.assertTrue(wire.closed)
        self.assertOver("stalled")

    def test_F2_stallInTheKernel(self) -> None:
        """F2: the same if the kernel has everything that was written so far."""
        wire = self.get(self.give(10_000), room=1_000_000)
        wire.socket.arrived = 5000
        self.reactor.run(STALL * 2)
        self.assertTrue(wire.closed)

    def test_longTurn(self) -> None:
        """However fast the client reads, other work gets its turn after each step."""
        self.document = Document(self.give(1000))
        wire = self.connect(self.factory)
        wire.methods.append("GET")
        wire.transport.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertLessEqual(self.documents[0].written, STEP_BYTES)
        self.reactor.turn()
        self.assertBody(wire.response, 1000)

    def test_pausesBetweenTurns(self) -> None:
        """A pause and a resumption between two turns do not write twice."""
        self.document = Document(self.give(200))
        wire = self.connect(self.factory)
        wire.methods.append("GET")
        wire.transport.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(2):
            self.documents[0].pauseProducing()
            self.documents[0].resumeProducing()
        self.reactor.turn()
        self.assertBody(wire.response, 200)

    def test_trimmed(self) -> None:
        """A document whose rest is gone ends with its connection: the client must not take it for complete."""

        def give() -> Iterator[bytes]:
            yield from self.give(10)
            raise GapError("trimmed", 0, 1)

        wire = self.get(give())
        self.assertTrue(wire.closed)
        self.assertEqual([response for response in wire.responses if response.complete], [])
        self.assertOver("trimmed")

    def test_broken(self) -> None:
        """The same holds for a bug in what makes the pieces; it is logged."""

        def give() -> Iterator[bytes]:
            yield from self.give(10)
            raise ZeroDivisionError

        wire = self.get(give())
        self.assertTrue(wire.closed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([response for response in wire.responses if response.complete], [])
        self.assertOver("broken")

    def test_left(self) -> None:
        """A client that leaves ends its response; what makes the pieces is closed."""
        closed = []

        def give() -> Iterator[bytes]:
            try:
                yield from self.give(100)
            finally:
                closed.append(True)

        wire = self.get(give(), room=100)
        self.document = cutBody(b"")
        wire.breakDown()
        self.assertOver("left")
        self.assertEqual(closed, [True])

    def test_leftBetweenTurns(self) -> None:
        """The same between two turns: nothing is written any more."""
        self.document = Document(self.give(1000))
        wire = self.connect(self.factory)
        wire.transport.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        taken = self.taken
        wire.transport.connectionLost(Failure(ConnectionDone()))
        self.reactor.turn()
        self.assertEqual(self.taken, taken)
        self.assertOver("left")

    def test_aborted(self) -> None:
        """An abort closes the connection at once, and does nothing after the end."""
        wire = self.get(self.give(100), room=100)
        self.documents[0].abort("shutdown")
        self.documents[0].abort("again")
        self.reactor.turn()
        self.assertTrue(wire.closed)
        self.assertOver("shutdown")

    def test_HTTP10(self) -> None:
        """A client of HTTP/1.0 gets the bytes, and the close that ends them."""
        self.document = Document(self.give(100))
        wire = self.follow(version="1.0")
        self.assertEqual(wire.response.body, PIECE * 100)
        self.assertTrue(wire.closed)
        self.assertOver("complete")

    def test_nextRequest(self) -> None:
        """The next pipelined request begins after the document."""
        self.document = Document(self.give(50))
        wire = self.connect(self.factory)
        wire.stall()
        wire.methods += ["GET", "GET"]
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        self.assertEqual(len(self.documents), 1)
        self.document = Document(self.give(60))
        wire.take()
        first, second = wire.responses
        self.assertBody(first, 50)
        self.assertBody(second, 60)


class QueuedDocumentTests(DocumentTests):
    """The same on a transport whose queue cannot be bypassed."""

    def makeFactory(self) -> Any:
        return WrappingFactory(super().makeFactory())
