"""
Tests of `sseserver.apis.native.snapshot`: the text of a stream so far.
"""

from __future__ import annotations

import tracemalloc

from sseserver.delivery.document import STEP_BYTES
from sseserver.service.drain import CUT_AFTER, RETIRE_AFTER
from sseserver.service.service import Settings
from sseserver.streams.terminal import packRestart
from sseserver.values import Kind
from tests.http import Response
from tests.service.cases import ServiceTestCase
from tests.wires import Wire, soon

#: Seconds. The stall limit.
STALL = 3.0


class SnapshotTests(ServiceTestCase):
    """Snapshots of one stream."""

    settings = Settings(stall=STALL, maxViewers=3, window=1_000_000)

    def setUp(self) -> None:
        super().setUp()
        self.log = self.startLog()
        self.path = f"/streams/{self.log.name}"

    def fill(self, count: int = 40, kind: Kind = Kind.TOKEN) -> str:
        """Append tokens, or chunks with text; return the text."""
        tokens = [f"{number:05}é".ljust(10_000, "x") for number in range(count)]
        for token in tokens:
            text = token.encode()
            self.log.append(kind, text if kind is Kind.TOKEN else b"{}\n" + text)
        return "".join(tokens)

    def get(self, room: int | None = None, method: str = "GET", version: str = "1.1") -> Wire:
        """Request a snapshot."""
        wire = self.connect(self.factory)
        wire.socket.room = room
        wire.begin(self.path, "text/plain", method, version=version)
        return wire

    def assertText(self, response: Response, text: str) -> None:
        """Check that a response is complete and has a text."""
        self.assertEqual(response.status, 200)
        self.assertTrue(response.complete)
        self.assertEqual(response.headers["content-type"], "text/plain; charset=utf-8")
        self.assertEqual(response.body.decode(), text)

    def test_restarted(self) -> None:
        """The text begins at the last restart of the run. What was trimmed before it is not missed."""
        self.fill()
        for text in ("", "a", "ab"):
            self.log.append(*packRestart(1))
            for token in text:
                self.log.append(Kind.TOKEN, token.encode())
            response = self.get().response
            self.assertText(response, text)
        text = self.fill(90)
        self.log.append(*packRestart(2))
        self.assertGreater(self.log.buffer.first, 1)
        response = self.get().response
        self.assertText(response, "")
        self.assertNotIn("stream-gap", response.headers)
        text = self.fill()
        self.assertText(self.get().response, text)

    def test_short(self) -> None:
        """A short text is sent at once, with its length."""
        response = self.get(room=None).response
        self.assertText(response, "")
        self.log.append(Kind.TOKEN, b"a")
        response = self.get().response
        self.assertText(response, "a")
        self.assertEqual(response.headers["content-length"], "1")
        self.assertEqual(self.service.viewers.count, 0)

    def test_long(self) -> None:
        """A long text has its length, too, whether the stream is open or has ended."""
        text = self.fill()
        for _ in range(2):
            response = self.get().response
            self.assertText(response, text)
            self.assertEqual(response.headers["content-length"], str(len(text.encode())))
            if not self.log.sealed:
                self.source.run.end()

    def test_chunks(self) -> None:
        """A long text of chunks, whose length is not known, is sent in chunks of HTTP."""
        text = self.fill(20) + self.fill(20, Kind.CHUNK)
        response = self.get().response
        self.assertText(response, text)
        self.assertEqual(response.headers["transfer-encoding"], "chunked")

    def test_soFar(self) -> None:
        """A snapshot ends where the stream was when it was requested."""
        text = self.fill()
        wire = self.get(room=0)
        self.fill(5)
        wire.take()
        self.assertText(wire.response, text)

    def test_HEAD(self) -> None:
        """HEAD gets the head alone, and is no viewer."""
        text = self.fill()
        response = self.get(method="HEAD").response
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(response.headers["content-length"], str(len(text.encode())))
        self.assertEqual(self.service.viewers.count, 0)

    def test_F1_stepByStep(self) -> None:
        """F1: the server makes no more of a snapshot than the client takes."""
        text = self.fill()
        wire = self.get(room=0)
        (document,) = self.service.viewers
        for _ in soon(lambda: len(wire.received) > 400_000):
            wire.take(20_000)
            self.assertLess(document.written - len(wire.received), 3 * STEP_BYTES)
        wire.take()
        self.assertText(wire.response, text)

    def test_largeEntries(self) -> None:
        """Of a large entry, too, no more than a step is kept for a client."""
        text = self.fill(3)
        for kind, size in ((Kind.TOKEN, 300_000), (Kind.CHUNK, 200_000), (Kind.TOKEN, 1)):
            more = f"{kind}" * size
            self.log.append(kind, more.encode() if kind is Kind.TOKEN else b"{}\n" + more.encode())
            text += more
        wire = self.get(room=0)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        wires = [self.get(room=0) for _ in range(2)]
        self.assertLess(tracemalloc.get_traced_memory()[0], 2 * 4 * STEP_BYTES)
        for each in (wire, *wires):
            for _ in soon(lambda: each.socket.room):  # noqa: B023  (is played at once)
                each.take(30_000)
            self.assertText(each.response, text)

    def test_largeTrimmedMeanwhile(self) -> None:
        """The same if a part of an entry was sent before it is trimmed."""
        self.log.append(Kind.TOKEN, b"x" * 500_000)
        wire = self.get(room=100_000)
        self.fill(90)
        wire.take()
        self.reactor.turn()
        self.assertTrue(wire.closed)
        self.assertFalse(wire.response.complete)

    def test_trimmedMeanwhile(self) -> None:
        """A snapshot whose rest is trimmed before the client has read it does not look complete."""
        self.fill(90)
        wire = self.get(room=0)
        self.fill(90)
        wire.take()
        self.reactor.turn()
        self.assertTrue(wire.closed)
        self.assertFalse(wire.response.complete)
        self.assertIn("stream-gap", self.get().response.headers)

    def test_F2_stalled(self) -> None:
        """F2: a client that reads nothing of its snapshot is cut by the stall limit."""
        self.fill()
        for version in ("1.0", "1.1"):
            wire = self.get(room=0, version=version)
            self.reactor.run(STALL - 1)
            self.assertFalse(wire.closed)
            self.reactor.run(3)
            self.assertTrue(wire.closed and wire.socket.reset)
        self.assertEqual(self.service.viewers.count, 0)

    def test_F2_room(self) -> None:
        """F2: snapshots count as viewers."""
        text = self.fill()
        wires = [self.get(room=0) for _ in range(3)]
        self.assertEqual(self.service.viewers.count, 3)
        self.assertFalse(self.service.viewers.hasRoom())
        refused = self.get().response
        self.assertEqual((refused.status, refused.json["error"]["code"]), (503, "overloaded"))
        self.assertEqual(self.get(method="HEAD").response.status, 200)
        wires[0].take()
        self.reactor.run(0.1)
        self.assertEqual(self.service.viewers.count, 2)
        self.assertText(self.get().response, text)

    def test_F2_lastBytes(self) -> None:
        """F2: a snapshot counts as a viewer until its last byte is acknowledged, and is cut if that takes too long."""
        self.fill()
        wire = self.connect(self.factory)
        wire.socket.arrived = 0
        self.assertTrue(wire.ask(self.path, "text/plain").complete)
        self.reactor.run(0.1)
        self.assertEqual(self.service.viewers.count, 1)
        wire.socket.arrived = None
        self.reactor.run(2)
        self.assertEqual(self.service.viewers.count, 0)
        wire.socket.arrived = len(wire.received)
        wire.ask(self.path, "text/plain")
        self.reactor.run(STALL + 2)
        self.assertTrue(wire.closed)

    def test_F4_drain(self) -> None:
        """F4: when the service stops, a client that reads its snapshot gets all of it; one that does not is cut."""
        text = self.fill()
        slow, stalled = self.get(room=0), self.get(room=0)
        stopped = self.service.stopService()
        self.source.run.end()
        for _ in range(39):
            slow.take(10_000)
            self.reactor.run(0.5)
            self.assertEqual(self.service.viewers.count, 2 if not stalled.closed else 1)
        self.assertNoResult(stopped)
        slow.take()
        self.reactor.run(0.1)
        self.successResultOf(stopped)
        self.assertText(slow.response, text)
        self.assertTrue(stalled.closed)

    def test_F4_drainEnds(self) -> None:
        """F4: the drain ends at its limit, whatever a client does."""
        self.serve(self.source, Settings(drain=5.0, stall=1000.0))
        self.log = self.startLog()
        self.path = f"/streams/{self.log.name}"
        self.fill()
        wire = self.get(room=0)
        stopped = self.service.stopService()
        self.reactor.run(5 + RETIRE_AFTER + CUT_AFTER - 0.1)
        self.assertNoResult(stopped)
        self.reactor.run(0.3)
        self.successResultOf(stopped)
        self.reactor.advance(0)
        self.assertTrue(wire.closed)
