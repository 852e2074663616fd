"""
Tests of `sseserver.service.pause`: when a run is paused: its log, the cursors of its viewers, and room in the store.

It is evaluated on every change of any of them, so no order of events can stop a run for ever or let it run free.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sseserver.formats import text as textFormat
from sseserver.service.pause import Pause
from sseserver.service.service import Settings
from sseserver.streams.followed import FLUSH_TICK
from sseserver.timing.ticker import Ticker
from sseserver.timing.turnend import TurnEnd
from tests.fakes import FakeViewer, RecordingProducer
from tests.service.cases import LARGE, ServiceTestCase
from tests.wires import Wire

#: Bytes. The read-ahead of these tests.
_READ_AHEAD = 64 * 1024

#: Tokens of 16 KiB that a source writes at most in one step: more than the read-ahead and what one transport takes.
_STEP = 40

_FORMATS = st.sampled_from(["events", "text", "ui", "openai"])
_VIEWERS = st.integers(0, 5)
_STARTS = st.one_of(st.just("first"), st.just("now"), st.floats(0, 1))

_ACTS = st.one_of(
    st.tuples(st.just("produce")),
    st.tuples(st.just("come"), _FORMATS, _STARTS, st.booleans()),
    st.tuples(st.just("take"), _VIEWERS, st.integers(1, 200_000)),
    st.tuples(st.just("stall"), _VIEWERS),
    st.tuples(st.just("read"), _VIEWERS),
    st.tuples(st.just("leave"), _VIEWERS),
    st.tuples(st.just("lose"), _VIEWERS),
)


class PausingTestCase(ServiceTestCase):
    """A run of a source that obeys its producer."""

    settings = Settings(readAhead=_READ_AHEAD, linger=10**6, stall=10**6, heartbeat=10**6)

    def setUp(self) -> None:
        """Start a run."""
        super().setUp()
        self.begin()

    def begin(self) -> None:
        """Start another run, and register its producer."""
        self.streamLog = self.startLog()
        self.producer = RecordingProducer()
        self.source.run.sink.registerProducer(self.producer, True)
        self.viewers: list[Wire] = []

    @property
    def isPaused(self) -> bool:
        """Whether the run is paused."""
        return self.producer.told[-1:] == ["pause"]

    def produce(self, tokens: int = _STEP) -> None:
        """Let the source write tokens until it is paused, each in a flush tick of its own."""
        for _ in range(tokens):
            if self.isPaused:
                break
            self.source.run.write(LARGE)
            self.reactor.advance(FLUSH_TICK)

    def come(self, query: str = "", lastEventID: str | None = None, stalled: bool = False) -> Wire:
        """Add a viewer. With HTTP/1.0 its connection closes at the end of the response."""
        path = f"/streams/{self.streamLog.name}{query}"
        wire = self.view(path, lastEventID, "1.0", 0 if stalled else None)
        self.viewers.append(wire)
        return wire


class PausingTests(PausingTestCase):
    """Single schedules, each of which once stopped a run or let it run free."""

    def test_F19_viewerAtTheEnd(self) -> None:
        """F19: a paused run resumes for a viewer that starts at the end of the log and so reads nothing."""
        for query in ("?from=now", f"?last_event_id={self.streamLog.epoch}-"):
            with self.subTest(query):
                self.produce()
                self.assertTrue(self.isPaused)
                wire = self.come(query if query.startswith("?from") else f"{query}{self.streamLog.last}")
                self.assertFalse(self.isPaused)
                before = self.streamLog.last
                self.produce()
                self.assertGreater(self.streamLog.last, before)
                wire.close()

    def test_F19_leaving(self) -> None:
        """F19: the log tells of each viewer that has left, as it tells of one that has read."""
        changes: list[int] = []
        viewers = [FakeViewer(), FakeViewer()]
        for viewer in viewers:
            self.streamLog.follow(viewer, self.service.formats["events"])
        self.streamLog.onChange = lambda: changes.append(self.streamLog.viewers)
        for viewer in viewers:
            self.streamLog.leave(viewer)
            self.streamLog.leave(viewer)
        self.streamLog.onChange = None
        self.assertEqual(changes, [1, 0])

    def test_F21_refusedViewerThatLeaves(self) -> None:
        """F21: a run whose `text` viewer was refused and has gone is paused at the read-ahead."""
        self.patch(textFormat, "TEXT_LIMIT", 100_000)
        wire = self.come("?format=text")
        self.produce()
        self.assertTrue(wire.closed)
        self.assertIn(b'"too_long"', wire.received)
        self.assertTrue(self.isPaused)

    def test_F22_refusedViewerThatStays(self) -> None:
        """F22: a run whose `text` viewer was refused and takes nothing is paused, and stays so."""
        self.patch(textFormat, "TEXT_LIMIT", 100_000)
        wire = self.come("?format=text", stalled=True)
        self.produce()
        self.assertTrue(self.isPaused)
        self.reactor.run(5)
        self.assertTrue(self.isPaused)
        # Its last events arrive once it reads, and then its response is over. It has no place in the log.
        wire.take()
        self.assertTrue(wire.closed)
        self.assertIn(b'"too_long"', wire.received)
        self.assertTrue(self.isPaused)

    def test_F22_uiViewerOfTrimmedStream(self) -> None:
        """F22: a `ui` viewer that is refused, because the start of the message is gone, does not count either."""
        self.serve(self.source, Settings(readAhead=_READ_AHEAD, window=256 * 1024, linger=10**6, heartbeat=10**6))
        self.begin()
        wire = self.come()
        self.produce()
        self.assertGreater(self.streamLog.buffer.first, 1)
        wire.close()
        self.produce()
        self.assertTrue(self.isPaused)
        refused = self.come("?format=ui", stalled=True)
        self.assertTrue(self.isPaused)
        refused.take()
        self.assertTrue(refused.closed)
        self.assertIn(b"cannot be whole", refused.received)
        self.assertTrue(self.isPaused)

    def test_smallWindow(self) -> None:
        """A window smaller than the read-ahead pauses a run before entries are trimmed that nobody has read."""
        self.serve(self.source, Settings(readAhead=_READ_AHEAD, window=64 * 1024, linger=10**6, heartbeat=10**6))
        self.begin()
        self.produce()
        self.assertTrue(self.isPaused)
        self.assertEqual(self.streamLog.buffer.first, 1)

    def test_F52_evaluatedOnceATurn(self) -> None:
        """F52: however many viewers of a paused run read in one turn, their cursors are compared once."""
        looks: list[object] = []

        class Counted(FakeViewer):
            @property  # type: ignore[override]
            def cursor(self) -> int:
                """Count each look at the cursor."""
                looks.append(self)
                return self.place

            @cursor.setter
            def cursor(self, value: int) -> None:
                self.place = value

        viewers = [Counted() for _ in range(200)]
        for viewer in viewers:
            self.streamLog.follow(viewer, self.service.formats["events"])
        self.produce()
        self.assertTrue(self.isPaused)
        looks.clear()
        for viewer in viewers:
            viewer.cursor = self.streamLog.last
            assert self.streamLog.onChange is not None
            self.streamLog.onChange()
        self.assertEqual(looks, [])
        self.reactor.turn()
        self.assertEqual(len(looks), len(viewers))
        self.assertFalse(self.isPaused)
        for viewer in viewers:
            self.streamLog.leave(viewer)


class FullStoreTests(ServiceTestCase):
    """A run for which the store has no room."""

    def test_retried(self) -> None:
        """The run looks again every second until there is room, though no viewer reads, and then no more."""
        looks: list[float] = []
        resumed: list[float] = []

        def makeRoom() -> bool:
            """Have room at the fourth look."""
            looks.append(self.reactor.seconds())
            return len(looks) == 4

        def resume() -> None:
            """Go on."""
            resumed.append(self.reactor.seconds())
            pause.end()

        sweep = Ticker(self.reactor, 0.1, turnEnd=TurnEnd(self.reactor))
        pause = Pause(self.startLog(), _READ_AHEAD, makeRoom, sweep, resume)
        waiting = pause.wait()
        self.reactor.run(10)
        self.assertEqual(len(looks), 4)
        self.assertEqual(resumed, looks[-1:])
        for before, after in pairwise(looks):
            self.assertTrue(1 <= after - before <= 1.3, looks)
        self.successResultOf(waiting)


class ScheduleTests(PausingTestCase):
    """Any schedule of viewers."""

    def setUp(self) -> None:
        """Let the format `text` refuse early."""
        super().setUp()
        self.patch(textFormat, "TEXT_LIMIT", 300_000)

    @given(st.lists(_ACTS, max_size=25))
    def test_anySchedule(self, acts: list[tuple[Any, ...]]) -> None:
        """
        A run with a viewer that has room is not paused; one without such a viewer does not run free.

        Viewers come, read, stall, resume from any ID and leave, in any order and in every format.
        """
        self.begin()
        for name, *arguments in acts:
            getattr(self, f"act{name.title()}")(*arguments)
            self.reactor.turn()
            self.reactor.advance(FLUSH_TICK)
            self.check()
        self.actProduce()
        self.check()
        for viewer in self.viewers:
            viewer.take()
            viewer.close()
        self.successResultOf(self.service.cancel(self.streamLog.name))

    def check(self) -> None:
        """Check that no viewer has stopped the run."""
        if self.reading:
            self.assertFalse(self.isPaused)

    @property
    def reading(self) -> list[Wire]:
        """Viewers that take everything."""
        return [wire for wire in self.viewers if wire.socket.room is None and not wire.closed]

    def actProduce(self) -> None:
        """Write until the run is paused, which it must be if nobody reads."""
        before = self.streamLog.last
        self.produce()
        if self.reading:
            self.assertEqual(self.streamLog.last, before + _STEP)
        elif not any(wire.socket.room and not wire.closed for wire in self.viewers):
            self.assertTrue(self.isPaused)

    def actCome(self, form: str, start: str | float, stalled: bool) -> None:
        """Let a viewer come, from the start, from the end, or with an ID."""
        query, lastEventID = f"?format={form}", None
        if start == "now":
            query += "&from=now"
        elif isinstance(start, float):
            lastEventID = f"{self.streamLog.epoch}-{int(start * self.streamLog.last)}"
        self.come(query, lastEventID, stalled)

    def actTake(self, index: int, size: int) -> None:
        """Let a viewer take some bytes."""
        for wire in self.viewers[index : index + 1]:
            wire.take(size)

    def actStall(self, index: int) -> None:
        """Let a viewer take nothing."""
        for wire in self.viewers[index : index + 1]:
            wire.stall()

    def actRead(self, index: int) -> None:
        """Let a viewer take everything."""
        for wire in self.viewers[index : index + 1]:
            wire.take()

    def actLeave(self, index: int) -> None:
        """Let a viewer close its connection."""
        for wire in self.viewers[index : index + 1]:
            # The server does not read from a viewer that takes nothing, and would miss its close.
            wire.take()
            wire.close()

    def actLose(self, index: int) -> None:
        """Let the connection of a viewer break."""
        for wire in self.viewers[index : index + 1]:
            wire.breakDown()
            wire.socket.eof = True
