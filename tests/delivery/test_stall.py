"""
Tests of `sseserver.delivery.stall`.
"""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection

from sseserver.delivery.stall import StallWatch, measureTaken
from sseserver.timing.ticker import Ticker
from tests.delivery.cases import ProducerTestCase
from tests.fakes import ClockTestCase, LateClock
from tests.wires import soon

#: Seconds. The limit of the tests.
LIMIT = 30.0


class WatchedViewer:
    """
    A response that does nothing.

    Attributes:
        aborted: The reasons of its aborts.
    """

    def __init__(self) -> None:
        self.request: Any = self
        self.transport = None
        self.written = 0
        self.isPaused = False
        self.aborted: list[str] = []
        self.watch: StallWatch | None = None

    def beat(self, now: float) -> float:
        """Write nothing."""
        return now + 15

    def abort(self, reason: str) -> None:
        """Note the reason and end, as a producer does."""
        self.aborted.append(reason)
        assert self.watch is not None
        self.watch.stop()


class StallWatchTests(ClockTestCase):
    """The watch of one viewer."""

    def setUp(self) -> None:
        super().setUp()
        self.viewer = WatchedViewer()
        self.watch = StallWatch(self.viewer, Ticker(self.clock, 0.25), LIMIT)
        self.viewer.watch = self.watch
        self.watch.start(15)

    def test_idle(self) -> None:
        """A viewer to which nothing is on its way is never cut."""
        self.clock.pump([1] * 200)
        self.assertEqual(self.viewer.aborted, [])
        self.watch.stop()

    def test_paused(self) -> None:
        """
        A viewer that stays paused is cut after the limit, even where no connection can be asked.
        """
        self.clock.pump([1] * 20)
        self.viewer.isPaused = True
        self.watch.noteFull()
        self.clock.pump([1] * 29)
        self.assertEqual(self.viewer.aborted, [])
        self.clock.pump([1] * 10)
        self.assertEqual(self.viewer.aborted, ["stalled"])

    def test_stopped(self) -> None:
        """A stopped watch looks no more."""
        self.viewer.isPaused = True
        self.watch.stop()
        self.watch.noteFull()
        self.clock.pump([1] * 100)
        self.assertEqual(self.viewer.aborted, [])


class PauseTests(ClockTestCase):
    """F127: the time in which the process was paused is not held against the viewer."""

    def test_F127_paused(self) -> None:
        """A viewer that took nothing while the process was paused has the rest of its time; then it is cut."""
        clock = LateClock()
        viewer = WatchedViewer()
        watch = viewer.watch = StallWatch(viewer, Ticker(clock, 0.25, clock.seconds), LIMIT)
        watch.start(15)
        clock.letPass(20)
        viewer.isPaused = True
        watch.noteFull()
        for _ in range(2):
            clock.letPass(10)
            clock.advance(500)
        clock.letPass(5)
        self.assertEqual(viewer.aborted, [])
        clock.letPass(20)
        self.assertEqual(viewer.aborted, ["stalled"])
        self.assertEqual(clock.getDelayedCalls(), [])


class MeasureTakenTests(ProducerTestCase):
    """The measure of the bytes that a viewer has taken."""

    def measure(self, wire: Any) -> object:
        """Measure the newest viewer."""
        return measureTaken(wire.transport, self.producers[-1].written)

    def test_nothingOnItsWay(self) -> None:
        """It is `None` if the viewer has everything, or its connection is lost."""
        wire = self.follow()
        self.assertIsNone(self.measure(wire))
        wire.close()
        self.assertIsNone(self.measure(wire))
        self.assertIsNone(measureTaken(None, 0))

    def test_acknowledged(self) -> None:
        """It changes with each byte that the viewer acknowledges."""
        wire = self.follow()
        wire.socket.arrived = len(wire.received)
        self.append("token")
        before = self.measure(wire)
        self.assertIsNotNone(before)
        self.assertEqual(self.measure(wire), before)
        wire.socket.arrived += 1
        self.assertNotEqual(self.measure(wire), before)

    def test_systemThatDoesNotTell(self) -> None:
        """Without the kernel's answer it changes when the socket has taken bytes."""

        def refuse(*arguments: object) -> bytes:
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")

        wire = self.pausedViewer()
        self.patch(wire.socket, "getsockopt", refuse)
        before = self.measure(wire)
        self.assertIsNotNone(before)
        self.assertEqual(self.measure(wire), before)
        wire.take(100)
        self.assertNotEqual(self.measure(wire), before)
        wire.take()
        self.assertIsNone(self.measure(wire))

    def test_F90_otherLayout(self) -> None:
        """F90: on another system than Linux, whose answer has other fields, the kernel is not asked."""

        def ask(*arguments: object) -> bytes:
            raise AssertionError

        wire = self.pausedViewer()
        self.patch(sys, "platform", "freebsd14")
        self.patch(wire.socket, "getsockopt", ask)
        before = self.measure(wire)
        self.assertIsNotNone(before)
        wire.take(100)
        self.assertNotEqual(self.measure(wire), before)

    def test_kernel(self) -> None:
        """The kernel's answer has the fields where they are looked for."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            with socket.create_connection(listening.getsockname()) as client, listening.accept()[0] as accepted:
                accepted.setblocking(False)
                transport = Connection(accepted, Protocol(), self.reactor)
                transport.connected = True
                sent = 0
                while sent < 50_000_000:
                    try:
                        sent += accepted.send(b"x" * 100_000)
                    except BlockingIOError:
                        break
                before = measureTaken(transport, sent)
                self.assertIsNotNone(before)
                client.recv(1_000_000)
                changed = [True for _ in soon(lambda: measureTaken(transport, sent) != before, 1_000_000)]
                self.assertLess(len(changed), 1_000_000)

    if sys.platform != "linux":
        test_kernel.skip = "The system does not tell."  # type: ignore[attr-defined]
