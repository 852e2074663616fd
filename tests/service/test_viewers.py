"""
Tests of `sseserver.service.viewers`: the room for viewers, and the log of those that left.
"""

from __future__ import annotations

import re

from twisted.web.test.requesthelper import DummyRequest

from sseserver.errors import Overloaded
from sseserver.service.service import Settings
from sseserver.streams.followed import FLUSH_TICK
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
        self.reactor.run(0.1, FLUSH_TICK)
        self.assertTrue(third.response.complete)
        self.assertFalse(self.view().response.complete)

    def test_F107_runs(self) -> None:
        """F107: a run can be started at the limit of viewers: it is none, and may be read later."""
        self.view()
        self.view()
        response = self.ask("/streams", method="POST", body=b"{}")
        self.assertEqual(response.status, 201)
        self.source.run.write("a")
        self.source.run.end()
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(self.ask(response.headers["location"], "text/plain").body, b"a")

    def test_F107_viewedRuns(self) -> None:
        """F107: no run is started at the limit for a client that views it at once: 503 with `Retry-After`."""
        self.view()
        self.view()
        runs = len(self.source.runs)
        self.failureResultOf(self.service.startRun(viewed=True), Overloaded)
        body = (
            b'{"id": "chat", "messages": [{"role": "user", "content": "x", "parts": [{"type": "text", "text": "x"}]}]}'
        )
        for path in ("/v1/chat/completions", "/api/chat"):
            response = self.ask(path, method="POST", body=body)
            self.assertEqual((response.status, response.error["code"]), (503, "overloaded"))
            self.assertGreater(int(response.headers["retry-after"]), 0)
        self.assertTurnedAway(self.view())
        self.assertEqual(len(self.source.runs), runs)


class ReconnectionTimeTests(ServiceTestCase):
    """The reconnection times of viewers."""

    settings = Settings(reconnectionTime=9000)

    def test_eachItsOwn(self) -> None:
        """Each viewer gets a time of its own around the configured one."""
        streamLog = self.startLog()
        times = {self.watch(streamLog).response.events[0].retry for _ in range(20)}
        self.assertGreater(len(times), 1)
        self.assertTrue(all(time is not None and 6000 <= time <= 12_000 for time in times))


class VanishedTests(ServiceTestCase):
    """Viewers that vanish without closing their connections."""

    settings = Settings(linger=10**6)

    def test_F113_silent(self) -> None:
        """F113: one of a silent stream is cut after a heartbeat and the stall limit, whenever it vanishes."""
        longest = self.settings.heartbeat + self.settings.stall + 5
        path = f"/streams/{self.startLog().name}"
        for seconds in (0.1, 7, 14.7, 15.1, 31):
            wire = self.view(path)
            self.reactor.run(seconds, 0.05)
            wire.stall()
            self.reactor.run(self.settings.stall - 1, 0.25)
            self.assertFalse(wire.socket.reset, seconds)
            self.reactor.run(longest - self.settings.stall + 1, 0.25)
            self.assertTrue(wire.socket.reset, seconds)


class DrainTests(ServiceTestCase):
    """The end of all viewers when the service stops."""

    def test_published(self) -> None:
        """
        A viewer of a published stream, which may continue after a restart, gets a reconnection time and
        the end of its response, but no terminal event.
        """
        self.successResultOf(self.service.open("news"))
        wire = self.view("/streams/news")
        drained = self.service.viewers.drain()
        self.reactor.run(1)
        self.assertEqual(wire.response.types, ["stream"])
        self.assertRegex(wire.response.body, rb"retry: \d+\n\n$")
        self.assertTrue(wire.response.complete)
        self.successResultOf(drained)

    def test_run(self) -> None:
        """A viewer of a run stays until the run has ended, or until it is cut."""
        wires = [self.watch(self.startLog()) for _ in range(2)]
        drained = self.service.viewers.drain()
        self.source.runs[0].end()
        self.reactor.run(1)
        self.assertEqual([wire.response.complete for wire in wires], [True, False])
        self.assertNoResult(drained)
        self.assertEqual(self.service.viewers.count, 1)
        self.service.viewers.cut()
        self.reactor.run(1)
        self.successResultOf(drained)
        self.assertTrue(wires[1].closed)
        self.assertEqual(list(self.service.viewers), [])

    def test_retire(self) -> None:
        """A viewer that is retired gets a reconnection time, and the end of its response."""
        wire = self.watch(self.startLog())
        drained = self.service.viewers.drain()
        self.service.viewers.retire()
        self.reactor.run(1)
        self.assertRegex(wire.response.body, rb"\nretry: \d+\n\n$")
        self.assertTrue(wire.response.complete)
        self.successResultOf(drained)

    def test_waited(self) -> None:
        """A request that has waited while the drain began follows its stream; any other one is turned away."""
        streamLog = self.startLog()
        ask = b'{"messages": [{"role": "user", "content": "x"}], "stream": true}'
        wire = self.connect(self.factory)
        wire.begin("/v1/chat/completions", method="POST", body=ask, headers={"Content-Type": "application/json"})
        late = self.connect(self.factory)
        self.service.viewers.drain()
        self.source.run.write("a")
        self.reactor.run(1)
        self.assertEqual(wire.response.status, 200)
        self.assertIn(b'"content":"a"', wire.response.body)
        late.begin(f"/streams/{streamLog.name}", "text/event-stream")
        self.reactor.run(1)
        self.assertRegex(late.response.body, rb"^retry: \d+\n\n$")


class WaitTests(ServiceTestCase):
    """Requests that wait as viewers."""

    settings = Settings(maxViewers=0)

    def test_room(self) -> None:
        """
        A request without room is refused, unless it need not wait or its client has left.
        """
        streamLog = self.successResultOf(self.service.store.create("news", True))
        form = self.service.formats["openai"]
        request = DummyRequest([])
        request.channel = object()
        wait = self.service.viewers.wait
        self.assertRaises(Overloaded, wait, request, streamLog, form, lambda cursor: (cursor, False))
        self.assertTrue(self.successResultOf(wait(request, streamLog, form, lambda cursor: (cursor, True))))
        request.channel = None
        self.assertFalse(self.successResultOf(wait(request, streamLog, form, lambda cursor: (cursor, False))))
