"""
Tests for L{sseserver.delivery.producer}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer
from zope.interface.verify import verifyObject

from sseserver.delivery.body import chooseBody
from sseserver.delivery.head import jitter
from sseserver.delivery.producer import READ_BYTES, Delivery, EventStreamProducer
from sseserver.errors import GapError
from sseserver.formats import EventsFormat, TextFormat
from sseserver.formats import text as textFormat
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.reading import Reading
from sseserver.settings import Settings
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import FLUSH_TICK, StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.values import Kind, State
from sseserver.wire import Event
from tests.http import EVENTSOURCE, makeRequest
from tests.wires import Wire, WireTestCase, soon

#: Seconds without a write until a heartbeat.
HEARTBEAT = 15.0

SETTINGS = Settings(heartbeat=HEARTBEAT, stall=3600.0)

#: The width of the ticker's slots in seconds: so much later than due may a heartbeat come.
SLOT = 0.25

URL = "/streams/name"

#: A token that fills what a transport queues (64 KiB) and so pauses its producer.
LARGE = "x" * 70_000


class Watched(Resource):
    """Makes a viewer of each request."""

    isLeaf = True

    def __init__(self, make: Callable[[Request], None]) -> None:
        super().__init__()
        self._make = make

    def render(self, request: Request) -> int:
        self._make(request)
        return NOT_DONE_YET


class Spy:
    """
    Stands before a request and notes what is called on it.

    Attributes:
        calls: The names of the methods called, in order.
        after: Called after a method of this name, by the name.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.calls: list[str] = []
        self.after: dict[str, Callable[[], None]] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._request, name)
        if not callable(value):
            return value

        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            result = value(*arguments)
            self.after.get(name, lambda: None)()
            return result

        return call


@implementer(IFormat, IRendering)
class BrokenFormat:
    """A format with a bug: what it reads raises."""

    name = "broken"
    headers = ()
    reconnects = True

    def render(self, streamLog: IStreamLog) -> Any:
        return self

    def start(self, fromNow: bool) -> int:
        return 0

    def head(self, cursor: int, retry: int, url: str) -> bytes:
        return b": head\n"

    def read(self, cursor: int, maxBytes: int, joined: bool) -> Any:
        raise ZeroDivisionError("a bug in a format")

    def retire(self, retry: int) -> bytes:
        raise AssertionError

    def gap(self, asked: str, gap: GapError) -> bytes:
        raise AssertionError

    def complete(self, cursor: int) -> bool:
        return False


class ProducerTestCase(WireTestCase):
    """One log, and as many viewers as wanted."""

    window = 16 * 1024 * 1024

    def setUp(self) -> None:
        super().setUp()
        turnEnd = TurnEnd(self.reactor)
        self.ticker = Ticker(self.reactor, SLOT, turnEnd=turnEnd)
        self.flush = Ticker(self.reactor, FLUSH_TICK / 4, turnEnd=turnEnd)
        self.streamLog = StreamLog("name", makeEpoch(), self.flush, self.window)
        self.producers: list[EventStreamProducer] = []
        self.spies: list[Spy] = []
        self.ended: list[EventStreamProducer] = []
        makeBody = chooseBody(turnEnd, SETTINGS.plain)
        self.delivery = Delivery(self.ticker, SETTINGS, makeBody, lambda producer: self.ended.append(producer))
        self.lastEventID: str | None = None
        self.form: Any = EventsFormat()
        self.after: dict[str, Callable[[], None]] = {}
        self.factory: Any = self.makeFactory()

    def makeFactory(self) -> Any:
        """Make what the wires connect to."""
        return self.site(Watched(self.make))

    def stop(self) -> None:
        self.flush.stop()

    def make(self, request: Request) -> None:
        """Let a request follow the log."""
        spy: Any = Spy(request)
        spy.after = self.after
        producer = EventStreamProducer(spy, self.streamLog, self.form, self.delivery)
        self.spies.append(spy)
        self.producers.append(producer)
        producer.start(self.lastEventID, 3000, URL)

    def follow(self, after: int | None = None, version: str = "1.1", room: int | None = None) -> Wire:
        """
        Connect a viewer.

        Args:
            after: The last entry that it saw.
            room: Bytes that it takes; `None` is all.
        """
        self.lastEventID = None if after is None else self.entry(after)
        wire = self.connect(self.factory)
        wire.socket.room = room
        wire.begin(accept=EVENTSOURCE, version=version)
        return wire

    def pausedViewer(self) -> Wire:
        """Connect a viewer that takes nothing, and let a large token pause it."""
        wire = self.follow()
        wire.stall()
        self.append(LARGE)
        return wire

    def append(self, *tokens: str) -> None:
        """Append tokens, each in a flush tick of its own."""
        for token in tokens:
            self.streamLog.append(Kind.TOKEN, token.encode())
            self.reactor.advance(FLUSH_TICK)

    def end(self) -> None:
        """Append the terminal entry."""
        self.streamLog.append(Kind.DONE, b'{"reason":"stop"}')
        self.reactor.advance(FLUSH_TICK)

    def entry(self, number: int) -> str:
        """Give the ID of an entry."""
        return f"{self.streamLog.epoch}-{number}"

    def token(self, number: int, text: str) -> Event:
        """Give the event of a token."""
        return Event(text, id=self.entry(number))


class ProducerTests(ProducerTestCase):
    """What a viewer sees."""

    def test_interface(self) -> None:
        """
        It is a push producer.
        """
        self.follow()
        self.assertTrue(verifyObject(IPushProducer, self.producers[0]))

    def test_headComesAtOnce(self) -> None:
        """
        Before the first token the viewer has the headers and the first event,
        with the reconnection time: so an EventSource's `open` fires.
        """
        response = self.follow().response
        self.assertEqual(response.status, 200)
        self.assertEqual(
            {name: value for name, value in response.headers.items() if name not in {"date", "server"}},
            {
                "content-type": "text/event-stream",
                "cache-control": "no-cache, no-store, no-transform",
                "x-accel-buffering": "no",
                "x-content-type-options": "nosniff",
                "transfer-encoding": "chunked",
            },
        )
        self.assertEqual(
            [(event.type, event.id, event.retry) for event in response.events], [("stream", self.entry(0), 3000)]
        )
        self.assertFalse(response.complete)

    def test_registersBeforeItWrites(self) -> None:
        """
        The producer is registered before the first write: under TLS one that
        comes later is never paused.
        """
        self.follow()
        calls = self.spies[0].calls
        self.assertLess(calls.index("registerProducer"), calls.index("write"))

    def test_tokensAsTheyCome(self) -> None:
        """
        Each token is an event with its number, when it comes, to every viewer;
        after the terminal event the response ends, and the connection stays.
        """
        wires = [self.follow(), self.follow()]
        for number, token in enumerate(["Hello", " world", "\n", "!"], 1):
            self.append(token)
            for wire in wires:
                self.assertEqual(wire.response.events[number:], [self.token(number, token)])
        self.end()
        for wire in wires:
            self.assertEqual(wire.response.types[-1], "done")
            self.assertTrue(wire.response.complete)
            self.assertFalse(wire.closed)
        self.assertEqual([producer.reason for producer in self.ended], ["complete", "complete"])
        self.assertEqual(wires[0].response.body, wires[1].response.body)

    def test_lateViewerGetsWhatWasThereJoined(self) -> None:
        """
        Tokens that wait when a viewer comes are one event with the last one's
        ID; those that follow are events of their own.
        """
        self.append("a", "b", "c")
        wire = self.follow()
        self.append("d", "e")
        self.assertEqual(wire.response.events[1:], [self.token(3, "abc"), self.token(4, "d"), self.token(5, "e")])

    def test_resumes(self) -> None:
        """
        A viewer with the ID of an entry gets the next one, neither that one
        again nor one less.
        """
        self.append("a", "b", "c")
        for number in range(4):
            events = self.follow(after=number).response.events
            self.assertEqual(events[0].id, self.entry(number))
            self.assertEqual("".join(event.data for event in events[1:]), "abc"[number:])

    def test_unknownID(self) -> None:
        """
        A viewer whose ID is none of ours is told of the gap before it gets
        everything.
        """
        self.append("a", "b")
        self.lastEventID = "nonsense"
        wire = self.connect(self.factory)
        response = wire.ask("/", EVENTSOURCE)
        self.assertEqual([event.type for event in response.events if event.type != "stream"], ["gap", "message"])
        self.assertIn('"reason":"unknown"', response.events[response.types.index("gap")].data)
        self.assertEqual(response.texts, ["ab"])

    def test_endedStream(self) -> None:
        """
        A stream that has ended is played back and ends again.
        """
        self.append("a")
        self.end()
        wire = self.follow()
        self.assertEqual(wire.response.types, ["stream", "message", "done"])
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.streamLog.viewers, 0)

    def test_HTTP10(self) -> None:
        """
        A client of HTTP/1.0 gets no chunks; the end of the connection is the
        end of the response.
        """
        wire = self.follow(version="1.0")
        self.append("a", "b")
        self.assertNotIn("transfer-encoding", wire.response.headers)
        self.assertEqual(wire.response.texts, ["a", "b"])
        self.assertFalse(wire.closed)
        self.end()
        self.assertTrue(wire.response.complete)

    def test_manyTokensInOneTick(self) -> None:
        """
        Tokens that come in one flush tick are written in one write, as events
        of their own.
        """
        wire = self.follow()
        self.append("first")
        wire.socket.sends.clear()
        for token in "abc":
            self.streamLog.append(Kind.TOKEN, token.encode())
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(wire.response.texts, ["first", "a", "b", "c"])
        self.assertLessEqual(len(wire.socket.sends), 2)

    def test_catchesUpInBoundedSteps(self) -> None:
        """
        What waits is read and written in steps of about 128 KiB, however much
        it is.
        """
        text = [f"{number:06}," * 150 for number in range(2000)]
        for token in text:
            self.streamLog.append(Kind.TOKEN, token.encode())
        wire = self.follow()
        self.assertGreater(len(wire.response.texts), 2000 * 1050 // READ_BYTES - 1)
        self.assertLess(max(map(len, wire.response.texts)), READ_BYTES + 2 * 1050)
        self.assertEqual("".join(wire.response.texts), "".join(text))

    def test_tellsTheLogThatItHasRead(self) -> None:
        """
        After each read the log's C{onRead} is called, when there is one.
        """
        read = []
        self.follow()
        self.append("a")
        self.streamLog.onRead = lambda: read.append(self.producers[0].cursor)
        self.append("b", "c")
        self.assertEqual(read, [2, 3])

    def test_counts(self) -> None:
        """
        C{written} is the length of the body.
        """
        wire = self.follow()
        self.append("a", "zwölf")
        self.assertEqual(self.producers[0].written, len(wire.response.body))

    def test_entriesThatAFormatPassesOver(self) -> None:
        """
        An entry of which a format shows nothing is read, and nothing is
        written for it.
        """
        self.form = BrokenFormat()
        self.patch(BrokenFormat, "read", lambda form, cursor, maxBytes, joined: Reading(self.streamLog.last, b""))
        wire = self.follow()
        before = wire.response.body
        self.append("a", "b")
        self.assertEqual(wire.response.body, before)
        self.assertEqual(self.producers[0].cursor, 2)

    def test_refusedTextEndsAtOnce(self) -> None:
        """
        When the text grows too long for the format `text`, its viewer is told
        `failed` and the response ends, though the stream goes on and nothing
        more has come.
        """
        self.patch(textFormat, "TEXT_LIMIT", 100)
        self.form = TextFormat()
        wire = self.follow()
        self.append("a" * 60, "b" * 60)
        self.assertEqual(wire.response.types[-2:], ["gap", "failed"])
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.ended, self.producers)


class PauseTests(ProducerTestCase):
    """What a full transport does."""

    def test_pausedProducerKeepsItsPlace(self) -> None:
        """
        A paused producer reads and writes nothing; when it is resumed it goes
        on where it was, and what waits is joined into one event.
        """
        wire = self.pausedViewer()
        producer = self.producers[0]
        written = producer.written
        self.append("a", "b", "c")
        self.assertEqual((producer.cursor, producer.written), (1, written))
        wire.take()
        self.assertEqual(wire.response.events[1:], [self.token(1, LARGE), self.token(4, "abc")])
        self.append("d", "e")
        self.assertEqual(wire.response.events[3:], [self.token(5, "d"), self.token(6, "e")])

    def test_pauseInsideAWrite(self) -> None:
        """
        A viewer that takes nothing is given what its transport queues and one
        read more, not the whole log; when it takes, it gets all.
        """
        text = [f"{number:06}," * 150 for number in range(4000)]
        for token in text:
            self.streamLog.append(Kind.TOKEN, token.encode())
        wire = self.follow(room=0)
        self.assertLess(self.producers[0].written, 2 * READ_BYTES + 65536)
        self.assertLess(self.producers[0].cursor, 4000)
        for _ in soon(lambda: self.producers[0].cursor == 4000):
            wire.take(50_000)
            self.assertLess(self.producers[0].written - len(wire.response.body), 2 * READ_BYTES + 65536)
        wire.take()
        self.assertEqual("".join(wire.response.texts), "".join(text))

    def test_pauseAtTheFirstWrite(self) -> None:
        """
        A transport that is full from the first write on pauses the producer
        before it reads anything; it starts when it is resumed.
        """
        self.append("a")
        self.after["write"] = lambda: self.producers[0].pauseProducing()
        self.follow()
        self.assertEqual(self.producers[0].cursor, 0)
        self.after.clear()
        self.producers[0].resumeProducing()
        self.reactor.turn()
        self.assertEqual(self.wires[0].response.texts, ["a"])

    def test_pauseAndResumeAgainAndAgain(self) -> None:
        """
        The transport says `pause` at each write while it is full; only the
        first counts, and only the first `resume` after it.
        """
        wire = self.follow()
        producer = self.producers[0]
        for _ in range(3):
            producer.pauseProducing()
        self.append("a", "b")
        self.assertEqual(wire.response.texts, [])
        producer.resumeProducing()
        self.append("c", "d")
        producer.resumeProducing()
        self.append("e")
        self.assertEqual(wire.response.texts, ["ab", "c", "d", "e"])

    def test_resumeWithoutAPause(self) -> None:
        """
        A `resume` that nothing preceded changes nothing: tokens that come
        together are not joined.
        """
        wire = self.follow()
        for token in (b"a", b"b", b"c"):
            self.streamLog.append(Kind.TOKEN, token)
        self.reactor.turn()
        self.assertEqual(wire.response.texts, ["a"])
        self.producers[0].resumeProducing()
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(wire.response.texts, ["a", "b", "c"])

    def test_readingPausesToo(self) -> None:
        """
        While the viewer takes nothing, what its client sends is not read: it
        stays where it is and takes none of our memory. Afterwards reading goes
        on, as far as twisted.web reads ahead.
        """
        wire = self.pausedViewer()
        wire.send(b"x" * 300_000)
        self.assertEqual(wire.unread, 300_000)
        self.assertEqual(self.reactor.getReaders(), [])
        wire.take()
        self.assertLess(wire.unread, 300_000)
        # It has read enough and is paused again, so that only the next write finds out that the client is gone.
        wire.breakDown()
        self.reactor.run(HEARTBEAT + SLOT)
        self.assertEqual(self.ended, self.producers)

    def test_readingGoesOn(self) -> None:
        """
        After a pause, a client that closes is noticed at once.
        """
        wire = self.pausedViewer()
        wire.take()
        wire.close()
        self.assertEqual(self.ended, self.producers)

    def test_resetWhilePaused(self) -> None:
        """
        A connection that breaks while its producer is paused is noticed at the
        next write that the transport tries.
        """
        wire = self.pausedViewer()
        wire.breakDown()
        self.reactor.turn()
        self.assertEqual([producer.reason for producer in self.ended], ["left"])

    def test_gapWhileSlow(self) -> None:
        """
        A viewer that was paused so long that entries were trimmed is told how
        many it missed, and goes on behind them.
        """
        self.streamLog = StreamLog("name", makeEpoch(), self.flush, 200_000)
        wire = self.pausedViewer()
        self.append(*[letter * 1000 for letter in "abcdefghijklmnopqrstuvwxyz" * 8])
        first = self.streamLog.buffer.first
        self.assertGreater(first, 2)
        wire.take()
        _, large, gap, *rest = wire.response.events
        self.assertEqual(large, self.token(1, LARGE))
        self.assertEqual((gap.type, gap.id), ("gap", self.entry(first - 1)))
        self.assertIn(f'"after":"{self.entry(1)}"', gap.data)
        self.assertIn(f'"missed":{first - 2},"reason":"trimmed"', gap.data)
        self.assertEqual("".join(event.data for event in rest), b"".join(self.streamLog.buffer.entries).decode())
        self.assertEqual(rest[-1].id, self.entry(209))

    def test_pausedViewerHoldsUpNobody(self) -> None:
        """
        Another viewer of the same log gets its tokens as they come.
        """
        slow, fast = self.follow(), self.follow()
        slow.stall()
        self.append(LARGE, "a", "b")
        self.assertEqual(fast.response.texts, [LARGE, "a", "b"])
        slow.take()
        self.assertEqual(slow.response.texts, [LARGE, "ab"])

    def test_endWhilePaused(self) -> None:
        """
        The end of a stream reaches a viewer that was paused; its response ends
        only then.
        """
        wire = self.pausedViewer()
        self.end()
        self.assertEqual(self.ended, [])
        wire.take()
        self.assertEqual(wire.response.types, ["stream", "message", "done"])
        self.assertTrue(wire.response.complete)

    def test_noTransportOfItsOwn(self) -> None:
        """
        A request without a transport, as on HTTP/2, is paused and resumed all
        the same.
        """
        wire = self.follow()
        self.spies[0]._request.transport = None
        self.producers[0].pauseProducing()
        self.append("a", "b")
        self.producers[0].resumeProducing()
        self.reactor.turn()
        self.assertEqual(wire.response.texts, ["ab"])


class HeartbeatTests(ProducerTestCase):
    """Heartbeats."""

    def test_afterSilence(self) -> None:
        """
        After 15 s without a write, and not before, there is a heartbeat, a
        line without an empty one after it; and so on, each 15 s after the one
        before.
        """
        wire = self.follow()
        before = wire.response.body
        self.reactor.run(HEARTBEAT - 0.01)
        self.assertEqual(wire.response.body, before)
        self.reactor.run(0.01 + SLOT)
        self.assertEqual(wire.response.body, before + b":\n")
        self.reactor.run(HEARTBEAT - 2 * SLOT)
        self.assertEqual(wire.response.heartbeats, 1)
        self.reactor.run(3 * SLOT)
        self.assertEqual(wire.response.heartbeats, 2)
        self.reactor.run(10 * (HEARTBEAT + SLOT))
        self.assertIn(wire.response.heartbeats, (12, 13))

    def test_writesPutItOff(self) -> None:
        """
        A heartbeat comes 15 s after the last write, whatever that was.
        """
        wire = self.follow()
        for token in "abc":
            self.reactor.run(HEARTBEAT - 1)
            self.append(token)
        self.reactor.run(HEARTBEAT - 0.1)
        self.assertEqual(wire.response.heartbeats, 0)
        self.reactor.run(0.1 + SLOT)
        self.assertEqual(wire.response.heartbeats, 1)

    def test_steadyTokensNeedNone(self) -> None:
        """
        A stream that is never quiet has none.
        """
        wire = self.follow()
        for _ in range(60):
            self.append("x")
            self.reactor.run(1)
        self.assertEqual(wire.response.heartbeats, 0)

    def test_noneWhilePaused(self) -> None:
        """
        To a viewer that takes nothing none are written, however long it is;
        they come again when it goes on.
        """
        wire = self.pausedViewer()
        written = self.producers[0].written
        self.reactor.run(10 * HEARTBEAT)
        self.assertEqual(self.producers[0].written, written)
        wire.take()
        self.assertEqual(wire.response.heartbeats, 0)
        self.reactor.run(2 * HEARTBEAT)
        self.assertIn(wire.response.heartbeats, (1, 2))

    def test_countedFromTheResumption(self) -> None:
        """
        What is written when a viewer goes on counts as a write of then, though it came to the log long before.
        """
        wire = self.pausedViewer()
        self.append("more")
        self.reactor.run(10 * HEARTBEAT + 7)
        wire.take()
        self.reactor.run(HEARTBEAT - 1)
        self.assertEqual(wire.response.events[-1].data[-4:], "more")
        self.assertEqual(wire.response.heartbeats, 0)
        self.reactor.run(2)
        self.assertEqual(wire.response.heartbeats, 1)

    def test_noneAfterTheEnd(self) -> None:
        """
        After the end, on a connection that stays, there are none, and nothing
        is left on the clock.
        """
        wire = self.follow()
        self.append("a")
        self.end()
        wire.close()
        before = wire.received
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.reactor.run(2 * HEARTBEAT)
        self.assertEqual(wire.received, before)

    def test_eachViewerHasItsOwn(self) -> None:
        """
        Viewers that came at different times get theirs at different times.
        """
        first = self.follow()
        self.reactor.run(HEARTBEAT / 2)
        second = self.follow()
        self.reactor.run(HEARTBEAT / 2 + SLOT)
        self.assertEqual((first.response.heartbeats, second.response.heartbeats), (1, 0))
        self.reactor.run(HEARTBEAT / 2 + SLOT)
        self.assertEqual((first.response.heartbeats, second.response.heartbeats), (1, 1))

    def test_findsOutThatTheClientIsGone(self) -> None:
        """
        A connection that broke in silence is found out by the heartbeat.
        """
        wire = self.follow()
        wire.transport.pauseProducing()
        wire.breakDown()
        self.reactor.removeWriter(wire.transport)
        self.reactor.run(HEARTBEAT - 1)
        self.assertEqual(self.ended, [])
        self.reactor.run(1 + SLOT)
        self.assertEqual(self.ended, self.producers)


class EndTests(ProducerTestCase):
    """Every way in which a response ends."""

    def assertUntouched(self) -> None:
        """Check that an ended producer does nothing to its request, whatever it is told."""
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

    def test_clientCloses(self) -> None:
        """
        A client that goes is noticed while nothing is written; the producer
        leaves the log and touches the request no more.
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
        gone = lambda index: self.spies[index]._request.connectionLost(lost)  # noqa: E731
        for index, signals in enumerate([[stop, gone], [gone, stop], [stop], [gone]]):
            self.follow()
            for signal in signals:
                signal(index)
            self.assertEqual(self.ended, self.producers)
            self.assertEqual(self.producers[index].reason, "left")

    def test_serverClosesTheConnection(self) -> None:
        """
        When the connection is closed on this side, of which no
        `stopProducing` tells, the response ends too.
        """
        wire = self.follow()
        self.spies[0]._request.loseConnection()
        self.reactor.turn()
        self.assertTrue(wire.closed)
        self.assertEqual(self.ended, self.producers)

    def test_finishes(self) -> None:
        """
        The producer unregisters itself, then finishes the request; afterwards
        it touches it no more.
        """
        self.follow()
        self.append("a")
        self.end()
        self.assertEqual(self.spies[0].calls[-2:], ["unregisterProducer", "finish"])
        self.streamLog = StreamLog("name", makeEpoch(), self.flush, self.window)
        self.assertUntouched()

    def test_finishOnDemand(self) -> None:
        """
        C{finish} ends a response in good order before its stream has ended;
        what it is told is the reason.
        """
        wire = self.follow()
        self.append("a")
        self.producers[0].finish("enough")
        self.reactor.turn()
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.producers[0].reason, "enough")
        self.assertUntouched()

    def test_aborts(self) -> None:
        """
        C{abort} resets the connection, whatever waits to be sent.
        """
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
        self.spies[0]._request.transport = None
        self.producers[0].abort("shutdown")
        self.reactor.turn()
        self.assertTrue(wire.closed)
        self.assertUntouched()

    def test_stopInsideAWrite(self) -> None:
        """
        When a write tells that the connection is gone, that was the last
        thing done to the request: at the head, at a token.
        """
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
        A consumer that says `stop` when it is given the producer, as one that
        is gone may, has that one and no more: nothing is written, and the end
        is told once.
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
        Whoever is told of the end may close the connection in that moment, as
        a reactor that stops does; that is no error.
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
        A request that waited on the same connection is served when the stream
        ends, and begins after the first one's end was told.
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
        """
        A bug that shows while a viewer reads goes to the log; its connection
        is cut, and the others' streams go on.
        """
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
        """
        The same when the bug shows in the midst: whoever appended the token
        sees nothing of it.
        """
        self.form = BrokenFormat()
        self.patch(BrokenFormat, "read", lambda self, cursor, maxBytes, joined: Reading(cursor, b""))
        wires = [self.follow(), self.follow()]
        self.patch(BrokenFormat, "read", lambda *arguments: 1 // 0)
        self.append("a")
        self.reactor.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertTrue(all(wire.socket.reset for wire in wires))
        self.assertEqual(self.streamLog.viewers, 0)


class QueuedProducerTests(ProducerTests):
    """The same on a transport whose queue cannot be passed."""

    def makeFactory(self) -> Any:
        return WrappingFactory(super().makeFactory())


class QueuedPauseTests(PauseTests):
    """The same on a transport whose queue cannot be passed."""

    def makeFactory(self) -> Any:
        return WrappingFactory(super().makeFactory())


class JitterTests(SynchronousTestCase):
    """The reconnection time that each viewer is told."""

    def test_spread(self) -> None:
        """
        It differs from viewer to viewer, by a third at most, both ways.
        """
        times = [jitter(3000) for _ in range(1000)]
        self.assertGreaterEqual(min(times), 2000)
        self.assertLessEqual(max(times), 4000)
        self.assertLess(min(times), 2100)
        self.assertGreater(max(times), 3900)
        self.assertTrue(all(type(time) is int for time in times))

    def test_neverNone(self) -> None:
        """
        However short, it is a millisecond at least: 0 would be no time at all.
        """
        self.assertEqual({jitter(1) for _ in range(100)}, {1})
