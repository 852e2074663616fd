"""
Logs for the tests of `sseserver.streams`.
"""

from __future__ import annotations

from sseserver.formats import EventsFormat
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.log import StreamLog
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind
from tests.fakes import ClockTestCase, FakeViewer, TurnClock

EPOCH = "0123456789abcdefghijAZ"
OTHER_EPOCH = "0123456789abcdefghijAz"
EVENTS = EventsFormat()

#: Seconds. Width of the ticker's slots, as in `MemoryStore`.
SLOT = FLUSH_TICK / 4


def makeLog(clock: TurnClock, window: int = 1_000_000) -> StreamLog:
    """Make an empty log on a ticker of its own."""
    return StreamLog("name", EPOCH, Ticker(clock, SLOT), window)


def shortLog(clock: TurnClock, keep: int, total: int) -> StreamLog:
    """Make a log that has had so many tokens of one byte and keeps only the newest."""
    streamLog = makeLog(clock, keep * (ENTRY_COST + 1))
    for number in range(total):
        streamLog.append(Kind.TOKEN, b"%d" % (number % 10))
    return streamLog


class LogTestCase(ClockTestCase):
    """Gives each test a log; what it announces is waited for in the end."""

    def setUp(self) -> None:
        """Make a log."""
        super().setUp()
        self.log = makeLog(self.clock)
        self.stopAtEnd(lambda: self.clock.advance(1.0))

    def follow(self, cursor: int = 0) -> FakeViewer:
        """Add a viewer that does nothing but count."""
        viewer = FakeViewer(cursor=cursor)
        self.log.follow(viewer, EVENTS)
        return viewer

    def token(self, data: bytes = b"x") -> int:
        """Append a token."""
        return self.log.append(Kind.TOKEN, data)

    def quiet(self) -> None:
        """Let a flush tick pass, and some more."""
        self.clock.advance(2 * FLUSH_TICK)
