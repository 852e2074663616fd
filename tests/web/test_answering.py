"""
Tests of `sseserver.web.answering`; those of the APIs show more.
"""

from __future__ import annotations

from typing import Any

from sseserver.errors import SourceError
from sseserver.service.service import Settings
from sseserver.streams.followed import FLUSH_TICK
from tests.apis.chat.cases import ChatTestCase
from tests.fakes import RecordingProducer


class AnsweringTests(ChatTestCase):
    """Answers that wait for their run."""

    settings = Settings(heartbeat=5)

    def writeEvent(self, event: bytes) -> None:
        """Let the newest run pass an event of a response on."""
        sink: Any = self.source.run.sink
        sink.writeResponseEvent(event)

    def test_held(self) -> None:
        """The head of a streamed answer waits for the first entry, but no longer than a heartbeat interval."""
        soon, late = self.stream(), self.stream()
        run = self.source.runs[0]
        self.reactor.advance(4)
        self.assertEqual((soon.received, late.received), (b"", b""))
        run.write("a")
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual((soon.response.status, late.received), (200, b""))
        self.reactor.advance(1.5)
        self.assertEqual(late.response.status, 200)

    def test_events(self) -> None:
        """Events of an upstream before the first entry are read: they take no further turns of the reactor."""
        wire = self.stream()
        self.writeEvent(b"{}")
        for _ in range(5):
            self.reactor.turn()
        due = [call for call in self.reactor.getDelayedCalls() if call.getTime() <= self.reactor.seconds()]
        wire.close()
        self.assertEqual(due, [])

    def test_largeEvents(self) -> None:
        """Events of an upstream before the first entry do not pause the run, however large they are."""
        wire = self.stream()
        producer = RecordingProducer()
        self.source.run.sink.registerProducer(producer, True)
        for _ in range(2):
            self.writeEvent(b'{"instructions":"%b"}' % (b"x" * self.settings.readAhead))
            self.reactor.advance(FLUSH_TICK)
        self.assertNotEqual(producer.told[-1:], ["pause"])
        self.assertEqual(wire.received, b"")
        self.write("a")
        self.assertEqual((wire.response.status, self.text(wire.response)), (200, "a"))

    def test_refused(self) -> None:
        """A run that fails before its first entry gives a streamed answer the status of its error."""
        wire = self.stream()
        self.breakDown(SourceError("No.", "refused", 429))
        self.assertEqual(wire.response.status, 429)

    def test_whole(self) -> None:
        """An answer in one piece waits for the end; its client is a viewer until then, and may leave."""
        stays, leaves = self.complete(), self.complete()
        self.write("a")
        self.assertEqual((stays.received, self.service.viewers.count), (b"", 2))
        leaves.close()
        self.assertEqual(self.service.viewers.count, 1)
        for run in self.source.runs:
            run.end()
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(stays.response.status, 200)
