"""
Tests of the limits of a server: streams, bytes, windows, slow viewers.
"""

from __future__ import annotations

import json

from sseserver.delivery import stall
from sseserver.settings import Settings
from sseserver.streams.followed import FLUSH_TICK
from sseserver.web.accept import JSON, PLAIN_TEXT
from tests.apis.cases import PublishingTestCase, listEvents
from tests.fakes import RecordingProducer
from tests.http import Response


class BoundsTests(PublishingTestCase):
    """Limits of the memory of a server."""

    settings = Settings(maxStreams=3)

    def assertOverloaded(self, response: Response) -> None:
        """Check that an answer is 503, with the time to return."""
        self.assertError(response, 503, "overloaded")
        self.assertGreaterEqual(int(response.headers["retry-after"]), 1)

    def test_streams(self) -> None:
        """At the limit of streams new ones of the same kind are refused; the others continue."""
        for name in ("a", "b", "e"):
            self.put(name)
        self.assertOverloaded(self.put("c"))
        for _ in range(3):
            path = self.startRun()
        self.assertOverloaded(self.put("c"))
        self.assertOverloaded(self.ask("/streams", method="POST", body=b""))
        self.assertEqual(len(self.source.runs), 3)
        self.publish("a", {"data": "x"})
        self.source.run.write("Hello")
        self.assertEqual(self.ask(path, PLAIN_TEXT).body, b"Hello")
        self.assertError(self.ask("/streams/c", JSON), 404, "stream_not_found")

    def test_openOne(self) -> None:
        """PUT of an open stream needs no room."""
        for name in ("a", "b", "c"):
            self.put(name)
        self.assertEqual(self.put("a").status, 200)

    def test_openOneDrivesNobodyOut(self) -> None:
        """PUT of an existing stream, open or ended, deletes no ended stream."""
        for name in ("a", "b", "c"):
            self.put(name)
        self.publish("b", closed="true")
        self.assertEqual(self.put("a").status, 200)
        self.assertEqual(self.ask("/streams/b", JSON).status, 200)
        self.assertError(self.put("b"), 409, "stream_ended")

    def test_finishedGoFirst(self) -> None:
        """A new stream replaces the stream that ended first, not the oldest one."""
        for name in ("a", "b", "c"):
            self.put(name)
        for name in ("b", "a"):
            self.publish(name, closed="true")
            self.reactor.advance(1)
        self.assertEqual(self.put("d").status, 201)
        self.assertEqual([self.ask(f"/streams/{name}", JSON).status for name in "abcd"], [200, 404, 200, 200])
        self.assertEqual(self.put("e").status, 201)
        self.assertOverloaded(self.put("f"))

    def test_room(self) -> None:
        """Deleting a stream makes room."""
        for name in ("a", "b", "c"):
            self.put(name)
        self.assertOverloaded(self.put("d"))
        self.delete("b")
        self.assertEqual(self.put("d").status, 201)

    def test_bytes(self) -> None:
        """
        At the limit of bytes ended streams are deleted first; then publishes and new streams are
        refused, and nothing of them is stored.
        """
        self.serve(self.source, Settings(maxBytes=64 * 1024))
        for name in ("old", "a", "b"):
            self.put(name)
        large = {"data": "x" * 40_000}
        self.publish("old", large, closed="true")
        self.publish("a", large)
        self.publish("b", {"data": "y"})
        self.assertEqual(self.ask("/streams/old", JSON).status, 404)
        self.publish("a", large)
        before = self.state("/streams/a"), self.state("/streams/b")
        for name in ("a", "b"):
            self.assertOverloaded(self.post(name, b'[{"data":"1"},{"data":"2"}]', key="k"))
            self.assertOverloaded(self.post(name, b"", closed="true"))
        self.assertOverloaded(self.put("c"))
        self.assertEqual((self.state("/streams/a"), self.state("/streams/b")), before)
        self.delete("a")
        self.publish("b", {"data": "1"}, {"data": "2"}, key="k")
        self.assertEqual(len(self.read("b")), 3)

    def test_runWaits(self) -> None:
        """A run without room pauses, and continues when there is room."""
        self.serve(self.source, Settings(maxBytes=256 * 1024, readAhead=1 << 30))
        large = self.startRun()
        self.source.run.write("x" * 200_000)
        path = self.startRun()
        wire = self.view(path)
        producer = RecordingProducer()
        self.source.run.sink.registerProducer(producer, True)
        for _ in range(12):
            self.source.run.write("y" * 8000)
            self.reactor.advance(FLUSH_TICK)
        self.assertEqual(producer.told, ["pause"])
        self.reactor.run(5)
        self.assertEqual(producer.told, ["pause"])
        self.assertFalse(self.source.run.cancelled)
        self.assertEqual(self.ask(large, method="DELETE").status, 204)
        self.reactor.run(2)
        self.assertEqual(producer.told, ["pause", "resume"])
        self.source.run.end()
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual("".join(wire.response.texts), "y" * 96_000)
        self.assertEqual(listEvents(wire)[-1][0], "done")

    def test_runWaitsWithoutRoomForItself(self) -> None:
        """A run that waits for room ends when its linger is over."""
        self.serve(self.source, Settings(maxBytes=100_000, linger=10))
        path = self.startRun()
        self.source.run.write(*["y" * 8000] * 20)
        waiting = self.source.run.sink.ready()
        self.assertNoResult(waiting)
        self.reactor.run(11)
        self.assertIsNone(self.successResultOf(waiting))
        self.assertEqual(self.ask(path, JSON).json["state"], "cancelled")

    def test_window(self) -> None:
        """
        A stream keeps its window. A viewer that needs trimmed entries gets a gap with their number;
        a new one starts at the first entry kept.
        """
        self.serve(self.source, Settings(window=64 * 1024))
        identifier = self.put("a").json["epoch"] + "-%d"
        self.publish("a", *({"data": f"{number:04d}{'x' * 996}"} for number in range(1, 101)))
        state = self.state("/streams/a")
        first, last = state["first"], state["last"]
        # A sixteenth of the window is reserved for bytes on their way to viewers.
        self.assertLessEqual(state["bytes"], 60 * 1024)
        self.assertGreater(state["bytes"], 55 * 1024)
        self.assertEqual((last, state["entries"]), (100, 101 - first))
        self.assertGreater(first, 30)
        gap, event, *_ = listEvents(self.view("/streams/a", identifier % 10))
        expected = {"after": identifier % 10, "from": identifier % first, "missed": first - 11, "reason": "trimmed"}
        self.assertEqual(gap, ("gap", json.dumps(expected, separators=(",", ":"))))
        self.assertEqual(event[1][:4], f"{first:04d}")
        self.assertEqual(listEvents(self.view("/streams/a", identifier % (first - 1)))[0], event)
        new = self.view("/streams/a")
        self.assertEqual(listEvents(new)[0], event)
        self.assertEqual(new.response.events[0].id, identifier % (first - 1))

    def test_slowViewer(self) -> None:
        """
        A viewer that falls behind the window gets a gap when it continues: the server keeps a
        cursor for it, not a queue.
        """
        self.serve(self.source, Settings(window=512 * 1024, stall=10_000))
        self.put("a")
        slow = self.view("/streams/a", room=1000)
        fast = self.view("/streams/a")
        for number in range(200):
            self.publish("a", {"data": f"{number:03d}{'x' * 20_000}"})
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual([data[:3] for _, data in listEvents(fast)], [f"{number:03d}" for number in range(200)])
        slow.take()
        self.reactor.run(1)
        types = slow.response.types
        self.assertEqual(types.count("gap"), 1)
        # Bytes that were queued for the connection precede it.
        self.assertLess(slow.response.body.index(b"event: gap"), 400_000)
        gap = json.loads(next(event.data for event in slow.response.events if event.type == "gap"))
        numbers = [int(event.data[:3]) for event in slow.response.events if event.type == "message"]
        self.assertEqual(len(numbers) + gap["missed"], 200)
        self.assertEqual(numbers[-1], 199)
        self.assertEqual(numbers, sorted(set(numbers)))

    def test_stalledViewer(self) -> None:
        """
        A viewer that takes nothing for the time `stall` is cut, and resumes without a gap. Other
        viewers are not affected.
        """
        self.serve(self.source, Settings(stall=30, heartbeat=5))
        self.put("a")
        other = self.view("/streams/a")
        wire = self.view("/streams/a")
        wire.stall()
        for number in range(20):
            self.publish("a", {"data": f"{number:02d}{'x' * 20_000}"})
        self.reactor.run(25)
        self.assertFalse(wire.closed)
        self.reactor.run(15)
        self.assertTrue(wire.closed)
        self.assertEqual(self.state("/streams/a")["viewers"], 1)
        last = wire.response.events[-1].id
        have = len(listEvents(wire))
        self.assertLess(have, 20)
        back = self.view("/streams/a", last)
        self.reactor.run(1)
        everything = listEvents(wire) + listEvents(back)
        self.assertEqual([data[:2] for _, data in everything], [f"{number:02d}" for number in range(20)])
        self.assertEqual(everything, listEvents(other))

    def test_slowIsNotStalled(self) -> None:
        """A viewer that takes little, but steadily, is not cut."""
        self.serve(self.source, Settings(stall=30))
        self.put("a")
        wire = self.view("/streams/a")
        wire.stall()
        self.publish("a", *[{"data": "x" * 20_000}] * 20)
        for _ in range(20):
            self.reactor.run(10)
            wire.take(1000)
        self.assertFalse(wire.closed)
        self.assertEqual(self.state("/streams/a")["viewers"], 1)

    def test_stalledUnseen(self) -> None:
        """
        If the connection cannot be examined, as on HTTP/2, a response paused for the time `stall`
        is cut, and no other.
        """
        self.patch(stall, "measureTaken", lambda transport, written: None)
        self.serve(self.source, Settings(stall=30, heartbeat=5))
        self.put("a")
        other, wire = self.view("/streams/a"), self.view("/streams/a")
        wire.stall()
        self.publish("a", *[{"data": "x" * 20_000}] * 20)
        self.reactor.run(25)
        self.assertFalse(wire.closed)
        self.reactor.run(15)
        self.assertEqual((wire.closed, other.closed), (True, False))

    def test_vanishedViewer(self) -> None:
        """
        A peer that acknowledges nothing is cut, although the kernel takes all bytes for it. A peer
        that acknowledges late is not.
        """
        self.serve(self.source, Settings(stall=30, heartbeat=15))
        self.put("a")
        gone, late = self.view("/streams/a"), self.view("/streams/a")
        gone.socket.arrived = late.socket.arrived = len(gone.socket.sent)
        self.publish("a", {"data": "x"})
        for _ in range(8):
            self.reactor.run(10)
            late.socket.arrived += 1
        self.assertEqual((gone.closed, late.closed), (True, False))
        self.assertEqual(self.state("/streams/a")["viewers"], 1)

    def test_joined(self) -> None:
        """
        A new viewer gets a log of 100,000 tokens joined, in at most 20 writes and 30 events, and
        then live events.
        """
        identifier = self.put("a").json["epoch"] + "-%d"
        words = [f" w{number}" for number in range(100_000)]
        for start in range(0, 100_000, 20_000):
            self.publish("a", *({"token": word} for word in words[start : start + 20_000]))
        self.reactor.advance(1)
        for path in ("/streams/a", "/streams/a?format=text"):
            wire = self.view(path)
            self.assertLessEqual(len(wire.socket.sends), 20)
            events = wire.response.events
            self.assertLessEqual(len(events), 30)
            self.assertEqual(events[-1].id, identifier % 100_000)
            texts = wire.response.texts
            self.assertEqual(texts[-1] if "text" in path else "".join(texts), "".join(words))
        live = self.view("/streams/a", identifier % 99_999)
        self.publish("a", {"token": " end"})
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(live.response.texts, [" w99999", " end"])
