"""
Tests for `sseserver.command.workers.assignment` and `sseserver.command.workers.channel`: what pool and worker tell.
"""

from __future__ import annotations

import io
import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.workers.assignment import Assignment, Endpoint, readAssignment, writeAssignment
from sseserver.command.workers.channel import Asking, Channel, Gone, Order, Question, answer

ASSIGNMENT = Assignment(2, "/a", "/b", "epoll", "00ff", (Endpoint(4, False), Endpoint(5, True)))


def makeNetstring(content: bytes) -> bytes:
    """Return a netstring."""
    return b"%d:%b," % (len(content), content)


class AssignmentTests(SynchronousTestCase):
    """The first message."""

    def test_roundTrip(self) -> None:
        """An assignment is read as it was written, however the bytes arrive, and nothing behind it is taken."""
        stream = io.BytesIO(makeNetstring(writeAssignment(ASSIGNMENT)) + b"next")
        self.assertEqual(readAssignment(lambda size: stream.read(min(size, 3))), ASSIGNMENT)
        self.assertEqual(stream.read(), b"next")

    def test_others(self) -> None:
        """Anything else is refused: no pool has sent it."""
        for sent in (b"", b"x:", b"99999999:", b"5:{}"):
            with self.assertRaises(ValueError):
                readAssignment(io.BytesIO(sent).read)


class ChannelTests(SynchronousTestCase):
    """Messages in both directions."""

    def setUp(self) -> None:
        """Connect both ends."""
        self.asking = Asking()
        self.orders: list[dict[str, Any]] = []
        self.lost: list[Channel] = []
        self.answers: Any = {Question.METRICS: {"a": 1}}
        self.pool = Channel(self.asking.take, self.lost.append)
        self.worker = Channel(self.receive, self.lost.append)
        for each in (self.pool, self.worker):
            each.makeConnection(StringTransport())

    def receive(self, message: dict[str, Any]) -> None:
        """Take a message at the worker."""
        if "ask" in message:
            answer(self.worker, message, self.answers.__getitem__)
        else:
            self.orders.append(message)

    def pump(self) -> None:
        """Carry all bytes."""
        for here, there in ((self.pool, self.worker), (self.worker, self.pool)):
            transport: Any = here.transport
            there.dataReceived(transport.value())
            transport.clear()

    def test_order(self) -> None:
        """An order arrives."""
        self.pool.send(order=Order.RELOAD)
        self.pump()
        self.assertEqual(self.orders, [{"order": "reload"}])

    def test_question(self) -> None:
        """A question gets its answer."""
        found = self.asking.ask(self.pool, Question.METRICS)
        self.pump()
        self.assertEqual(self.successResultOf(found), {"a": 1})

    def test_descriptor(self) -> None:
        """A descriptor comes with its question; one that nobody takes is closed with the channel."""
        transport: Any = self.pool.transport
        sent: list[int] = []
        transport.sendFileDescriptor = sent.append
        self.answers[Question.CONNECT] = True
        asked = self.asking.ask(self.pool, Question.CONNECT, 7)
        self.assertEqual(sent, [7])
        self.pump()
        self.assertTrue(self.successResultOf(asked))
        ends = os.pipe()
        self.addCleanup(os.close, ends[1])
        self.worker.fileDescriptorReceived(8)
        self.worker.fileDescriptorReceived(ends[0])
        self.assertEqual(self.worker.takeDescriptor(), 8)
        self.worker.connectionLost()
        with self.assertRaises(OSError):
            os.fstat(ends[0])

    def test_late(self) -> None:
        """An answer to a question that nobody asks any more is dropped."""
        found = self.asking.ask(self.pool, Question.METRICS)
        found.addErrback(lambda _: None)
        found.cancel()
        self.pump()
        self.assertIsNone(self.successResultOf(found))

    def test_slow(self) -> None:
        """An answer may take its time, and an error in finding it is logged at the worker."""
        later: Deferred[Any] = Deferred()
        self.answers[Question.METRICS] = later
        found = self.asking.ask(self.pool, Question.METRICS)
        self.pump()
        self.assertNoResult(found)
        later.errback(KeyError("a"))
        self.pump()
        self.assertNoResult(found)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.asking.end()
        self.failureResultOf(found, Gone)

    def test_lost(self) -> None:
        """The end of the other process is told, and nothing is sent any more."""
        self.worker.connectionLost()
        self.worker.send(ready=True)
        self.assertEqual(self.lost, [self.worker])
