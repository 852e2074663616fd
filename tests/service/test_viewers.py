"""
Tests of `sseserver.service.viewers`: the room for viewers, and the log of those that left.
"""

from __future__ import annotations

import re
from typing import Any

from sseserver.errors import Overloaded
from sseserver.service.service import Settings
from sseserver.streams.log import FLUSH_TICK
from tests.fakes import logged
from tests.service.cases import ServiceTestCase
from tests.wires import Wire


class MaxViewersTests(ServiceTestCase):
    """What happens when there is no room for one more viewer."""

    settings = Settings(maxViewers=2)

    def assertTurnedAway(self, wire: Wire) -> int:
        """Check that a viewer was told to come back later; give its reconnection time."""
        response = wire.response
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-type"], "text/event-stream")
        self.assertIn("no-store", response.headers["cache-control"])
        self.assertTrue(response.complete)
        match = re.fullmatch(rb"retry: (\d+)\n\n", response.body)
        self.assertIsNotNone(match, response.body)
        return int(match[1])

    def test_turnedAway(self) -> None:
        """
        One viewer too many gets a response that an EventSource obeys: 200, a
        reconnection time, and the end; no run is started for it.
        """
        self.view()
        self.view()
        runs = len(self.source.runs)
        times = [self.assertTurnedAway(self.view()) for _ in range(30)]
        self.assertEqual(len(self.source.runs), runs)
        self.assertTrue(all(2000 <= time <= 4000 for time in times), times)
        self.assertGreater(len(set(times)), 1)
        self.assertEqual(self.service.viewers.count, 2)

    def test_atAStream(self) -> None:
        """
        The same where the stream is there already.
        """
        streamLog = self.startLog()
        self.watch(streamLog)
        self.watch(streamLog)
        self.assertTurnedAway(self.watch(streamLog))
        self.assertEqual(streamLog.viewers, 2)

    def test_roomAgain(self) -> None:
        """
        When one goes, or when its stream ends, there is room for another.
        """
        wires = [self.view(), self.view()]
        wires[0].close()
        third = self.view()
        self.assertFalse(third.response.complete)
        self.assertTurnedAway(self.view())
        self.source.run.end()
        self.reactor.advance(FLUSH_TICK)
        self.assertTrue(third.response.complete)
        self.assertFalse(self.view().response.complete)

    def test_runs(self) -> None:
        """
        Nor is a run started by POST then: 503, which says when to try again.
        """
        self.view()
        self.view()
        self.failureResultOf(self.service.startRun(), Overloaded)
        response = self.ask("/streams", method="POST", body=b"{}")
        self.assertEqual(response.status, 503)
        self.assertEqual(response.error["code"], "overloaded")
        self.assertGreater(int(response.headers["retry-after"]), 0)


class ReconnectionTimeTests(ServiceTestCase):
    """What viewers are told to wait."""

    settings = Settings(reconnectionTime=9000)

    def test_eachItsOwn(self) -> None:
        """
        Every viewer is told a time of its own around the one that was set.
        """
        streamLog = self.startLog()
        times = {self.watch(streamLog).response.events[0].retry for _ in range(20)}
        self.assertGreater(len(times), 1)
        self.assertTrue(all(time is not None and 6000 <= time <= 12_000 for time in times))


class LogTests(ServiceTestCase):
    """What the log tells of viewers."""

    def lines(self, events: list[dict[str, Any]]) -> list[str]:
        """Give the lines about viewers."""
        formats = [event.get("log_format") or "" for event in events]
        return [text.format(**event) for text, event in zip(formats, events, strict=True) if "viewer" in text]

    def test_viewerThatLeft(self) -> None:
        """
        Of a viewer that leaves, for which twisted.web writes no line, there is
        one: its stream, why, and how many bytes it got.
        """
        streamLog = self.startLog()
        wire = self.watch(streamLog)
        self.write("a")
        size = len(wire.response.body)
        with logged() as events:
            wire.close()
        self.assertEqual(self.lines(events), [f"A viewer of {streamLog.name} went: left, {size} bytes"])

    def test_viewerThatHasAll(self) -> None:
        """
        Of one that got its stream to the end there is none: twisted.web writes
        its own.
        """
        self.watch(self.startLog())
        with logged() as events:
            self.source.run.end()
            self.reactor.advance(FLUSH_TICK)
        self.assertEqual(self.lines(events), [])
