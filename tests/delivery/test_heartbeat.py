"""
Tests of `sseserver.delivery.producer`: heartbeats.
"""

from __future__ import annotations

from tests.delivery.cases import HEARTBEAT, SLOT, ProducerTestCase


class HeartbeatTests(ProducerTestCase):
    """Heartbeats."""

    def test_afterSilence(self) -> None:
        """
        A heartbeat follows 15 s without a write, and each 15 s after that; no empty line follows
        it.
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
        """A heartbeat follows 15 s after the last write of any kind."""
        wire = self.follow()
        for token in "abc":
            self.reactor.run(HEARTBEAT - 1)
            self.append(token)
        self.reactor.run(HEARTBEAT - 0.1)
        self.assertEqual(wire.response.heartbeats, 0)
        self.reactor.run(0.1 + SLOT)
        self.assertEqual(wire.response.heartbeats, 1)

    def test_steadyTokensNeedNone(self) -> None:
        """A stream that is never quiet has none."""
        wire = self.follow()
        for _ in range(60):
            self.append("x")
            self.reactor.run(1)
        self.assertEqual(wire.response.heartbeats, 0)

    def test_noneWhilePaused(self) -> None:
        """A viewer that takes nothing gets none until it is resumed."""
        wire = self.pausedViewer()
        written = self.producers[0].written
        self.reactor.run(10 * HEARTBEAT)
        self.assertEqual(self.producers[0].written, written)
        wire.take()
        self.assertEqual(wire.response.heartbeats, 0)
        self.reactor.run(2 * HEARTBEAT)
        self.assertIn(wire.response.heartbeats, (1, 2))

    def test_countedFromTheResumption(self) -> None:
        """Entries that are written at a resumption count as written then."""
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
        """There are none after the end on a connection that stays, and the clock is empty."""
        wire = self.follow()
        self.append("a")
        self.end()
        wire.close()
        before = wire.received
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.reactor.run(2 * HEARTBEAT)
        self.assertEqual(wire.received, before)

    def test_eachViewerHasItsOwn(self) -> None:
        """Viewers that came at different times get heartbeats at different times."""
        first = self.follow()
        self.reactor.run(HEARTBEAT / 2)
        second = self.follow()
        self.reactor.run(HEARTBEAT / 2 + SLOT)
        self.assertEqual((first.response.heartbeats, second.response.heartbeats), (1, 0))
        self.reactor.run(HEARTBEAT / 2 + SLOT)
        self.assertEqual((first.response.heartbeats, second.response.heartbeats), (1, 1))

    def test_findsOutThatTheClientIsGone(self) -> None:
        """A heartbeat detects a connection that broke silently."""
        wire = self.follow()
        wire.transport.pauseProducing()
        wire.breakDown()
        self.reactor.removeWriter(wire.transport)
        self.reactor.run(HEARTBEAT - 1)
        self.assertEqual(self.ended, [])
        self.reactor.run(1 + SLOT)
        self.assertEqual(self.ended, self.producers)
