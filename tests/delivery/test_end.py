"""
Tests of `sseserver.delivery.producer`: every way in which a response ends.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.web.server import Request

from sseserver.delivery.producer import EventStreamProducer
from sseserver.interfaces.reading import Reading
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import StreamLog
from sseserver.values import State
from tests.delivery.cases import HEARTBEAT, BrokenFormat, ProducerTestCase
from tests.http import EVENTSOURCE, makeRequest


class EndTests(ProducerTestCase):
    """Every way in which a response ends."""

    def assertUntouched(self) -> None:
        """Check that an ended producer does nothing to its request, whatever is called on it."""
        producer, spy = self.producers[0], self.spies[0]
        spy.calls.clear()
        reason = producer.reason
        producer.wake()
        producer.pauseProducing()
        producer.resumeProducing()
        producer.finish("again")
        producer.abort("again")
        producer.stopProducing()
        if self.streamLog.state is State.OPEN:
            self.append("more")
        self.reactor.run(2 * HEARTBEAT)
        self.assertEqual(spy.calls, [])
        self.assertEqual(self.ended, [producer])
        self.assertEqual(producer.reason, reason)
        self.assertEqual(self.streamLog.viewers, 0)

    def test_dismissed(self) -> None:
        """A viewer of entries that the store has lost is told to return, and leaves the log."""
        wire = self.follow()
        self.append("a")
        self.streamLog.dismiss()
        self.reactor.advance(0)
        self.assertRegex(wire.response.body.decode(), r"retry: \d+\n\n$")
        self.assertTrue(wire.response.complete)
        self.assertEqual([producer.reason for producer in self.ended], ["retired"])
        self.assertUntouched()

    def test_clientCloses(self) -> None:
        """
        A client that leaves is noticed without a write; the producer leaves the log and does not
        touch the request.
        """
        wire = self.follow()
        wire.close()
        self.assertEqual([producer.reason for producer in self.ended], ["left"])
        self.assertUntouched()

    def test_bothSignals(self) -> None:
        """
        `stopProducing` and the end of the request, in either order, and each
        alone, are one end.
        """
        lost = Failure(ConnectionDone())
        stop = lambda index: self.producers[index].stopProducing()  # noqa: E731
        gone = lambda index: self.spies[index].request.connectionLost(lost)  # noqa: E731
        for index, signals in enumerate([[stop, gone], [gone, stop], [stop], [gone]]):
            self.follow()
            for signal in signals:
                signal(index)
            self.assertEqual(self.ended, self.producers)
            self.assertEqual(self.producers[index].reason, "left")

    def test_serverClosesTheConnection(self) -> None:
        """
        The response ends too if the server closes the connection, which no `stopProducing` reports.
        """
        wire = self.follow()
        self.spies[0].request.loseConnection()
        self.reactor.turn()
        self.assertTrue(wire.closed)
        self.assertEqual(self.ended, self.producers)

    def test_finishes(self) -> None:
        """The producer unregisters itself, finishes the request and does not touch it again."""
        self.follow()
        self.append("a")
        self.end()
        self.assertEqual(self.spies[0].calls[-2:], ["unregisterProducer", "finish"])
        self.streamLog = StreamLog("name", makeEpoch(), self.flush, self.window)
        self.assertUntouched()

    def test_finishOnDemand(self) -> None:
        """
        `finish` ends a response in good order before its stream has ended; its argument is the
        reason.
        """
        wire = self.follow()
        self.append("a")
        self.producers[0].finish("enough")
        self.reactor.turn()
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.producers[0].reason, "enough")
        self.assertUntouched()

    def test_aborts(self) -> None:
        """`abort` resets the connection, even with bytes to be sent."""
        wire = self.pausedViewer()
        self.producers[0].abort("shutdown")
        self.assertEqual([producer.reason for producer in self.ended], ["shutdown"])
        self.reactor.advance(0)
        self.assertTrue(wire.socket.reset)
        self.assertTrue(wire.closed)
        self.assertUntouched()

    def test_abortWithoutTransport(self) -> None:
        """
        A request without a transport, as on HTTP/2, is closed instead.
        """
        wire = self.follow()
        self.spies[0].request.transport = None
        self.producers[0].abort("shutdown")
        self.reactor.turn()
        self.assertTrue(wire.closed)
        self.assertUntouched()

    def test_stopInsideAWrite(self) -> None:
        """After a write that reports the loss of the connection the request is not touched."""
        self.append("a")
        # On this transport each write goes through the request, where it is seen.
        self.factory = WrappingFactory(self.factory)
        self.after["write"] = lambda: self.producers[-1].stopProducing()
        self.follow()
        self.assertEqual(self.ended, self.producers)
        self.assertEqual(self.spies[0].calls[-1], "write")
        self.assertEqual(self.spies[0].calls.count("write"), 1)
        self.after.clear()
        self.follow()
        self.after["write"] = lambda: self.producers[-1].stopProducing()
        self.append("b")
        self.assertEqual(self.ended, self.producers)
        writes = self.spies[1].calls.count("write")
        self.append("c")
        self.assertEqual(self.spies[1].calls.count("write"), writes)

    def test_stopInsideTheRegistration(self) -> None:
        """
        A consumer that stops the producer while it is registered gets no write, and the end is
        reported once.
        """
        self.after["registerProducer"] = lambda: self.producers[0].stopProducing()
        wire = self.follow()
        self.assertEqual(self.ended, self.producers)
        self.assertEqual(wire.received, b"")
        self.append("a")
        self.reactor.run(2 * HEARTBEAT)
        self.assertEqual(wire.received, b"")
        self.assertEqual((self.ended, self.streamLog.viewers), (self.producers, 0))

    def test_ownerThatClosesTheConnection(self) -> None:
        """
        The owner may close the connection when it is told of the end, as a reactor that stops does.
        """

        class Closing(list[EventStreamProducer]):
            def append(closing, producer: EventStreamProducer) -> None:
                list.append(closing, producer)
                self.wires[0].transport.connectionLost(Failure(ConnectionDone()))

        self.ended = Closing()
        self.follow()
        self.append("a")
        self.end()
        self.assertEqual(self.ended, self.producers)
        self.assertUntouched()

    def test_toldBeforeTheNextRequest(self) -> None:
        """
        A pipelined request is served when the stream ends, after the first one's end was reported.
        """
        wire = self.follow()
        wire.send(makeRequest(accept=EVENTSOURCE))
        self.assertEqual(len(self.producers), 1)
        viewers = []
        make = self.make

        def note(request: Request) -> None:
            viewers.append((len(self.ended), self.streamLog.viewers))
            make(request)

        self.patch(self.factory.resource, "_make", note)
        self.append("a")
        self.end()
        self.assertEqual(viewers, [(1, 0)])
        wire.methods.append("GET")
        first, second = wire.responses
        self.assertEqual(first.texts, second.texts)
        self.assertTrue(second.complete)

    def test_brokenFormat(self) -> None:
        """A format that raises is logged; its viewer's connection is cut, other streams go on."""
        good = self.follow()
        self.form = BrokenFormat()
        bad = self.follow()
        self.reactor.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([producer.reason for producer in self.ended], ["broken"])
        self.assertTrue(bad.socket.reset)
        self.append("a")
        self.assertEqual(good.response.texts, ["a"])

    def test_brokenFormatLater(self) -> None:
        """A format that raises later does not affect the code that appends the token."""
        self.form = BrokenFormat()
        self.patch(BrokenFormat, "read", lambda self, cursor, maxBytes, joined: Reading(cursor, b""))
        wires = [self.follow(), self.follow()]
        self.patch(BrokenFormat, "read", lambda *arguments: 1 // 0)
        self.append("a")
        self.reactor.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertTrue(all(wire.socket.reset for wire in wires))
        self.assertEqual(self.streamLog.viewers, 0)
