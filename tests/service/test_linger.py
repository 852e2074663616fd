"""
Tests of `sseserver.service.linger`: how long a run continues without viewers.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import StoreUnavailable
from sseserver.service.linger import Linger
from sseserver.service.service import Settings
from sseserver.service.states import RunState
from sseserver.sources.text import TextSource
from sseserver.timing.ticker import Ticker
from sseserver.values import State
from tests.service.cases import SLOT, ServiceTestCase
from tests.stores.shared import SharedMemoryStore


class LingerTests(ServiceTestCase):
    """How long a run continues without viewers."""

    settings = Settings(linger=60, heartbeat=1000, stall=1000)

    def assertLingersUntil(self, streamLog: Any, end: float) -> None:
        """Check that a run continues until a time and is cancelled then."""
        self.reactor.run(end - self.reactor.seconds() - 0.01)
        self.assertEqual(streamLog.state, State.OPEN)
        self.reactor.run(0.01 + SLOT)
        self.assertEqual(self.terminal(streamLog), ("cancelled", {"reason": "linger"}))
        self.assertTrue(self.source.run.cancelled)

    def test_nobodyComes(self) -> None:
        """A run without any viewer is cancelled after the linger, counted from its start."""
        self.assertLingersUntil(self.startLog(), 60)

    def test_detached(self) -> None:
        """A run that was detached goes on without viewers, also when one has come and left."""
        streamLog = self.startLog()
        run = self.service.runs.find(streamLog.name)
        assert run is not None
        run.detach()
        self.reactor.run(100)
        self.watch(streamLog).close()
        self.reactor.run(100)
        self.assertEqual(streamLog.state, State.OPEN)

    def test_detachedIsNotPaused(self) -> None:
        """A run that was detached does not wait for viewers at the read-ahead, also when it has done so before."""
        settings = Settings(readAhead=1024, window=1 << 20)
        for before in (True, False):
            self.serve(TextSource(self.reactor, "word " * 5000, 0), settings)
            streamLog = self.startLog()
            run = self.service.runs.find(streamLog.name)
            assert run is not None
            if before:
                self.reactor.run(5)
                self.assertIs(run.state, RunState.PAUSED)
            run.detach()
            self.reactor.run(20)
            self.assertEqual(streamLog.state, State.DONE)

    def test_viewerLeaves(self) -> None:
        """The linger begins when the last viewer leaves."""
        streamLog = self.startLog()
        self.reactor.run(50)
        wire = self.watch(streamLog)
        self.reactor.run(100)
        wire.close()
        self.assertLingersUntil(streamLog, 210)

    def test_anyViewerIsEnough(self) -> None:
        """The run continues while one of several viewers is left, even one that reads nothing."""
        streamLog = self.startLog()
        wires = [self.watch(streamLog), self.watch(streamLog), self.watch(streamLog, room=0)]
        for wire in wires[:2]:
            self.reactor.run(70)
            wire.close()
        self.reactor.run(70)
        self.assertEqual(streamLog.state, State.OPEN)
        wires[2].take()
        wires[2].close()
        self.assertLingersUntil(streamLog, 270)

    def test_comesBack(self) -> None:
        """
        A viewer that returns in time stops the linger; when it leaves again, the whole linger
        begins anew.
        """
        streamLog = self.startLog()
        self.watch(streamLog).close()
        self.reactor.run(30)
        wire = self.watch(streamLog)
        self.reactor.run(20)
        wire.close()
        self.assertLingersUntil(streamLog, 110)

    def test_comesBackAndStays(self) -> None:
        """A viewer that is there again when the linger would be over keeps the run alive."""
        streamLog = self.startLog()
        self.watch(streamLog).close()
        self.reactor.run(59)
        wire = self.watch(streamLog)
        self.reactor.run(100)
        self.assertEqual(streamLog.state, State.OPEN)
        wire.close()
        self.assertLingersUntil(streamLog, 219)

    def test_looksAreNoViewers(self) -> None:
        """Requests for the state, the text so far or the headers do not count as viewers."""
        streamLog = self.startLog()
        self.reactor.run(55)
        for accept, method in (("application/json", "GET"), ("text/plain", "GET"), ("text/event-stream", "HEAD")):
            self.assertEqual(self.ask(f"/streams/{streamLog.name}", accept, method).status, 200)
        self.assertLingersUntil(streamLog, 60)

    def test_endEndsTheLinger(self) -> None:
        """The end of a run ends its linger: only the age of the stream is left on the clock."""
        streamLog = self.startLog()
        self.watch(streamLog).close()
        self.source.run.end()
        self.reactor.run(70)
        self.assertEqual(streamLog.state, State.DONE)
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_viewerAfterTheLinger(self) -> None:
        """A viewer that comes too late gets `cancelled` with the reason `linger`."""
        streamLog = self.startLog()
        self.write("half")
        self.reactor.run(61)
        wire = self.watch(streamLog)
        self.assertEqual(
            [(event.type, event.data) for event in wire.response.events[1:]],
            [("message", "half"), ("cancelled", '{"reason":"linger"}')],
        )


class SharedLingerTests(ServiceTestCase):
    """How long a run continues whose viewers are at other processes."""

    settings = Settings(linger=60, heartbeat=1000, stall=1000)
    store: SharedMemoryStore

    def setUp(self) -> None:
        """Serve from a store that several processes share."""
        super().setUp()
        self.store = SharedMemoryStore(self.reactor, 100_000)
        self.serve(self.source, self.settings, self.store)
        self.streamLog = self.startLog()

    def test_followed(self) -> None:
        """A run that another process follows continues; it is asked about again and again."""
        self.store.answers = [succeed(True), succeed(True)]
        self.reactor.run(170)
        self.assertEqual(self.streamLog.state, State.OPEN)
        self.reactor.run(11)
        self.assertEqual(self.terminal(self.streamLog), ("cancelled", {"reason": "linger"}))
        self.assertEqual(self.store.asked, [self.streamLog.name] * 3)

    def test_unknown(self) -> None:
        """A run continues while the store cannot be asked."""
        self.store.answers = [fail(StoreUnavailable("away"))]
        self.reactor.run(61)
        self.assertEqual(self.streamLog.state, State.OPEN)
        self.reactor.run(60)
        self.assertEqual(self.streamLog.state, State.CANCELLED)

    def test_comesMeanwhile(self) -> None:
        """A viewer that comes before the answer keeps the run, and its linger begins anew when it leaves."""
        answer: Deferred[bool] = Deferred()
        self.store.answers = [answer]
        self.reactor.run(61)
        wire = self.watch(self.streamLog)
        answer.callback(False)
        self.reactor.run(100)
        self.assertEqual(self.streamLog.state, State.OPEN)
        wire.close()
        self.reactor.run(61)
        self.assertEqual(self.streamLog.state, State.CANCELLED)

    def test_CtrlC(self) -> None:
        """At Ctrl-C a run goes on if another process follows it, and ends at once if nobody does, or nobody knows."""
        logs = [self.streamLog, self.startLog(), self.startLog()]
        self.store.answers = [succeed(True), succeed(False), fail(StoreUnavailable("away"))]
        self.service.abandon()
        self.service.drain()
        self.assertEqual([log.state for log in logs], [State.OPEN, State.FAILED, State.FAILED])
        self.service.hurry()

    def test_endsMeanwhile(self) -> None:
        """A run that ends before the answer waits for none."""
        self.store.answers = [Deferred()]
        self.reactor.run(61)
        self.source.run.end()
        self.assertEqual(self.streamLog.state, State.DONE)


class ShortLingerTests(ServiceTestCase):
    """Lingers shorter than the time to follow a new run."""

    settings = Settings(linger=0)

    def test_atOnce(self) -> None:
        """Without a linger, a run ends at the moment when its last viewer leaves."""
        streamLog = self.startLog()
        first, second = self.watch(streamLog), self.watch(streamLog)
        first.close()
        self.assertEqual(streamLog.state, State.OPEN)
        second.close()
        self.assertEqual(self.terminal(streamLog), ("cancelled", {"reason": "linger"}))
        self.assertTrue(self.source.run.cancelled)

    def test_firstViewerHasTime(self) -> None:
        """A client has 5 s to follow a run that it has started, however short the linger."""
        for linger in (0, 1):
            self.serve(self.source, Settings(linger=linger))
            streamLog = self.startLog()
            self.reactor.run(4.9)
            self.assertEqual(streamLog.state, State.OPEN)
            self.reactor.run(0.1 + SLOT)
            self.assertEqual(self.terminal(streamLog), ("cancelled", {"reason": "linger"}))

    def test_shortLinger(self) -> None:
        """After its first viewer a run lingers as long as configured, not 5 s."""
        self.serve(self.source, Settings(linger=1))
        streamLog = self.startLog()
        self.watch(streamLog).close()
        self.reactor.run(0.9)
        self.assertEqual(streamLog.state, State.OPEN)
        self.reactor.run(0.1 + SLOT)
        self.assertEqual(streamLog.state, State.CANCELLED)

    def test_viewerStaysPastTheFirstSeconds(self) -> None:
        """A viewer that came in time keeps the run alive."""
        streamLog = self.startLog()
        self.reactor.run(4)
        self.watch(streamLog)
        self.reactor.run(60)
        self.assertEqual(streamLog.state, State.OPEN)


class DeadlineTests(SynchronousTestCase):
    """A linger without a run."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.streamLog: Any = SimpleNamespace(viewers=0)
        self.ended = 0
        self.linger = Linger(self.streamLog, Ticker(self.clock, SLOT), self.end)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def end(self) -> None:
        """Count the ends of the linger."""
        self.ended += 1

    def test_over(self) -> None:
        """
        Without viewers the linger ends once, when its time is over.
        """
        self.linger.begin(1.0)
        self.clock.advance(0.5)
        self.assertEqual(self.ended, 0)
        self.clock.pump([SLOT] * 5)
        self.assertEqual(self.ended, 1)

    def test_viewers(self) -> None:
        """With viewers, the end of the time has no effect."""
        self.linger.begin(1.0)
        self.streamLog.viewers = 1
        self.clock.pump([SLOT] * 6)
        self.assertEqual(self.ended, 0)

    def test_again(self) -> None:
        """A linger that begins anew has its whole time again."""
        self.linger.begin(1.0)
        self.clock.pump([SLOT] * 3)
        self.linger.begin(1.0)
        self.clock.pump([SLOT] * 3)
        self.assertEqual(self.ended, 0)
        self.clock.pump([SLOT] * 3)
        self.assertEqual(self.ended, 1)

    def test_stop(self) -> None:
        """
        A linger that is stopped never ends, and leaves nothing on the clock.
        """
        self.linger.begin(1.0)
        self.linger.stop()
        self.linger.stop()
        self.clock.pump([SLOT] * 6)
        self.assertEqual(self.ended, 0)

    def test_none(self) -> None:
        """A linger of 0 ends when it begins."""
        self.linger.begin(0)
        self.assertEqual(self.ended, 1)
