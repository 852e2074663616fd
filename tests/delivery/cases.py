"""
Test cases of one stream log and the viewers that follow it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from sseserver.delivery.body import chooseBody
from sseserver.delivery.counts import DeliveryCounts
from sseserver.delivery.producer import EventStreamProducer
from sseserver.delivery.response import Delivery
from sseserver.delivery.rests import Rests
from sseserver.errors import GapError
from sseserver.formats import EventsFormat
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.settings import Settings
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import StreamLog
from sseserver.timing.fairturns import FairTurns
from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.values import Kind, StartingPlace
from sseserver.wire import Event
from tests.http import EVENTSOURCE
from tests.wires import Wire, WireTestCase

#: Seconds without a write until a heartbeat.
HEARTBEAT = 15.0

SETTINGS = Settings(heartbeat=HEARTBEAT, stall=3600.0)

#: Seconds. Width of the ticker's slots, by which a heartbeat may be late.
SLOT = 0.25

URL = "/streams/name"

#: Bytes. Limit of the readings that viewers have in part.
RESTS = 10_000_000

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
        self.request = request
        self.calls: list[str] = []
        self.after: dict[str, Callable[[], None]] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.request, name)
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
        self.finished: list[int] = []
        self.counts = DeliveryCounts()
        self.rests = Rests(RESTS)
        self.delivery = Delivery(
            self.ticker,
            SETTINGS,
            makeBody,
            self.noteEnd,
            self.noteFinish,
            self.counts,
            self.rests,
            FairTurns(self.reactor, turnEnd),
        )
        self.lastEventID: str | None = None
        self.startingPlace: StartingPlace | None = None
        self.form: Any = EventsFormat()
        self.after: dict[str, Callable[[], None]] = {}
        self.factory: Any = self.makeFactory()

    def makeFactory(self) -> Any:
        """Make what the wires connect to."""
        return self.site(Watched(self.make))

    def stop(self) -> None:
        self.flush.stop()

    def noteEnd(self, producer: EventStreamProducer) -> None:
        """See `Delivery.onEnd`."""
        self.ended.append(producer)

    def noteFinish(self, transport: object, written: int) -> None:
        """See `Delivery.onFinish`."""
        self.finished.append(written)

    def make(self, request: Request) -> None:
        """Let a request follow the log."""
        spy: Any = Spy(request)
        spy.after = self.after
        producer = EventStreamProducer(spy, self.streamLog, self.form, self.delivery)
        self.spies.append(spy)
        self.producers.append(producer)
        producer.start(self.startingPlace or StartingPlace(self.lastEventID), 3000, URL)

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
