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
    """The limit of viewers."""

    settings = Settings(maxViewers=2)

    def assertTurnedAway(self, wire: Wire) -> int:
        """Check that a viewer was told to come back later, and return its reconnection time."""
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
        A viewer above the limit gets a response that an EventSource obeys: 200, a reconnection
        time, and the end. No run is started for it.
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
        """The limit also holds for viewers of a stream that exists."""
        streamLog = self.startLog()
        self.watch(streamLog)
        self.watch(streamLog)
        self.assertTurnedAway(self.watch(streamLog))
        self.assertEqual(streamLog.viewers, 2)

    def test_roomAgain(self) -> None:
        """There is room for another viewer when one leaves, or when its stream ends."""
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
        """No run is started by POST at the limit: 503 with `Retry-After`."""
        self.view()
        self.view()
        self.failureResultOf(self.service.startRun(), Overloaded)
        response = self.ask("/streams", method="POST", body=b"{}")
        self.assertEqual(response.status, 503)
        self.assertEqual(response.error["code"], "overloaded")
        self.assertGreater(int(response.headers["retry-after"]), 0)


class ReconnectionTimeTests(ServiceTestCase):
    """The reconnection times of viewers."""

    settings = Settings(reconnectionTime=9000)

    def test_eachItsOwn(self) -> None:
        """Each viewer gets a time of its own around the configured one."""
        streamLog = self.startLog()
        times = {self.watch(streamLog).response.events[0].retry for _ in range(20)}
        self.assertGreater(len(times), 1)
        self.assertTrue(all(time is not None and 6000 <= time <= 12_000 for time in times))


class LogTests(ServiceTestCase):
    """Log events about viewers."""

    def lines(self, events: list[dict[str, Any]]) -> list[str]:
        """Return the lines about viewers."""
        formats = [event.get("log_format") or "" for event in events]
        return [text.format(**event) for text, event in zip(formats, events, strict=True) if "viewer" in text]

    def test_viewerThatLeft(self) -> None:
        """
        A viewer that leaves, for which twisted.web logs nothing, has one line: its stream, the
        reason, and the number of bytes.
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
        A viewer that has its stream to the end has no line of ours: twisted.web logs the response.
        """
        self.watch(self.startLog())
        with logged() as events:
            self.source.run.end()
            self.reactor.advance(FLUSH_TICK)
        self.assertEqual(self.lines(events), [])
