"""
Tests of `sseserver.delivery.producer`: heartbeats.
"""

from __future__ import annotations

from tests.delivery.cases import HEARTBEAT, SLOT, ProducerTestCase


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
